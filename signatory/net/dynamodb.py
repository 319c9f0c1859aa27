"""One DynamoDB table, called from asyncio: boto3 in a bounded pool of threads, our own deadlines and retries.

Every answer must show that it is DynamoDB's. botocore reads a 200 with any text as success, and a write must
not count as done because something in between said so.
"""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from signatory.errors import ConfigError, UnavailableError
from signatory.net import aws
from signatory.net.aws import AwsCredentials, Waits
from signatory.net.dynamodb_errors import (
    BusyError,
    CallFailedError,
    ExpiredError,
    RefusedError,
    TableExistsError,
    TableMissingError,
    UnknownOutcomeError,
    UnreachedError,
    mapped,
)

Reply = Mapping[str, Any]
Told = TypeVar("Told")

IoTold = Callable[[str, float, str], None]
"""As `watermark.store.IoObserver`: operation, seconds, type of the error or nothing."""

_PROOF = {
    "transact_write_items": "ConsumedCapacity",
    "put_item": "ConsumedCapacity",
    "get_item": "ConsumedCapacity",
    "scan": "Count",
    "describe_table": "Table",
    "create_table": "TableDescription",
}
"""What a whole answer has; the first three because every call asks for it."""


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Which table, where, and with whose credentials: None means AWS's default chain."""

    table: str
    region: str | None = None
    endpoint: str | None = None
    credentials: AwsCredentials | None = field(default=None, repr=False)
    create: bool = True


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is tried, in seconds: one piece of work, the first answer at all, a table to be made.

    Pauses double, with jitter.
    """

    work: float = 5.0
    reach: float = 15.0
    creation: float = 120.0
    first_pause: float = 0.025
    longest_pause: float = 0.4
    waits: Waits = field(default_factory=Waits)


class Table:
    """The calls. `on_io` is told of each one, from a thread."""

    def __init__(self, settings: TableSettings, patience: Patience = Patience()) -> None:
        self.name = settings.table
        self.on_io: IoTold = lambda _operation, _seconds, _error: None
        self._settings = settings
        self._patience = patience
        self._threads = ThreadPoolExecutor(patience.waits.calls, thread_name_prefix="dynamodb")
        self._making = threading.Lock()
        self._client: Any = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def persist(self, attempt: Callable[[], Awaitable[Told]], seconds: float | None = None) -> Told:
        """Make `attempt` until it succeeds, within the time of one piece of work.

        Busy tables and unknown outcomes are tried again; what else it raises ends it. Raises UnavailableError
        when the time is over, with the last reason.
        """
        if self._closed:
            raise UnavailableError(f"the DynamoDB table {self.name} is closed")
        limit = self._patience.work if seconds is None else seconds
        last: CallFailedError | None = None
        async with self._counted():
            try:
                async with asyncio.timeout(limit):
                    async for _ in self._pauses():
                        try:
                            return await attempt()
                        except (BusyError, UnknownOutcomeError) as error:
                            last = error
                        except ExpiredError as error:
                            if self._settings.credentials is not None:
                                raise
                            last = error
            except TimeoutError:
                pass
        reason = last.message if last else f"the DynamoDB table {self.name} did not answer"
        hint = (
            last.hint if last else None
        ) or "check region and endpoint, and that they can be reached from here"
        raise UnavailableError(f"{reason}; given up after {limit:g} s", hint=hint)

    async def call(self, io: str, operation: str, **parameters: Any) -> Reply:
        """One call, tried once. Raises CallFailedError; ConfigError where no client can be made."""
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._measured, io, operation, parameters
        )
        return await work

    async def ensure(self, hash_key: str, range_key: str | None = None) -> None:
        """Wait until the table can be used; make it, on demand and protected, where it may and must be made.

        Raises ConfigError for a table with other keys and for one that is not there and may not be made,
        UnavailableError for an endpoint that does not answer, long before a table that is made is given up.
        """
        begun, answered = time.monotonic(), False

        async def attempt() -> None:
            nonlocal answered
            try:
                await self._usable(hash_key, range_key)
            except UnreachedError as error:
                if not answered and time.monotonic() - begun > self._patience.reach:
                    raise UnavailableError(error.message, hint=error.hint) from None
                raise
            except BusyError:
                answered = True
                raise

        await self.persist(attempt, self._patience.creation)

    async def exists(self, hash_key: str, range_key: str | None = None) -> bool:
        """Whether the table is there; makes nothing. Raises ConfigError for other keys, UnavailableError."""

        async def attempt() -> bool:
            try:
                await self._check_active(hash_key, range_key)
            except TableMissingError:
                return False
            return True

        return await self.persist(attempt)

    async def close(self) -> None:
        """Finish what is under way, then let go of threads and connections; idempotent."""
        self._closed = True
        await self._idle.wait()
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _usable(self, hash_key: str, range_key: str | None) -> None:
        try:
            await self._check_active(hash_key, range_key)
        except TableMissingError as error:
            if not self._settings.create:
                raise ConfigError(error.message, hint="make it, or allow `create_table: true`") from None
            await self._create(hash_key, range_key)
            raise BusyError(f"the DynamoDB table {self.name} is being made", error.code) from None

    async def _check_active(self, hash_key: str, range_key: str | None) -> None:
        found = (await self.call("read", "describe_table", TableName=self.name))["Table"]
        keys = [(key.get("AttributeName"), key.get("KeyType")) for key in found.get("KeySchema", ())]
        types = {row.get("AttributeName"): row.get("AttributeType") for row in found["AttributeDefinitions"]}
        if keys != _schema(hash_key, range_key) or {types.get(name) for name, _ in keys} != {"S"}:
            names = f"{hash_key} and {range_key}" if range_key else f"{hash_key} alone"
            raise ConfigError(
                f"the DynamoDB table {self.name} has other keys than {names}",
                hint="name another table; this one holds something else",
            )
        if found.get("TableStatus") not in {"ACTIVE", "UPDATING"}:
            state = found.get("TableStatus")
            raise BusyError(f"the DynamoDB table {self.name} is not active ({state})", "TableNotActive")

    async def _create(self, hash_key: str, range_key: str | None) -> None:
        keys = _schema(hash_key, range_key)
        parameters = {
            "TableName": self.name,
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            "BillingMode": "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": True,
        }
        try:
            await self.call("create", "create_table", **parameters)
        except TableExistsError:
            return  # another daemon was faster

    async def _pauses(self) -> AsyncIterator[None]:
        longest = self._patience.first_pause
        while True:
            yield
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads load, keeps no secret
            longest = min(longest * 2, self._patience.longest_pause)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def _measured(self, io: str, operation: str, parameters: Mapping[str, Any]) -> Reply:
        begun, error_type = time.perf_counter(), ""
        try:
            return self._called(operation, parameters)
        except (RefusedError, TableExistsError):
            raise  # the table works: this is its answer
        except CallFailedError as error:
            error_type = error.code
            raise
        except Exception as error:
            error_type = type(error).__name__
            raise
        finally:
            self.on_io(io, time.perf_counter() - begun, error_type)

    def _called(self, operation: str, parameters: Mapping[str, Any]) -> Reply:
        client = self._ready()
        if _PROOF[operation] == "ConsumedCapacity":
            parameters = {**parameters, "ReturnConsumedCapacity": "TOTAL"}
        try:
            reply: Reply = getattr(client, operation)(**parameters)
        except Exception as error:  # noqa: BLE001 - botocore raises more families than it documents
            failure = mapped(error, operation, self.name)
            if isinstance(failure, ExpiredError):
                self._renew(client)
            raise failure from None  # its text may repeat the request, session token and all
        if _PROOF[operation] not in reply:
            what = f"the DynamoDB table {self.name} gave an answer that is not DynamoDB's"
            raise UnknownOutcomeError(what, "NotDynamoDB", hint="something stands between the daemon and AWS")
        return reply

    def _ready(self) -> Any:
        with self._making:
            if self._client is None:
                settings = self._settings
                self._client = aws.client(
                    "dynamodb",
                    credentials=settings.credentials,
                    region=settings.region,
                    endpoint=settings.endpoint,
                    waits=self._patience.waits,
                )
            return self._client

    def _renew(self, client: Any) -> None:
        """The next call reads the default chain again; written credentials stay what they are."""
        with self._making:
            if self._client is client and self._settings.credentials is None:
                self._client = None
                client.close()


def _schema(hash_key: str, range_key: str | None) -> list[tuple[str, str]]:
    return [(hash_key, "HASH"), *([(range_key, "RANGE")] if range_key else ())]
