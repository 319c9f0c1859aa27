"""Group commit: while one batch becomes durable the next one collects, and shares one sync."""

import asyncio
from collections.abc import Awaitable, Callable

from signatory.errors import UnavailableError


class Committer:
    """Hands rows to `commit` batch after batch, in order, never two at once. For one event loop.

    Whoever stops waiting changes nothing: what was handed over is committed.
    """

    def __init__(self, commit: Callable[[list[bytes]], Awaitable[None]]) -> None:
        self._commit = commit
        self._rows: list[bytes] = []
        self._waiting: list[asyncio.Future[Exception | None]] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether every row that was handed over has been answered for."""
        return self._pump is None

    async def add(self, row: bytes) -> None:
        """Return once `row`, and all rows before it, are committed. An empty row waits and adds nothing.

        Raises UnavailableError when the batch failed.
        """
        loop = asyncio.get_running_loop()
        if row:
            self._rows.append(row)
        done: asyncio.Future[Exception | None] = loop.create_future()
        self._waiting.append(done)
        if self._pump is None:
            self._pump = loop.create_task(self._run())
        if (error := await done) is not None:
            # One each: an error raised by many tasks would collect the traces of them all.
            hint = getattr(error, "hint", None)
            raise UnavailableError(f"a watermark is not durable: {error}", hint=hint) from error

    async def drain(self) -> None:
        """Wait until everything that was handed over is answered for."""
        while self._pump is not None:
            await asyncio.wait([self._pump])

    async def _run(self) -> None:
        waiting: list[asyncio.Future[Exception | None]] = []
        try:
            while True:
                await asyncio.sleep(0)  # whoever the last batch woke may join the next one
                if not self._waiting:
                    return
                rows, self._rows = self._rows, []
                waiting, self._waiting = self._waiting, []
                outcome: Exception | None = None
                try:
                    await self._commit(rows)
                except Exception as error:  # noqa: BLE001 - each who waits raises it as its own
                    outcome = error
                for done in waiting:
                    if not done.done():
                        done.set_result(outcome)
        finally:
            self._pump = None
            for done in (*waiting, *self._waiting):
                done.cancel()  # only when the loop ends: nobody may take that for durable
