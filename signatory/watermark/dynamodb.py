"""Marks in Signatory's DynamoDB table, for daemons on several machines; and an anchor in one of its items.

An advance is one transaction: the item of its own kind is written, those of the other kinds of its slot are
checked. An answer that is lost is settled by a consistent read: either the item has our token, or the same
transaction is tried again under its idempotency token.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from signatory.errors import ConfigError, IntegrityError, MalformedError, UnavailableError
from signatory.net.dynamodb import IoTold, Patience, Table, TableSettings
from signatory.net.dynamodb_errors import RefusedError, UnknownOutcomeError
from signatory.watermark import items, marks, rules
from signatory.watermark.anchor import Epoch, moved
from signatory.watermark.marks import Table as Marked
from signatory.watermark.rules import Mark
from signatory.watermark.store import Marks

DEFAULT_TABLE = "watermark"

_MEND = "write a level and a round there above all that was signed, or remove it if nothing was"


class DynamoStore:
    """The store of `watermark: {driver: aws}`. Several daemons may use one table at once."""

    backend = "aws"

    def __init__(self, settings: TableSettings, *, patience: Patience = Patience()) -> None:  # noqa: B008  # frozen
        self.table = settings.table
        self._table = Table(settings, patience)
        self._opened = self._closed = False
        self._passed: Marked = {}
        """What this process let through: where an item is lost or put back, none of it is contradicted."""

    @property
    def on_io(self) -> IoTold:
        """See WatermarkStore."""
        return self._table.on_io

    @on_io.setter
    def on_io(self, observer: IoTold) -> None:
        self._table.on_io = observer

    async def open(self) -> None:
        """See WatermarkStore; makes the table where it is not there."""
        self._check_not_closed()
        if not self._opened:
            await self._table.ensure(items.HASH_KEY, items.RANGE_KEY)
            self._opened = True

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """See WatermarkStore. Raises IntegrityError for an item that cannot be a mark.

        A table that is busy or does not answer is tried again for some seconds, then UnavailableError.
        """
        self._check_open()
        passed = self._passed.setdefault(chain, {}).setdefault(pkh, {})
        marks.check(passed, kind, mark)
        token = secrets.token_hex(16)
        place = (chain, pkh, kind)
        transaction = items.transaction(self.table, place, mark, token)

        async def attempt() -> None:
            try:
                await self._table.call(
                    "write", "transact_write_items", TransactItems=transaction, ClientRequestToken=token
                )
            except RefusedError as error:
                await self._refused(place, mark, token, error)
            except UnknownOutcomeError:
                if not await self._is_ours(place, token):
                    raise

        await self._table.persist(attempt)
        marks.check(passed, kind, mark)  # others passed meanwhile, the table may have changed under us
        passed[kind] = mark

    async def current(self, chain: str, pkh: str, kind: str) -> Mark | None:
        """See WatermarkStore."""
        self._check_open()
        found = await asyncio.gather(
            *(self._table.persist(self._reader(chain, pkh, other)) for other in items.kinds_of(kind))
        )
        known = [mark for mark in found if mark is not None]
        return max(known, key=lambda mark: (mark.level, mark.round), default=None)

    async def lift(self, lifted: Marks) -> int:
        """See WatermarkStore."""
        self._check_open()
        rose = [
            await self._lift((chain, pkh, kind), mark)
            for chain, keys in lifted.items()
            for pkh, kinds in keys.items()
            for kind, mark in kinds.items()
        ]
        return sum(rose)

    async def inspect(self) -> Marks:
        """See WatermarkStore; reads every page."""
        self._check_not_closed()
        found: dict[str, dict[str, dict[str, Mark]]] = {}
        start: dict[str, Any] = {}
        while True:
            page = await self._table.persist(self._pager(start))
            for fields in page.get("Items", ()):
                try:
                    if items.is_anchor(fields):
                        continue
                    chain, pkh, kind = items.place_of(fields)
                    mark = items.mark_of(fields)
                except MalformedError as error:
                    raise ConfigError(f"{_named(self.table, fields)}: {error}", hint=_MEND) from error
                found.setdefault(chain, {}).setdefault(pkh, {})[kind] = mark
            if not (last := page.get("LastEvaluatedKey")):
                return found
            start = {"ExclusiveStartKey": last}

    async def close(self) -> None:
        """See WatermarkStore."""
        self._closed = True
        await self._table.close()

    async def _refused(
        self, place: tuple[str, str, str], mark: Mark, token: str, error: RefusedError
    ) -> None:
        """Raise what the stored items say; return where an earlier attempt of ours wrote the item."""
        own = error.items[0] if error.items else None
        if own and items.token_of(own) == token:
            return
        for sibling, fields in zip(items.kinds_of(place[2]), error.items, strict=False):
            if fields is not None:
                where = (*place[:2], sibling)
                stored = self._mark(where, fields) if fields else await self._reader(*where)()
                rules.advance(stored, mark)
        raise IntegrityError(
            f"the DynamoDB table {self.table} refused a mark that is above what it has",
            hint="does something else write to this table?",
        )

    async def _lift(self, place: tuple[str, str, str], mark: Mark) -> bool:
        token = secrets.token_hex(16)

        async def put(wanted: Mark, condition: Mapping[str, Any]) -> None:
            item = items.item(*place, wanted, token)
            await self._table.call("write", "put_item", TableName=self.table, Item=item, **condition)

        async def attempt() -> bool:
            try:
                await put(mark, items.condition(mark, same=False))
            except RefusedError as error:
                fields = error.items[0] or await self._item(place) or {}
            else:
                return True
            stored = self._mark(place, fields)
            if items.token_of(fields) == token or (settled := marks.higher(stored, mark)) == stored:
                return items.token_of(fields) == token
            try:
                await put(settled, items.condition_at(settled))
            except RefusedError:
                return False  # it rose meanwhile
            return True

        return await self._table.persist(attempt)

    async def _is_ours(self, place: tuple[str, str, str], token: str) -> bool:
        fields = await self._item(place)
        return fields is not None and items.token_of(fields) == token

    async def _item(self, place: tuple[str, str, str]) -> items.Item | None:
        reply = await self._table.call(
            "read", "get_item", TableName=self.table, Key=items.key(*place), ConsistentRead=True
        )
        found: items.Item | None = reply.get("Item")
        return found

    def _reader(self, chain: str, pkh: str, kind: str) -> Callable[[], Awaitable[Mark | None]]:
        async def read() -> Mark | None:
            fields = await self._item((chain, pkh, kind))
            return None if fields is None else self._mark((chain, pkh, kind), fields)

        return read

    def _pager(self, start: Mapping[str, Any]) -> Callable[[], Awaitable[Mapping[str, Any]]]:
        return lambda: self._table.call("read", "scan", TableName=self.table, ConsistentRead=True, **start)

    def _mark(self, place: tuple[str, str, str], fields: items.Item) -> Mark:
        try:
            return items.mark_of(fields)
        except MalformedError as error:
            named = _named(self.table, items.key(*place))
            raise IntegrityError(f"{named}: {error}", hint=_MEND) from error

    def _check_open(self) -> None:
        self._check_not_closed()
        if not self._opened:
            raise UnavailableError("the watermark store is not open")

    def _check_not_closed(self) -> None:
        if self._closed:
            raise UnavailableError("the watermark store is closed")


class DynamoAnchor:
    """An anchor in the item `anchor/NAME` of a table like the store's. See Anchor."""

    def __init__(
        self,
        settings: TableSettings,
        name: str = "default",
        *,
        patience: Patience = Patience(),  # noqa: B008  # frozen
    ) -> None:
        self.place = f"{settings.table}, item {items.ANCHOR}{name}"
        self._table = Table(settings, patience)
        self._key = {items.HASH_KEY: {"S": items.ANCHOR + name}, items.RANGE_KEY: {"S": "epoch"}}
        self._ready = False

    async def read(self) -> Epoch | None:
        """See Anchor; makes the table where it is not there."""
        await self._ensure()
        return await self._table.persist(self._read)

    async def write(self, epoch: Epoch) -> None:
        """See Anchor. The comparison is the table's own: of two writers one is refused."""
        await self._ensure()
        written = {**self._key, "store": {"S": epoch.store}, "epoch": {"N": str(epoch.number)}}
        condition = {
            "ConditionExpression": "attribute_not_exists(#idx) OR (#store = :store AND #epoch <= :epoch)",
            "ExpressionAttributeNames": {"#idx": items.HASH_KEY, "#store": "store", "#epoch": "epoch"},
            "ExpressionAttributeValues": {":store": written["store"], ":epoch": written["epoch"]},
        }

        async def attempt() -> None:
            try:
                await self._table.call(
                    "write", "put_item", TableName=self._table.name, Item=written, **condition
                )
            except RefusedError:
                moved(self.place, await self._read(), epoch)
                raise IntegrityError(f"the anchor {self.place} refused {epoch} for no reason") from None

        await self._table.persist(attempt)

    async def close(self) -> None:
        """See Anchor."""
        await self._table.close()

    async def _ensure(self) -> None:
        if not self._ready:
            await self._table.ensure(items.HASH_KEY, items.RANGE_KEY)
            self._ready = True

    async def _read(self) -> Epoch | None:
        reply = await self._table.call(
            "read", "get_item", TableName=self._table.name, Key=self._key, ConsistentRead=True
        )
        fields = reply.get("Item")
        if fields is None:
            return None
        try:
            number = str(fields.get("epoch", {}).get("N"))
            return Epoch.checked(
                fields.get("store", {}).get("S"),
                int(number) if number.isascii() and number.isdigit() else None,
            )
        except MalformedError as error:
            raise ConfigError(
                f"the anchor {self.place} cannot be read: {error}",
                hint="remove the item only if the mark folder is surely not an old copy",
            ) from error


def _named(table: str, fields: items.Item) -> str:
    key = [str(fields.get(name, {}).get("S"))[:80] for name in (items.HASH_KEY, items.RANGE_KEY)]
    return f"the item {key[0]!r}, {key[1]!r} of the DynamoDB table {table} cannot be read"
