"""The stream under a session, when the system ends it with an error that reads like a time limit."""

import asyncio
import errno
import os
from typing import cast

import pytest

from enclave_signer.frames import Frames


async def test_a_connection_that_the_system_times_out_ends_a_session_that_may_idle() -> None:
    reader, unused = asyncio.StreamReader(), cast("asyncio.StreamWriter", None)
    asked: list[bool] = []

    def may_idle() -> bool:
        asked.append(True)
        assert len(asked) < 10, "the same error is read again and again, and no other session gets its turn"
        return True

    reader.set_exception(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
    with pytest.raises(TimeoutError, match="timed out"):
        await Frames(reader, unused, 60).take(100, may_idle)
