"""Signers that are killed: forks one for each line that it reads, kills it after so many marks, tells which.

A line of input is a base folder and a number; a line of output is a JSON list of [key, level], every mark
that the signer released. The forks come from a process that never had a thread.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
from pathlib import Path

from mark_samples import CHAIN, pkh

from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark

KEYS = 8


async def sign(base: Path, pipe: int) -> None:
    store = FileStore(base, limit=4000)
    await store.open()

    async def baker(key: str) -> None:
        held = await store.current(CHAIN, key, "block")
        for level in itertools.count(held.level + 1 if held else 0):
            await store.advance(CHAIN, key, "block", Mark(level, 0, level.to_bytes(32, "big")))
            os.write(pipe, f"{key} {level}\n".encode())

    await asyncio.gather(*(baker(pkh(row)) for row in range(KEYS)))


def one_life(base: Path, count: int) -> list[tuple[str, int]]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            asyncio.run(sign(base, writer))
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as lines:
        released = [line.split() for line in itertools.islice(lines, count)]
        os.kill(child, signal.SIGKILL)
        released += [line.split() for line in lines]
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("the signer ended by itself")
    return [(key, int(level)) for key, level in released]


for line in sys.stdin:
    folder, number = line.rsplit(maxsplit=1)
    print(json.dumps(one_life(Path(folder), int(number))), flush=True)  # noqa: T201 - the answer
