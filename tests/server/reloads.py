"""A configuration file that a test writes anew, and the daemon that is told to read it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from serving import Running, settings

from signatory.config.load import Config

ON = "  reload: true\n"


class Written:
    """What the daemon reads. `gate` holds the reading, `failure` replaces it."""

    def __init__(self, tezos: str = "", server: str = ON) -> None:
        self.tezos = tezos
        self.server = server
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.failure: BaseException | None = None
        self.read_count = 0
        self.in_force: list[Config] = []

    def read(self) -> Config:
        self.read_count += 1
        tezos, server, failure = self.tezos, self.server, self.failure
        self.begun.set()
        self.gate.wait()
        if failure:
            raise failure
        return settings(tezos, server)

    def taken(self, config: Config) -> None:
        self.in_force.append(config)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited is a thread or a signal, which has no event
        await asyncio.sleep(0)


async def state(running: Running, *, utility: bool = True) -> Any:
    """The answer to GET /reload."""
    reply = await running.ask("GET", "/reload", utility=utility)
    assert reply.status == 200
    return reply.value


async def ended(running: Running) -> Any:
    """How the last reload ended, once none runs."""
    while (told := await state(running))["state"] != "idle":
        pass
    return told["last"]


async def reloaded(running: Running) -> Any:
    """POST /reload, and how it ended."""
    reply = await running.ask("POST", "/reload", b"", utility=True)
    assert reply.status == 202
    last = await ended(running)
    assert last["number"] == reply.value["number"]
    return last
