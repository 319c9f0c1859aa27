"""Many keys: full files take no more, what stands is left as it is, and 10,000 keys are all there."""

import json
from pathlib import Path
from typing import Any

import pytest
from dynamodb import SLOW_MACHINE, Emulated, emulated
from sealed_samples import record, reference

from signatory.errors import IntegrityError
from signatory.files import Disk
from vaults.nitro.storage import items
from vaults.nitro.storage.dynamodb import DynamoStore
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.record import Stock

SMALL = 20_000


class Counting(Disk):
    """Knows how many bytes were written, and waits for no real disk."""

    written = 0

    def write(self, descriptor: int, data: bytes) -> None:
        self.written += len(data)
        super().write(descriptor, data)

    def sync(self, _: int) -> None:
        """Not waited for."""

    def sync_folder(self, _: Path) -> None:
        """Not waited for."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "enclave_keys.json"


def test_a_full_file_is_left_alone_and_the_next_one_takes_over(path: Path) -> None:
    keys = [record(seed) for seed in range(20)]
    for key in keys:
        FileStore(path, full=SMALL).add(key)
    files = sorted(path.parent.glob("sealed_keys*.json"))
    assert [file.name for file in files[:3]] == [
        "sealed_keys.2.json",
        "sealed_keys.3.json",
        "sealed_keys.4.json",
    ]
    assert all(SMALL <= file.stat().st_size < 2 * SMALL for file in files[:-2])
    assert FileStore(path).load() == Stock(tuple(keys))
    before = {file: file.stat().st_mtime_ns for file in files}
    FileStore(path, full=SMALL).add(record(99))
    assert sum(file.stat().st_mtime_ns != before[file] for file in files) <= 1


def test_what_one_more_key_costs_does_not_grow_with_the_keys(path: Path) -> None:
    disk = Counting()
    store = FileStore(path, disk=disk)
    store.add_many([record(seed) for seed in range(300)])
    for seed in range(300, 320):
        before = disk.written
        store.add(record(seed))
        assert disk.written - before < 1_100_000


def test_a_file_that_is_missing_between_others_is_named_and_never_made_up(path: Path) -> None:
    keys = [record(seed) for seed in range(12)]
    store = FileStore(path, full=SMALL)
    for key in keys:
        store.add(key)
    lost = path.with_name("sealed_keys.2.json")
    content = lost.read_bytes()
    lost.unlink()
    for reader in (store, FileStore(path, full=SMALL)):
        stock = reader.load()
        assert stock.problems == ("sealed_keys.2.json is missing, and later files are there: restore it",)
        assert set(stock.keys) < set(keys)
    store.add(record(50))
    assert not lost.exists()
    lost.write_bytes(content)
    assert set(store.load().keys) == {*keys, record_of(store, 50)}


def record_of(store: FileStore, seed: int) -> Any:
    return next(key for key in store.load().keys if key.id == record(seed).id)


def test_a_store_sees_files_that_others_began(path: Path) -> None:
    reader, writer = FileStore(path, full=SMALL), FileStore(path, full=SMALL)
    for seed in range(12):
        key = record(seed)
        writer.add(key)
        assert key in reader.load().keys
    path.with_name("sealed_keys.3.json").write_text("[")
    with pytest.raises(IntegrityError, match=r"sealed_keys\.3\.json is not a JSON array"):
        reader.load()


def test_what_stands_in_a_file_is_kept_to_the_byte(path: Path) -> None:
    odd = '  [ {"b":1.0e5,"a":"\\u00e4\\/"},\n\t17\t,null ]\t\n'
    path.write_text(odd)
    key = reference()
    FileStore(path).add(key)
    text = path.read_text()
    assert text.startswith(odd.rstrip()[:-1].rstrip() + ",\n    {\n")
    assert json.loads(text)[:3] == json.loads(odd)
    assert json.loads(text)[3]["public_key_hash"] == key.id


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(reference, id="signatory's"),
        pytest.param(record, id="ours", marks=pytest.mark.slow),
        pytest.param(lambda seed: reference(seed, born=True), id="born", marks=pytest.mark.slow),
    ],
)
def test_ten_thousand_keys_are_all_loaded(path: Path, make: Any) -> None:
    keys = [make(seed) for seed in range(10_000)]
    store = FileStore(path, disk=Counting())
    store.add_many(keys)
    store.add(make(10_000))
    stock = FileStore(path).load()
    assert stock.problems == ()
    assert stock.keys[:-1] == tuple(keys)


@pytest.mark.slow
async def test_ten_thousand_keys_of_tables_are_all_loaded() -> None:
    keys = [record(seed) if seed % 2 else reference(seed) for seed in range(10_000)]
    with emulated() as where:
        settings = [where.settings(name) for name in ("encrypted_keys", "sealed_keys")]
        store = await DynamoStore.open(*settings, patience=SLOW_MACHINE)
        await store.add_many(keys[:2])
        put_past_our_code(where, keys[2:])
        stock = await store.load()
        assert stock.problems == ()
        assert {key.id: key for key in stock.keys} == {key.id: key for key in keys}
        await store.close()


def put_past_our_code(where: Emulated, keys: list[Any]) -> None:
    client = where.client()
    for start in range(0, len(keys), 24):
        requests: dict[str, list[Any]] = {"encrypted_keys": [], "sealed_keys": []}
        for key in keys[start : start + 24]:
            name = "encrypted_keys" if key.is_reference else "sealed_keys"
            item = items.to_reference(key, "t") if key.is_reference else items.to_sealed(key, "t")
            requests[name].append({"PutRequest": {"Item": item}})
        assert not client.batch_write_item(RequestItems=requests)["UnprocessedItems"]
    client.close()
