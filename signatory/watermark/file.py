"""Marks in files: a journal that makes many durable with one sync, and Signatory's files at a clean stop."""

import asyncio
import contextlib
import errno
import functools
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from signatory.errors import ConfigError, SignatoryError, UnavailableError
from signatory.files import DISK, Disk
from signatory.watermark import journal, marks
from signatory.watermark.anchor import Anchor, Epoch, moved
from signatory.watermark.committer import Committer
from signatory.watermark.folders import Folders, Found
from signatory.watermark.marks import Table
from signatory.watermark.rules import Mark
from signatory.watermark.store import IoObserver, Marks, ignore_io

logger = logging.getLogger(__name__)

LIMIT = 4 << 20
"""Bytes appended to a journal before a new one begins."""

_Result = TypeVar("_Result")


class FileStore:
    """The store of `watermark: {driver: file}`.

    Marks are compared in memory, on the event loop. They rise there before they are durable and never go
    back: after a failed write another request at that place stays refused, and the same one is released only
    once its mark is durable. See docs/adr/0011-journal.md.

    With `accept_restored` folders that are an old copy, or lost their journal, can be opened; nothing is
    written or advanced before a `lift`, which makes them the true ones again.
    """

    backend = "file"
    table = ""

    def __init__(
        self,
        base_dir: Path,
        *,
        anchor: Anchor | None = None,
        disk: Disk = DISK,
        limit: int = LIMIT,
        accept_restored: bool = False,
    ) -> None:
        self.on_io: IoObserver = ignore_io
        self._base = base_dir
        self._folders = Folders(base_dir, disk, self._measured)
        self._anchor = anchor
        self._limit = limit
        self._accept_restored = accept_restored
        self._marks: Table = {}
        self._epoch = Epoch("", 0)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watermark")
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watermark-files")
        self._committer = Committer(self._commit)
        self._rolled: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._distrusted = False
        """Whether the journal may lack something that is in memory: only a new one is written to then."""
        self._lifted = False
        """Whether marks rose without a record of their own: a new journal takes them all at once."""
        self._halted: SignatoryError | None = None
        self._opened = False
        self._unsettled: Found | None = None
        """What `open` found, until a journal begins that holds it."""

    async def open(self) -> None:
        """Load every mark and hold the folders for this process; a second call does nothing.

        Raises ConfigError naming a file that is unknown or damaged or a folder that is an old copy,
        UnavailableError when another process holds the marks or the disk or the anchor fails.
        """
        self._check_not_closed()
        if self._opened:
            return
        try:
            await self._in_thread(self._folders.hold)
            found = await self._in_thread(
                functools.partial(self._folders.load, accept_lost=self._accept_restored)
            )
            self._epoch = self._next_epoch(found.epoch, await self._anchor.read() if self._anchor else None)
            self._unsettled = found
            self._marks = marks.copy(found.marks)
            if not self._accept_restored:
                await self._settle()
        except BaseException:
            await self._in_thread(self._folders.release)
            raise
        self._opened = True
        if self._anchor is None:
            logger.info(
                "No anchor: nobody would notice watermarks put back from an older copy of %s", self._base
            )

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """See WatermarkStore. Raises WatermarkError, UnavailableError, MalformedError for no mark at all."""
        self._check_open()
        if self._unsettled:
            raise UnavailableError("these marks may be an old copy; they must be raised first")
        row = journal.row(journal.Place(chain, pkh, kind), mark)
        kinds = self._marks.get(chain, {}).get(pkh, {})
        marks.check(kinds, kind, mark)
        if kinds.get(kind) == mark:
            if self._committer.idle and not self._distrusted:
                return
            row = b""
        else:
            self._marks.setdefault(chain, {}).setdefault(pkh, {})[kind] = mark
        await self._committer.add(row)

    async def current(self, chain: str, pkh: str, kind: str) -> Mark | None:
        """See WatermarkStore."""
        self._check_open()
        return marks.highest(self._marks.get(chain, {}).get(pkh, {}), kind)

    async def lift(self, lifted: Marks) -> int:
        """See WatermarkStore. Raises MalformedError for a mark that cannot be."""
        self._check_open()
        journal.snapshot(self._epoch, lifted)
        self._marks, rose = marks.lift(self._marks, lifted)
        if self._unsettled:
            await self._settle()
        elif rose:
            self._lifted = True
            await self._committer.add(b"")
        return rose

    async def inspect(self) -> Marks:
        """See WatermarkStore."""
        load = functools.partial(self._folders.load, accept_lost=self._accept_restored)
        return (await asyncio.to_thread(load)).marks

    async def close(self) -> None:
        """Finish what is being written, bring Signatory's files up to date, let others have the folders.

        Raises nothing: where the last writes fail the marks are in the journal, and JOURNAL-AHEAD.json stays.
        """
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self._committer.drain()
            if self._rolled:
                await asyncio.wait([self._rolled])
            if self._opened and self._halted is None and self._unsettled is None:
                await self._finish()
        finally:
            await self._in_thread(self._folders.release)
            for pool in (self._thread, self._beside):
                pool.shutdown(wait=False)
            if self._anchor:
                await self._anchor.close()

    async def _settle(self) -> None:
        """Begin the first journal of this process, then tell the anchor: it is never ahead of the folder."""
        if self._unsettled:
            found = replace(self._unsettled, marks=marks.copy(self._marks))
            await self._in_thread(functools.partial(self._folders.settle, found, self._epoch))
            if self._anchor:
                await self._anchor.write(self._epoch)
            self._unsettled = None

    async def _finish(self) -> None:
        epoch = Epoch(self._epoch.store, self._epoch.number + 1)
        try:
            await self._in_thread(functools.partial(self._folders.finish, marks.copy(self._marks), epoch))
            if self._anchor:
                await self._anchor.write(epoch)
        except SignatoryError as error:
            logger.error("Watermarks did not stop cleanly, the journal keeps them: %s", error)  # noqa: TRY400 - its text says all

    async def _commit(self, rows: list[bytes]) -> None:
        """Make the rows durable. Runs up to its first wait in one piece with the taking of `rows`."""
        if self._halted:
            raise self._halted
        if self._distrusted or self._lifted or self._folders.grown > self._limit:
            self._distrusted, self._lifted = True, False
            snapshot = marks.copy(self._marks)
            self._epoch = Epoch(self._epoch.store, self._epoch.number + 1)
            await self._in_thread(functools.partial(self._folders.roll, snapshot, self._epoch))
            self._distrusted = False
            if self._rolled is None or self._rolled.done():
                self._rolled = asyncio.get_running_loop().create_task(self._after_roll(snapshot, self._epoch))
        elif rows:
            self._distrusted = True
            await self._in_thread(functools.partial(self._folders.append, rows))
            self._distrusted = False

    async def _after_roll(self, snapshot: Marks, epoch: Epoch) -> None:
        """What a new journal brings with it and no signature waits for."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._beside, self._folders.write_v2, snapshot)
            if self._anchor:
                await self._anchor.write(epoch)
        except ConfigError as error:
            self._halted = error
            logger.error("No more watermarks are written: %s", error)  # noqa: TRY400 - its text says all
        except SignatoryError as error:
            logger.warning("Not up to date behind the journal of watermarks, tried again later: %s", error)

    def _next_epoch(self, found: Epoch | None, stored: Epoch | None) -> Epoch:
        """The epoch that begins now. Raises ConfigError for a folder older than its anchor."""
        place = self._anchor.place if self._anchor else ""
        if stored and self._accept_restored:
            return Epoch(stored.store, max(stored.number, found.number if found else 0) + 1)
        if stored and found is None:
            raise ConfigError(
                f"the anchor {place} has {stored}, and {self._base} has no journal of marks: it was wiped, "
                "or is an old copy",
                hint="restore it; or raise every mark above what was signed with "
                "`signatory-cli watermark raise --restored`",
            )
        if found is None:
            return Epoch(secrets.token_hex(16), 1)
        if self._anchor and stored is None:
            logger.warning(
                "The anchor %s is empty, and takes %s: nobody can tell an old copy now", place, found
            )
        moved(place, stored, found)
        return Epoch(found.store, found.number + 1)

    def _check_not_closed(self) -> None:
        if self._closing is not None:
            raise UnavailableError("the watermark store is closed")

    def _check_open(self) -> None:
        self._check_not_closed()
        if self._halted:
            raise UnavailableError(str(self._halted), hint=self._halted.hint)
        if not self._opened:
            raise UnavailableError("the watermark store is not open")

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @contextlib.contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        begun, error_type = time.perf_counter(), ""
        try:
            yield
        except Exception as error:
            error_type = _error_type(error)
            raise
        finally:
            self.on_io(operation, time.perf_counter() - begun, error_type)


def _error_type(error: BaseException) -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)
