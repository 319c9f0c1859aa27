"""The folders of the file store: `watermark_journal/`, which is the truth, and `watermark_v2/` for Signatory.

Everything here blocks. One thread at a time calls it, but for `write_v2`, which may run beside `append` and
`roll`.
"""

import contextlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from signatory.errors import ConfigError, MalformedError, UnavailableError
from signatory.files import Disk, make_folders, put_durably, replace_durably
from signatory.watermark import journal, marks, older, v2
from signatory.watermark.anchor import Epoch
from signatory.watermark.hold import Hold, identity, standing
from signatory.watermark.store import Marks

logger = logging.getLogger(__name__)

_AHEAD_TEXT = {
    "what": "the marks in this folder are behind those in watermark_journal",
    "why": "the signer that writes both is running, or did not stop cleanly",
    "remedy": "start and stop it once, and this file goes; never remove it by hand",
}
_FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Found:
    """What the folders say, and where it differs."""

    marks: Marks
    """All of them; where journal and files have one mark, the higher."""
    v2: Marks | None
    """Those of `watermark_v2/`; None where there is no such folder."""
    epoch: Epoch | None
    """That of the journal; None where there is none."""
    ahead: bool
    """Whether JOURNAL-AHEAD.json stands."""


class Folders:
    """The files under one base folder."""

    def __init__(self, base_dir: Path, disk: Disk, measure: v2.Measure) -> None:
        self._base = base_dir
        self._v2_folder = base_dir / "watermark_v2"
        self._journal_folder = base_dir / "watermark_journal"
        self._path = self._journal_folder / "marks.journal"
        self._beside = re.compile(rf"\.{re.escape(self._path.name)}\.[0-9a-f]{{12}}")
        self._new_v2 = re.compile(r"\.watermark_v2\.[0-9a-f]{12}")
        self._disk = disk
        self._measure = measure
        self._hold = Hold()
        self._v2: dict[str, marks.Chain] = {}
        self._descriptor: int | None = None
        self._start = b""
        self._sequence = 0
        self._size = 0
        self._ahead = False
        self.grown = 0
        """Bytes appended since the journal was made."""

    def hold(self) -> None:
        """Keep other processes out until `release`, and clear what a crash left. Raises UnavailableError."""
        with self._mapped("open"):
            make_folders(self._base, _FOLDER_MODE, disk=self._disk)
            make_folders(self._journal_folder, _FOLDER_MODE, disk=self._disk)
            self._disk.sync_folder(self._base)  # names that a crash left without a sync
            try:
                self._hold.take(self._journal_folder)
                if self._v2_folder.exists():
                    self._hold.take(self._v2_folder)
                self._clear_remains()
            except BaseException:
                self._hold.release()
                raise

    def release(self) -> None:
        """Let another process have the folders; idempotent."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with contextlib.suppress(OSError):
                self._disk.close(descriptor)
        self._hold.release()

    def load(self, *, accept_lost: bool) -> Found:
        """Read all there is; changes nothing, needs no lock.

        `accept_lost` passes over a journal that is gone while JOURNAL-AHEAD.json stands. Raises ConfigError
        naming a file that is unknown or damaged, UnavailableError.
        """
        with self._mapped("read"):
            # The journal first: marks move from it into the files, never back.
            held = self._load_journal()
            stored, ahead = v2.read(self._v2_folder, self._measure)
            if held is None and ahead and not accept_lost:
                raise ConfigError(
                    f"{self._v2_folder / v2.AHEAD} stands and {self._path} is gone: newer marks are lost",
                    hint="restore the journal; or raise every mark above what was signed with "
                    "`signatory-cli watermark raise --restored`",
                )
            files = older.read(self._base) if stored is None else stored
        first = held.marks if held else {}
        v2.check_names(files, first)
        return Found(
            marks=marks.merge(first, files),
            v2=stored,
            epoch=held.epoch if held else None,
            ahead=ahead,
        )

    def settle(self, found: Found, epoch: Epoch) -> None:
        """Make the files say what was found, then begin the journal of `epoch`. Raises UnavailableError."""
        with self._mapped("write"):
            if found.v2 is None:
                self._make_v2(found.marks)
            else:
                self._disk.sync_folder(self._v2_folder)  # as in `hold`: JOURNAL-AHEAD.json may be such a name
                self._v2 = dict(found.v2)
            self._ahead = found.ahead
            for folder in older.folders(self._base):
                done = "migrated, and is" if found.v2 is None else "passed over; it is"
                logger.warning("%s was %s not read again: remove it", folder, done)
            self.write_v2(found.marks)
            self.roll(found.marks, epoch)

    def append(self, rows: list[bytes]) -> None:
        """One batch, durable on return. Raises UnavailableError; `roll` must come next then."""
        descriptor = self._descriptor
        if descriptor is None:
            raise UnavailableError("the journal of marks is not open")
        with self._mapped("write"):
            self._put_ahead()
            data = journal.frame(self._start, self._sequence, rows)
            with self._measure("write"):
                self._disk.write(descriptor, data)
                self._disk.sync(descriptor)
                self._check_in_place(descriptor, self._size + len(data))
            self._sequence += 1
            self._size += len(data)
            self.grown += len(data)

    def roll(self, snapshot: Marks, epoch: Epoch) -> None:
        """Begin a new journal that has every mark, in place of the old one. Raises UnavailableError.

        After an error neither may be appended to; try again.
        """
        data = journal.snapshot(epoch, snapshot)
        with self._mapped("write"):
            self._remake_v2(snapshot)
            if self._ahead or snapshot != self._v2:
                self._put_ahead()
            old, self._descriptor = self._descriptor, None
            if old is not None:
                self._disk.close(old)
            with self._measure("create"):
                self._descriptor = put_durably(self._path, data, disk=self._disk)
                self._check_in_place(self._descriptor, len(data))
        self._start, self._sequence, self._size, self.grown = journal.header(epoch), 1, len(data), 0

    def write_v2(self, snapshot: Marks) -> None:
        """Make `watermark_v2/` say what `snapshot` says. Raises UnavailableError."""
        with self._mapped("write"):
            self._hold.check()
            for name, chain in snapshot.items():
                if chain != self._v2.get(name):
                    path = self._v2_folder / f"{name}.json"
                    with self._measure("write" if name in self._v2 else "create"):
                        replace_durably(path, marks.encode(chain), disk=self._disk)
                    self._v2[name] = chain

    def finish(self, snapshot: Marks, epoch: Epoch) -> None:
        """The clean end: files and journal agree, Signatory may read the files.

        The files are read again: somebody may have changed them meanwhile. Raises ConfigError for one that is
        unknown or damaged, UnavailableError.
        """
        with self._mapped("write"):
            self._remake_v2(snapshot)
            found, _ = v2.read(self._v2_folder, self._measure)
            self._v2 = dict(found or {})
            v2.check_names(self._v2, snapshot)
            agreed = marks.merge(self._v2, snapshot)
            self.write_v2(agreed)
            self.roll(agreed, epoch)
            if self._ahead:
                self._disk.unlink(self._v2_folder / v2.AHEAD)
                self._disk.sync_folder(self._v2_folder)
            self._ahead = False

    def _put_ahead(self) -> None:
        """Also where it was removed by hand, though it says not to."""
        path = self._v2_folder / v2.AHEAD
        if not self._ahead or not path.exists():
            self._hold.check()
            replace_durably(path, json.dumps(_AHEAD_TEXT, indent=4).encode() + b"\n", disk=self._disk)
            self._ahead = True

    def _check_in_place(self, descriptor: int, size: int) -> None:
        """A file that lost its name, or was cut short, keeps nothing, though every write to it works.

        Few calls: after each one this thread waits for the interpreter, while requests wait for it.
        """
        self._hold.check(self._journal_folder)
        mine = os.fstat(descriptor)
        if standing(self._path) != identity(mine) or mine.st_size != size:
            raise UnavailableError(
                f"{self._path} was replaced or changed by something else",
                hint="leave it to this process, which writes a whole new one next",
            )

    def _load_journal(self) -> journal.Journal | None:
        if not self._path.exists():
            return None
        try:
            found = journal.read(v2.contents(self._path, self._measure))
        except MalformedError as error:
            raise v2.unreadable(self._path, error) from error
        if found.dropped:
            logger.warning(
                "%s ends with %d bytes of a batch that never was durable; they are dropped",
                self._path,
                found.dropped,
            )
        return found

    def _make_v2(self, found: Marks) -> None:
        """Whole or not at all: once the folder is there, older folders are never read again."""
        beside = self._base / f".watermark_v2.{secrets.token_hex(6)}"
        self._disk.make_folder(beside, _FOLDER_MODE)
        for name, chain in found.items():
            replace_durably(beside / f"{name}.json", marks.encode(chain), disk=self._disk)
        self._disk.replace(beside, self._v2_folder)
        self._disk.sync_folder(self._base)
        self._hold.take(self._v2_folder)
        self._v2 = dict(found)

    def _remake_v2(self, snapshot: Marks) -> None:
        """Where somebody removed the folder from under us. The journal, which is the truth, is still ours."""
        if not self._v2_folder.exists():
            self._hold.forget(self._v2_folder)
            self._hold.check()
            self._make_v2(snapshot)
        self._hold.check()

    def _clear_remains(self) -> None:
        """Files and folders that never got their names."""
        if self._v2_folder.exists():
            self._clear(self._v2_folder, v2.REMAINS)
        self._clear(self._journal_folder, self._beside)
        for folder in self._base.iterdir():
            if self._new_v2.fullmatch(folder.name):
                self._clear(folder, re.compile(".*"))
                self._disk.remove_folder(folder)

    def _clear(self, folder: Path, names: re.Pattern[str]) -> None:
        for path in folder.iterdir():
            if names.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(path)

    @contextlib.contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                f"cannot {doing} watermarks in {self._base}: {error.strerror}",
                hint="see that the disk has room, works, and belongs to the user of the process",
            ) from error
