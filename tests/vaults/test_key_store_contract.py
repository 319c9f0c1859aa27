"""What every key store must do, whatever keeps the keys: one suite over a table of stores."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from dynamodb import Emulated, emulated
from key_racer import opened
from sealed_samples import EVERY, record, reference

from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro.sealed import Scheme
from signatory.vault import KeyBirth
from vaults.nitro.storage.record import SealedKey, Stock
from vaults.nitro.storage.store import Shelf, Store

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Rig:
    """`where` is what key_racer understands; `spoil` puts a bad record beside the others, past our code."""

    where: str
    spoil: Callable[[str], None]

    async def open(self) -> Store:
        return await opened(self.where)


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Emulated]:
    """One emulator for the whole run, started by the first test that wants it."""
    with emulated() as running:
        yield running


def _file(folder: Path, _: Callable[[], Emulated]) -> Rig:
    def spoil(key_id: str) -> None:
        path = folder / "sealed_keys.json"
        bad = f'[{{"version": 2, "key_id": "{key_id}"}}, '
        path.write_text(path.read_text().replace("[", bad, 1))

    return Rig(str(folder / "enclave_keys.json"), spoil)


def _aws(_: Path, emulator: Callable[[], Emulated]) -> Rig:
    where, tables = emulator(), [f"keys-{uuid.uuid4().hex[:12]}" for _ in range(2)]

    def spoil(key_id: str) -> None:
        client = where.client()
        client.put_item(TableName=tables[1], Item={"key_id": {"S": key_id}, "version": {"N": "2"}})
        client.close()

    return Rig(",".join((where.endpoint, *tables)), spoil)


STORES = {"file": _file, "aws": _aws}
Opened = Callable[[], Awaitable[Store]]


@pytest.fixture(params=STORES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    found: Rig = STORES[request.param](tmp_path, lambda: request.getfixturevalue("dynamodb"))
    return found


@pytest.fixture
async def another(rig: Rig) -> AsyncIterator[Opened]:
    """Opens the same store again, as often as wanted."""
    stores: list[Store] = []

    async def open_one() -> Store:
        stores.append(await rig.open())
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(another: Opened) -> Store:
    return await another()


def as_stored(key: SealedKey) -> SealedKey:
    """Signatory's form says neither the public key nor the KMS key."""
    return replace(key, public=None, kms_key_arn="") if key.is_reference else key


def by_id(stock: Stock) -> dict[str, SealedKey]:
    return {key.id: key for key in stock.keys}


async def test_a_store_that_is_new_holds_nothing_and_remembers_nothing(store: Store) -> None:
    assert await store.load() == Stock()
    assert await store.is_extended() is False


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
async def test_a_key_comes_back_whole_from_another_store_on_the_same_place(
    store: Store, another: Opened, key: SealedKey
) -> None:
    await store.add(key)
    for reader in (store, await another()):
        assert await reader.load() == Stock((as_stored(key),))


async def test_keys_that_others_add_are_seen_by_a_store_that_has_read_before(
    store: Store, another: Opened
) -> None:
    other = await another()
    for key in EVERY.values():
        before = by_id(await store.load())
        await other.add(key)
        assert by_id(await store.load()) == before | {key.id: as_stored(key)}


async def test_the_order_is_the_same_at_every_reading(store: Store, another: Opened) -> None:
    await store.add_many(list(EVERY.values()))
    first = [key.id for key in (await store.load()).keys]
    assert sorted(first) == sorted(key.id for key in EVERY.values())
    for _ in range(2):
        assert [key.id for key in (await (await another()).load()).keys] == first


@pytest.mark.parametrize("first", [reference(), reference(born=True), record()])
@pytest.mark.parametrize("second", [reference(), reference(born=True), record(scheme=Scheme.KMS_GDK)])
async def test_a_key_that_is_there_is_never_overwritten_whatever_its_scheme(
    store: Store, another: Opened, first: SealedKey, second: SealedKey
) -> None:
    await store.add(first)
    for writer in (store, await another()):
        with pytest.raises(MalformedError, match=f"{first.id} is already in"):
            await writer.add(second)
        with pytest.raises(MalformedError, match=f"{first.id} is already in"):
            await writer.add_many([second])
    assert await store.load() == Stock((as_stored(first),))


async def test_one_bad_record_is_named_and_the_others_are_loaded(store: Store, rig: Rig) -> None:
    keys = [record(seed) for seed in (1, 2, 3)]
    await store.add_many(keys)
    rig.spoil("tz1NobodyKnows")
    stock = await store.load()
    assert by_id(stock) == {key.id: key for key in keys}
    (problem,) = stock.problems
    assert "tz1NobodyKnows" in problem
    assert "is left out: key_type is missing or no text" in problem
    await store.add(record(4))
    stock = await store.load()
    assert (len(stock.keys), len(stock.problems)) == (4, 1)


async def test_a_name_that_is_taken_by_a_record_which_cannot_be_read_stays_taken(
    store: Store, rig: Rig
) -> None:
    await store.add(record(1))
    rig.spoil(record(2).id)
    with pytest.raises(MalformedError, match="is already in"):
        await store.add(record(2))
    assert len((await store.load()).problems) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        replace(record(), public=None),
        replace(record(), version=2),
        replace(record(), user_id="somebody"),
        replace(record(), kms_key_arn="arn:aws:kms:x:1:key/2"),
        replace(record(), scheme=Scheme.KMS_GDK),
        replace(record(), blob=record().blob[:-1]),
        replace(record(1), id=record(2).id),
        replace(record(1), birth=record(2).birth),
        replace(record(), birth=KeyBirth(b"no statement", b"document")),
        replace(reference(1, born=True), blob=b"another"),
        replace(EVERY["a key of the reference's scheme that Signatory does not read"], user_id="somebody"),
        replace(EVERY["a key of the reference's scheme that Signatory does not read"], version=2),
    ],
)
async def test_a_key_that_would_not_come_back_as_it_is_is_refused_before_anything_is_written(
    store: Store, wrong: SealedKey
) -> None:
    with pytest.raises(MalformedError):
        await store.add(wrong)
    assert await store.load() == Stock()


async def test_that_a_vault_was_extended_is_remembered_for_good_and_is_no_key(
    store: Store, another: Opened
) -> None:
    await store.remember_extended()
    await store.remember_extended()
    await store.add_many(list(EVERY.values()))
    other = Shelf(await another())
    assert await other.is_extended() is True
    assert len(await other.known()) == len(EVERY)
    assert other.problems == ()


def race(where: str, *seeds: list[str]) -> list[list[str]]:
    """What each of some processes printed, started at once, each with its own seeds."""
    paths = (HERE.parents[1], HERE, HERE.parent / "support")
    racers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "key_racer.py"), where, *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(map(str, paths))},
        )
        for own in seeds
    ]
    try:
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("\n")
            racer.stdin.flush()
        return [racer.communicate(timeout=90)[0].splitlines() for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


async def test_two_processes_add_the_same_keys_and_each_is_won_once(store: Store, rig: Rig) -> None:
    contested = [str(seed) for seed in range(1, 13)]
    told = await asyncio.to_thread(race, rig.where, [*contested, "101", "102"], [*contested, "103", "104"])
    lines = [line.split() for printed in told for line in printed]
    assert sorted(seed for seed, _ in lines) == sorted([*contested, "101", "102", "103", "104"])
    stock = await store.load()
    assert stock.problems == ()
    assert sorted(key.blob.hex() for key in stock.keys) == sorted(blob for _, blob in lines)
    born = {key.id for key in stock.keys if key.birth is not None}
    assert born == {reference(int(seed)).id for seed, _ in lines if int(seed) % 4 != 2}
    assert all(key.birth is None or key.blob in key.birth.statement for key in stock.keys)


async def test_many_tasks_with_stores_of_their_own_add_one_key_and_one_of_them_wins(
    another: Opened, store: Store
) -> None:
    stores = [await another() for _ in range(4)]
    keys = [reference(1, born=True) for _ in stores]
    told = await asyncio.gather(
        *(one.add(key) for one, key in zip(stores, keys, strict=True)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in told) == ["MalformedError"] * 3 + ["NoneType"]
    assert await store.load() == Stock((keys[told.index(None)],))


async def test_more_than_two_megabytes_of_keys_are_all_loaded(store: Store, another: Opened) -> None:
    """DynamoDB gives one at a time; a file takes no more records after one."""
    keys = [record(seed, KeyType.MLDSA87, secret=4896) for seed in range(1, 121)]
    assert sum(len(key.blob) * 2 + len(key.birth.attestation) for key in keys if key.birth) > 2 * 1024 * 1024
    await store.add_many(keys)
    stock = await (await another()).load()
    assert stock.problems == ()
    assert by_id(stock) == {key.id: key for key in keys}


async def test_a_store_that_breaks_while_the_vault_runs_keeps_what_it_gave_last() -> None:
    class Breaking:
        stock: Any = Stock((reference(),))

        async def load(self) -> Stock:
            if isinstance(self.stock, Exception):
                raise self.stock
            return self.stock  # type: ignore[no-any-return]  # a test's own

    store: Any = Breaking()
    shelf = Shelf(store)
    assert await shelf.known() == store.stock.keys
    store.stock = IntegrityError("it is torn")
    assert [key.id for key in await shelf.known()] == [reference().id]
    assert shelf.problems == ("it is torn",)
    store.stock = Stock()
    assert await shelf.known() == ()
    assert shelf.problems == ()
    store.stock = IntegrityError("it is torn")
    with pytest.raises(IntegrityError):
        await Shelf(store).known()
