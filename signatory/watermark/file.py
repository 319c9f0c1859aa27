"""Marks in Signatory's files: one per chain, rewritten whole, durable before any signature is asked for."""

import asyncio
import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from signatory.errors import ConfigError, MalformedError, UnavailableError
from signatory.files import locked, replace_durably, sync_folder
from signatory.watermark import marks
from signatory.watermark.rules import Mark
from signatory.watermark.store import IoObserver, ignore_io

_CHAIN_FILE = re.compile(r"(Net[1-9A-HJ-NP-Za-km-z]{12})\.json")
_OWN_REMAINS = re.compile(r"\.Net[1-9A-HJ-NP-Za-km-z]{12}\.json\.[0-9a-f]{12}")


class FileStore:
    """The store of `watermark: {driver: file}`.

    All reading, comparing and writing happens in one thread, in order. A caller that goes away in the middle
    therefore changes nothing: what was begun completes, and the next caller is compared with it.
    """

    backend = "file"

    def __init__(self, base_dir: Path) -> None:
        self.on_io: IoObserver = ignore_io
        self._folder = base_dir / "watermark_v2"
        self._chains: dict[str, marks.Chain] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watermark")
        self._held = contextlib.ExitStack()
        self._opened = self._closed = False

    async def open(self) -> None:
        """Load every mark and hold the folder for this process; a second call does nothing.

        Raises ConfigError naming a file that is unknown or torn, UnavailableError when another process holds
        the marks or the disk fails.
        """
        await self._run(self._open)

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """See WatermarkStore. Raises WatermarkError, UnavailableError."""
        await self._run(self._advance, chain, pkh, kind, mark)

    async def close(self) -> None:
        """Finish what is being written and let another process have the folder; idempotent."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)
        self._held.close()

    async def _run(self, work: Callable[..., None], *arguments: object) -> None:
        if self._closed:
            raise UnavailableError("the watermark store is closed")
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self) -> None:
        if self._opened:
            return
        with contextlib.ExitStack() as held:
            try:
                self._refuse_older()
                self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
                sync_folder(self._folder.parent)
                held.enter_context(locked(self._folder, wait=False))
                self._chains = {path.stem: self._load(path) for path in self._files()}
            except OSError as error:
                raise UnavailableError(
                    f"cannot read watermarks in {self._folder}: {error.strerror}"
                ) from error
            self._held = held.pop_all()
        self._opened = True

    def _refuse_older(self) -> None:
        """Marks in a form that this version does not read must not be passed over in silence."""
        if self._folder.exists():
            return
        for name in ("watermark_v1", "watermark"):
            older = self._folder.with_name(name)
            if older.is_dir() and any(older.iterdir()):
                raise ConfigError(
                    f"{older} holds watermarks of an older Signatory, which this version does not read",
                    hint=f"start Signatory 1.x once, so that it writes {self._folder}",
                )

    def _files(self) -> list[Path]:
        found = []
        for path in sorted(self._folder.iterdir()):
            if _OWN_REMAINS.fullmatch(path.name):
                path.unlink()  # a write that a crash cut short: never renamed, so no signature followed it
            elif _CHAIN_FILE.fullmatch(path.name) and path.is_file():
                found.append(path)
            else:
                raise ConfigError(
                    f"{path} is not a watermark file",
                    hint="the folder holds one file per chain, like NetXdQprcVkpaWU.json; move the rest away",
                )
        return found

    def _load(self, path: Path) -> marks.Chain:
        with self._measured("read"):
            data = path.read_bytes()
        try:
            return marks.decode(data)
        except MalformedError as error:
            raise ConfigError(
                f"{path} cannot be read: {error}",
                hint="restore it from a copy that is at least as new as the last signature, or ask the chain "
                "for the highest level signed and write that",
            ) from error

    def _advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        if not self._opened:
            raise UnavailableError("the watermark store is not open")
        path = self._folder / f"{chain}.json"
        new = marks.advance(self._chains.get(chain, {}), pkh, kind, mark)
        if new == self._chains.get(chain):
            return  # the same bytes again: the mark on disk is already this one
        with self._measured("write" if chain in self._chains else "create"):
            replace_durably(path, marks.encode(new))
        self._chains[chain] = new

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
