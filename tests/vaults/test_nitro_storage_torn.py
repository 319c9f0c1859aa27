"""Key files when the disk fails, fills or dies at any step, and when what stands there was cut afterwards."""

import errno
import os
from pathlib import Path

import pytest
from sealed_samples import plain, record, reference

from signatory.errors import IntegrityError, UnavailableError
from signatory.files import Disk
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.record import SealedKey

STEPS = ("create", "write", "sync", "replace", "sync_folder")
KINDS = {
    "signatory's": reference,
    "signatory's, born": lambda seed: reference(seed, born=True),
    "ours": record,
}


class Died(Exception):  # noqa: N818 - it is no error of the program: there is no program any more
    """The process ended here."""


class Failing(Disk):
    """Goes wrong at step `at`, from 1: with `error` that step fails, without, nothing happens any more.

    A write is done up to `cut` bytes of it. Real syncs are left out.
    """

    def __init__(self, at: int, *, error: int = 0, cut: int = 0) -> None:
        self.steps = 0
        self.dead = False
        self._at, self._error, self._cut = at, error, cut

    def create(self, path: Path, mode: int) -> int:
        self._step()
        return super().create(path, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._step()
        except (OSError, Died):
            super().write(descriptor, data[: self._cut])
            raise
        super().write(descriptor, data)

    def sync(self, _: int) -> None:
        self._step()

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def sync_folder(self, _: Path) -> None:
        self._step()

    def unlink(self, path: Path) -> None:
        if self.dead:
            raise Died
        super().unlink(path)

    def _step(self) -> None:
        self.steps += 1
        if self.dead or (self.steps == self._at and not self._error):
            self.dead = True
            raise Died
        if self.steps == self._at:
            raise OSError(self._error, os.strerror(self._error))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "enclave_keys.json"


def stored(path: Path) -> dict[str, SealedKey]:
    stock = FileStore(path).load()
    assert stock.problems == ()
    return {key.id: key for key in stock.keys}


def files(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("at", range(1, 11))
@pytest.mark.parametrize("error", [0, errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_or_dies_at_any_step_leaves_the_old_keys_or_the_new_one_too(
    path: Path, kind: type, at: int, error: int
) -> None:
    old, new = kind(1), kind(2)
    FileStore(path).add(old)
    before = files(path.parent)
    disk = Failing(at, error=error, cut=100)
    try:
        FileStore(path, disk=disk).add(new)
        failed = False
    except (UnavailableError, Died):
        failed = True
    assert failed is (disk.steps >= at)
    found = stored(path)
    assert found in ({old.id: old}, {old.id: old, new.id: new})
    assert failed or new.id in found
    if error:
        assert files(path.parent) - before <= {"key_births.json"}
    if new.id not in found:
        again = kind(2)
        FileStore(path).add(again)
        assert stored(path) == {old.id: old, again.id: again}


@pytest.mark.parametrize("error", [0, errno.ENOSPC])
def test_a_write_that_stops_at_any_byte_changes_nothing(path: Path, error: int) -> None:
    old, new = record(1, born=False), record(2, born=False)
    FileStore(path).add(old)
    ours = path.with_name("sealed_keys.json")
    before = ours.read_bytes()
    for cut in range(0, 2 * len(before), 17):
        with pytest.raises((UnavailableError, Died)):
            FileStore(path, disk=Failing(2, error=error, cut=cut)).add(new)
        assert ours.read_bytes() == before
    assert stored(path) == {old.id: old}
    FileStore(path).add(new)
    assert stored(path) == {old.id: old, new.id: new}


@pytest.mark.parametrize("name", ["enclave_keys.json", "sealed_keys.json"])
def test_a_file_that_was_cut_at_any_byte_is_refused_whole_and_never_overwritten(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "enclave_keys.json"
    FileStore(path).add_many([reference(1), record(2, born=False)])
    whole = (tmp_path / name).read_bytes()
    assert whole.endswith(b"}\n]\n")
    reader, everything = FileStore(path), FileStore(path).load()
    for length in range(len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="is not a JSON array; it is left as it is"):
            reader.load()
        if length % 100 == 0:
            with pytest.raises(IntegrityError, match="is left as it is"):
                FileStore(path).add_many([reference(4, born=True), plain(5)])
        assert (tmp_path / name).read_bytes() == whole[:length]
    for form in (whole[:-1], whole):
        (tmp_path / name).write_bytes(form)
        assert reader.load() == everything
    assert files(tmp_path) == {"enclave_keys.json", "sealed_keys.json", ".enclave_keys.json.lock"}


def test_births_that_were_cut_are_named_and_left_alone_and_cost_no_key(path: Path) -> None:
    keys = [reference(1, born=True), record(2)]
    FileStore(path).add_many(keys)
    births = path.with_name("key_births.json")
    whole = births.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        births.write_bytes(whole[:length])
        stock = FileStore(path).load()
        assert [key.id for key in stock.keys] == [key.id for key in keys]
        assert [key.birth for key in stock.keys] == [None, keys[1].birth]
        (problem,) = stock.problems
        assert problem == f"{births} is not a JSON array; it is left as it is"
        with pytest.raises(IntegrityError):
            FileStore(path).add(reference(3, born=True))
        assert births.read_bytes() == whole[:length]
        assert len(FileStore(path).load().keys) == 2
    births.write_bytes(whole)
    assert list(stored(path).values()) == keys


@pytest.mark.parametrize("at", range(1, len(STEPS) + 1))
def test_a_store_that_cannot_be_written_remembers_nothing_and_says_so(path: Path, at: int) -> None:
    with pytest.raises(UnavailableError, match="cannot write"):
        FileStore(path, disk=Failing(at, error=errno.EROFS)).remember_extended()
    assert FileStore(path).is_extended() is (STEPS[at - 1] == "sync_folder")


def test_a_mark_that_cannot_be_looked_at_is_neither_there_nor_absent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    store = FileStore(path)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UnavailableError, match=r"cannot read .*sealed_keys\.extended: Permission denied"):
        store.is_extended()
