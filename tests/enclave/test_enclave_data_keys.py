"""Data keys that several records share: asked for once, kept for those who may, made by this process only."""

import asyncio
import gc
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from kms_parts import KEY, OTHER

from enclave_signer.data_keys import DataKeys
from enclave_signer.flights import Flights
from enclave_signer.kms import DataKey, Rights
from signatory.errors import DeniedError, IntegrityError
from signatory.nitro.kms import Arn
from signatory.nitro.sigv4 import AccessKey


@dataclass
class Kms:
    """A session with a KMS that wraps by adding its count; `gate` holds Decrypt up while it is not set."""

    wraps: dict[tuple[bytes, str], bytes]
    key: Arn = KEY
    denied: bool = False
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    rights: Rights = field(default_factory=lambda: Rights(AccessKey("a", "b")))

    def __post_init__(self) -> None:
        self.gate.set()

    async def generate_data_key(self, context: Mapping[str, str]) -> DataKey:
        await self._ask("GenerateDataKey")
        made = DataKey(bytes([len(self.wraps)]) * 32, b"wrapped %d" % len(self.wraps), self.key)
        self.wraps[made.wrapped, repr(dict(context))] = made.plaintext
        return made

    async def decrypt(self, wrapped: bytes, *, key: Arn, context: Mapping[str, str]) -> bytes:
        await self._ask("Decrypt")
        assert key == self.key
        try:
            return self.wraps[wrapped, repr(dict(context))]
        except KeyError:
            raise IntegrityError("another context") from None

    async def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        self.entered.set()
        await self.gate.wait()
        if self.denied:
            raise DeniedError("no rights")


CONTEXT = {"key_id": "envelope:" + "0" * 32}


def kms_with(plaintext: bytes = b"\x07" * 32) -> Kms:
    return Kms({(b"w", repr(CONTEXT)): plaintext})


async def test_many_who_want_one_data_key_ask_kms_once() -> None:
    kms, keys = kms_with(), DataKeys()
    kms.gate.clear()
    calls = [asyncio.create_task(keys.open(kms, KEY, b"w", CONTEXT)) for _ in range(1000)]
    await kms.entered.wait()
    kms.gate.set()
    assert await asyncio.gather(*calls) == [b"\x07" * 32] * 1000
    assert await keys.open(kms, KEY, b"w", CONTEXT) == b"\x07" * 32
    assert kms.asked == ["Decrypt"]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    kms, keys = kms_with(), DataKeys()
    kms.denied = True
    calls = [keys.open(kms, KEY, b"w", CONTEXT) for _ in range(5)]
    said = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in said] == [DeniedError] * 5
    assert kms.asked == ["Decrypt"]
    kms.denied = False
    assert await keys.open(kms, KEY, b"w", CONTEXT) == b"\x07" * 32


async def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    kms, keys = kms_with(), DataKeys()
    kms.gate.clear()
    first, second = (asyncio.create_task(keys.open(kms, KEY, b"w", CONTEXT)) for _ in range(2))
    await kms.entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    kms.gate.set()
    assert await second == b"\x07" * 32
    assert kms.asked == ["Decrypt"]


async def test_when_all_stop_waiting_the_call_is_given_up_and_the_next_one_begins_anew() -> None:
    kms, keys = kms_with(), DataKeys()
    kms.gate.clear()
    calls = [asyncio.create_task(keys.open(kms, KEY, b"w", CONTEXT)) for _ in range(2)]
    await kms.entered.wait()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    kms.gate.set()
    assert await keys.open(kms, KEY, b"w", CONTEXT) == b"\x07" * 32
    assert kms.asked == ["Decrypt", "Decrypt"]
    assert len(asyncio.all_tasks()) == 1


async def test_work_that_fails_as_its_last_waiter_leaves_is_no_news() -> None:
    flights: Flights[str, None] = Flights()
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    leave = asyncio.Event()

    async def fail() -> None:
        leave.set()
        raise DeniedError("no")

    waiter = asyncio.create_task(flights.join("name", fail))
    await leave.wait()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    gc.collect()
    assert heard == []


@pytest.mark.parametrize(
    ("key", "wrapped", "context"),
    [(KEY, b"w", {"key_id": "envelope:" + "1" * 32}), (KEY, b"v", CONTEXT), (KEY, b"w", {"user_id": "u"})],
)
async def test_a_data_key_is_kept_for_exactly_what_was_asked(
    key: Arn, wrapped: bytes, context: dict[str, str]
) -> None:
    kms, keys = kms_with(), DataKeys()
    await keys.open(kms, KEY, b"w", CONTEXT)
    with pytest.raises(IntegrityError):
        await keys.open(kms, key, wrapped, context)
    assert kms.asked == ["Decrypt", "Decrypt"]


async def test_a_session_without_rights_opens_nothing_that_another_one_opened() -> None:
    keys, good = DataKeys(), kms_with()
    bad = Kms(good.wraps, denied=True)
    await keys.open(good, KEY, b"w", CONTEXT)
    with pytest.raises(DeniedError):
        await keys.open(bad, KEY, b"w", CONTEXT)
    made = await keys.for_sealing(good, None)
    with pytest.raises(DeniedError):
        await keys.for_sealing(bad, None)
    assert bad.asked == ["Decrypt", "Decrypt"]
    assert await keys.for_sealing(Kms(good.wraps), None) == made


async def test_new_credentials_have_to_show_what_they_may() -> None:
    kms, keys = kms_with(), DataKeys()
    await keys.open(kms, KEY, b"w", CONTEXT)
    kms.rights = Rights(AccessKey("a", "b"))
    kms.denied = True
    with pytest.raises(DeniedError):
        await keys.open(kms, KEY, b"w", CONTEXT)


async def test_what_a_session_opened_is_forgotten_with_it() -> None:
    keys = DataKeys()
    kms = kms_with()
    await keys.open(kms, KEY, b"w", CONTEXT)
    assert len(keys._views) == 1
    del kms
    gc.collect()
    assert len(keys._views) == 0


async def test_only_so_many_are_kept_and_the_one_unused_for_longest_goes_first() -> None:
    wraps = {(b"%d" % number, repr(CONTEXT)): bytes([number]) * 32 for number in range(3)}
    kms, keys = Kms(wraps), DataKeys(limit=2)
    for name in (b"0", b"1", b"0", b"2", b"0", b"1"):
        await keys.open(kms, KEY, name, CONTEXT)
    assert len(kms.asked) == 4


async def test_a_process_seals_for_one_owner_under_one_data_key() -> None:
    kms, keys = Kms({}), DataKeys()
    made = await asyncio.gather(*[keys.for_sealing(kms, None) for _ in range(20)])
    assert len(set(map(id, made))) == 1
    assert kms.asked == ["GenerateDataKey"]
    assert re.fullmatch(r"envelope:[0-9a-f]{32}", made[0].id)
    assert next(iter(kms.wraps))[1] == repr({"key_id": made[0].id})
    assert made[0].data_key.plaintext.hex() not in repr(made[0])


async def test_owners_and_kms_keys_have_data_keys_of_their_own() -> None:
    kms, keys = Kms({}), DataKeys()
    others = Kms(kms.wraps, key=OTHER)
    made = [
        await keys.for_sealing(kms, None),
        await keys.for_sealing(kms, "baker-1"),
        await keys.for_sealing(kms, "baker-2"),
        await keys.for_sealing(others, None),
    ]
    assert len({each.data_key.wrapped for each in made}) == 4
    contexts = [name[1] for name in kms.wraps]
    assert contexts[1:3] == [repr({"user_id": "baker-1"}), repr({"user_id": "baker-2"})]
    assert kms.asked + others.asked == ["GenerateDataKey"] * 4


async def test_another_process_makes_another_data_key() -> None:
    kms = Kms({})
    first, second = await DataKeys().for_sealing(kms, None), await DataKeys().for_sealing(kms, None)
    assert first.id != second.id
    assert kms.asked == ["GenerateDataKey"] * 2


async def test_a_data_key_that_was_opened_never_seals() -> None:
    # KMS Encrypt wraps any 32 bytes for whoever may call it: this one is known to the host.
    kms, keys = kms_with(b"\xff" * 32), DataKeys()
    assert await keys.open(kms, KEY, b"w", CONTEXT) == b"\xff" * 32
    made = await keys.for_sealing(kms, None)
    assert made.data_key.wrapped != b"w"
    assert kms.asked == ["Decrypt", "GenerateDataKey"]
    # Nothing that a caller has could make it so: sealing takes an owner and nothing else.
    assert list(inspect.signature(DataKeys.for_sealing).parameters) == ["self", "kms", "user_id"]


async def test_a_kms_that_unwraps_something_else_seals_nothing() -> None:
    kms, keys = Kms({}), DataKeys()
    made = await keys.for_sealing(kms, None)
    other = Kms({(made.data_key.wrapped, repr({"key_id": made.id})): b"\xee" * 32})
    with pytest.raises(IntegrityError, match="another data key than the one it made"):
        await keys.for_sealing(other, None)


async def test_a_failed_making_is_not_kept() -> None:
    kms, keys = Kms({}, denied=True), DataKeys()
    with pytest.raises(DeniedError):
        await keys.for_sealing(kms, None)
    kms.denied = False
    await keys.for_sealing(kms, None)
    assert kms.asked == ["GenerateDataKey"] * 2
