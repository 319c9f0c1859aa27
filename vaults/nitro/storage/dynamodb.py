"""Sealed keys in two DynamoDB tables: Signatory's `encrypted_keys`, and ours.

A key is one conditional write, or one transaction where its birth stands in the other table. An answer that
is lost is settled by a consistent read: either the item has our token, or the same write is tried again.
Tables are made when something is first written to them.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from signatory.errors import ConfigError, IntegrityError, MalformedError
from signatory.net.aws import Waits
from signatory.net.dynamodb import Patience, Table, TableSettings
from signatory.net.dynamodb_errors import RefusedError, TableMissingError, UnknownOutcomeError
from vaults.nitro.storage import items
from vaults.nitro.storage.items import Item
from vaults.nitro.storage.record import SealedKey, Stock
from vaults.nitro.storage.stocktaking import Entry, Placed, stock_of

CALLS = 16
"""Calls under way at once for each table."""
PAUSE = 1.0
"""Seconds for each page after the first two, for which what was read counts as what is there.

A page costs 250 read units, and whoever asks for an unknown key makes the daemon look again.
"""

T = TypeVar("T")


@dataclass(slots=True)
class _Place:
    """A table, its hash key, whether it is known to be there, and what was read from it."""

    table: Table
    hash_key: str
    made: bool = False
    known: dict[str, tuple[Item, Entry[Any]]] = field(default_factory=dict)

    def read(self, found: Iterable[Item], read: Callable[[Item], T]) -> Iterator[Placed[T]]:
        """What `read` makes of the items; of those that did not change, what it made before."""
        for item in found:
            name = items.name_of(item, self.hash_key)
            before = self.known.get(name)
            if before is None or before[0] != item:
                before = self.known[name] = (item, _entry(name, item, read))
            yield f"the item {name[:80]!r} of the DynamoDB table {self.table.name}", before[1]


class DynamoStore:
    """Several daemons may use the tables at once. See Store."""

    def __init__(self, reference: TableSettings, sealed: TableSettings, patience: Patience) -> None:
        self._reference = _Place(Table(reference, patience), items.REFERENCE_KEY)
        self._sealed = _Place(Table(sealed, patience), items.SEALED_KEY)
        self._last: Stock | None = None
        self._fresh_until = 0.0
        self._added = 0

    @classmethod
    async def open(
        cls,
        reference: TableSettings,
        sealed: TableSettings,
        *,
        patience: Patience = Patience(waits=Waits(calls=CALLS)),  # noqa: B008  # frozen
    ) -> Self:
        """Reach both tables; nothing is made yet.

        Raises ConfigError for a table with other keys, and where neither is there and none may be made;
        UnavailableError.
        """
        store = cls(reference, sealed, patience)
        try:
            there = [await place.table.exists(place.hash_key) for place in (store._reference, store._sealed)]
        except BaseException:
            await store.close()
            raise
        if any(there) or reference.create:
            return store
        await store.close()
        raise ConfigError(
            f"there is no DynamoDB table {reference.table}, and none {sealed.table}",
            hint="is the region right? make them, or allow `create_table: true`",
        )

    async def load(self) -> Stock:
        """See Store; reads every page of both tables. First Signatory's keys, then ours, each by id."""
        if self._last is None or time.monotonic() >= self._fresh_until:
            added = self._added
            reference, sealed = await asyncio.gather(self._scan(self._reference), self._scan(self._sealed))
            self._last = await asyncio.to_thread(self._stock, reference[0], sealed[0])
            pause = PAUSE * max(0, reference[1] + sealed[1] - 2) if added == self._added else 0.0
            self._fresh_until = time.monotonic() + pause
        return self._last

    async def add(self, key: SealedKey) -> None:
        """See Store."""
        token = secrets.token_hex(16)
        writes = _writes(key, token, self._reference, self._sealed)
        for place, _ in writes:
            await self._make(place)
        (home, item), *beside = writes
        other = self._sealed if home is self._reference else self._reference
        if await self._get(other, key.id) is not None:
            raise MalformedError(f"{key.id} is already in the DynamoDB table {other.table.name}")

        async def attempt() -> None:
            try:
                await _put(home, item, beside, token)
            except RefusedError:
                if not await self._is_ours(home, key.id, token):
                    raise MalformedError(
                        f"{key.id} is already in the DynamoDB table {home.table.name}"
                    ) from None
            except UnknownOutcomeError:
                if not await self._is_ours(home, key.id, token):
                    raise

        await home.table.persist(attempt)
        self._fresh_until, self._added = 0.0, self._added + 1
        for place, written in writes:
            if await self._get(place, items.name_of(written, place.hash_key)) != written:
                raise IntegrityError(
                    f"{key.id} was written to the DynamoDB table {place.table.name} and does not come back"
                )

    async def add_many(self, keys: Sequence[SealedKey]) -> None:
        """See Store; some at a time."""
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, CALLS)):
            told = await asyncio.gather(*(self.add(key) for key in batch), return_exceptions=True)
            for outcome in told:
                if outcome is not None:
                    raise outcome

    async def is_extended(self) -> bool:
        """See Store. A table that is not there remembers nothing."""
        return await self._get(self._sealed, items.PROTOCOL) is not None

    async def remember_extended(self) -> None:
        """See Store."""
        if await self.is_extended():
            return
        await self._make(self._sealed)
        table = self._sealed.table
        item = items.protocol(secrets.token_hex(16))
        await table.persist(lambda: table.call("write", "put_item", TableName=table.name, Item=item))
        if not await self.is_extended():
            raise IntegrityError(
                f"{items.PROTOCOL} was written to the DynamoDB table {table.name} and does not come back"
            )

    async def close(self) -> None:
        """See Store."""
        await asyncio.gather(self._reference.table.close(), self._sealed.table.close())

    async def _make(self, place: _Place) -> None:
        if not place.made:
            await place.table.ensure(place.hash_key)
            place.made = True

    async def _get(self, place: _Place, name: str) -> Item | None:
        """The item as it is now; None where it or the table is not there."""
        table, key = place.table, items.key_of(place.hash_key, name)

        async def attempt() -> Item | None:
            try:
                reply = await table.call(
                    "read", "get_item", TableName=table.name, Key=key, ConsistentRead=True
                )
            except TableMissingError:
                return None
            found: Item | None = reply.get("Item")
            return found

        return await table.persist(attempt)

    async def _is_ours(self, place: _Place, name: str, token: str) -> bool:
        found = await self._get(place, name)
        return found is not None and items.token_of(found) == token

    async def _scan(self, place: _Place) -> tuple[list[Item], int]:
        """All items by their key, and how many pages they took."""
        table, found, start = place.table, list[Item](), dict[str, Any]()

        async def attempt() -> Mapping[str, Any]:
            try:
                return await table.call("read", "scan", TableName=table.name, ConsistentRead=True, **start)
            except TableMissingError:
                return {}

        pages = 0
        while True:
            page = await table.persist(attempt)
            pages += 1
            found += page.get("Items", ())
            if not (last := page.get("LastEvaluatedKey")):
                return sorted(found, key=lambda item: items.name_of(item, place.hash_key)), pages
            start = {"ExclusiveStartKey": last}

    def _stock(self, reference: Iterable[Item], sealed: Iterable[Item]) -> Stock:
        keys, births = list[Item](), list[Item]()
        for item in sealed:
            name = items.name_of(item, items.SEALED_KEY)
            if not name.startswith(items.META):
                (births if name.startswith(items.BIRTH) else keys).append(item)
        return stock_of(
            [
                *self._reference.read(reference, items.from_reference),
                *self._sealed.read(keys, items.from_sealed),
            ],
            self._sealed.read(births, items.from_birth),
        )


def _entry(name: str, item: Item, read: Callable[[Item], T]) -> Entry[T]:
    try:
        return Entry(name, read(item))
    except MalformedError as error:
        return Entry(name, None, error.message)


def _writes(key: SealedKey, token: str, reference: _Place, sealed: _Place) -> list[tuple[_Place, Item]]:
    """The item of the key, and that of its birth where it stands apart."""
    if not key.is_reference:
        return [(sealed, items.to_sealed(key, token))]
    own = (reference, items.to_reference(key, token))
    return [own, (sealed, items.to_birth(key, token))] if key.birth else [own]


async def _put(home: _Place, item: Item, beside: Sequence[tuple[_Place, Item]], token: str) -> None:
    """Write where no item of this key is. What stands beside is of no use without it, and is overwritten."""
    own = {
        "TableName": home.table.name,
        "Item": item,
        "ConditionExpression": "attribute_not_exists(#key)",
        "ExpressionAttributeNames": {"#key": home.hash_key},
    }
    if not beside:
        await home.table.call("write", "put_item", **own)
        return
    puts = [own, *({"TableName": place.table.name, "Item": other} for place, other in beside)]
    await home.table.call(
        "write",
        "transact_write_items",
        TransactItems=[{"Put": put} for put in puts],
        ClientRequestToken=token,
    )
