"""Many calls at a time over one connection: whose reply is whose, places, limits, and how it ends."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import pytest
from channels import connected, hold, sign
from cryptography.exceptions import InvalidTag
from emulators import KEY_ARN
from fake_extended import ScriptedEnclave, refusal, signature_of
from hpke_by_hand import open_by_hand

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.nitro.sealed import Scheme
from signatory.rpc import extended as ext
from signatory.rpc.messages import Proof, RemoteError, Sign, Signed


@pytest.fixture
async def enclave(short_folder: Path) -> AsyncIterator[ScriptedEnclave]:
    made = ScriptedEnclave(short_folder / "s")
    await made.start()
    yield made
    await made.stop()


def has_come(enclave: ScriptedEnclave, calls: int) -> bool:
    return len(enclave.asked) >= calls


async def test_replies_in_any_order_reach_who_asked(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(20)]
    await enclave.until(lambda: len(enclave.asked) == 20)
    for asked in random.Random(3).sample(enclave.asked, 20):  # noqa: S311 - an order to replay, no secret
        asked.send(asked.signed())
    assert await asyncio.gather(*calls) == [signature_of(b"\x03 %d" % index) for index in range(20)]
    await client.finish("done")


async def test_a_call_travels_with_a_rising_id_and_the_milliseconds_it_has_left(
    enclave: ScriptedEnclave,
) -> None:
    client = await connected(enclave)
    await sign(client, b"\x03one", within=20)
    await sign(client, b"\x03two", within=86_400)
    first, second = (asked.envelope for asked in enclave.asked)
    assert 0 < first.pop("within") <= 20_000
    assert first == {"id": 1, "call": {"Sign": {"handle": 0, "message": b"\x03one", "version": 255}}}
    assert (second["id"], second["within"]) == (2, 600_000)
    await client.finish("done")


async def test_a_refusal_keeps_its_chain_and_leaves_the_connection_open(enclave: ScriptedEnclave) -> None:
    enclave.serve = lambda asked: asked.send(asked.framed(refusal("signer error", "invalid handle 7")))
    client = await connected(enclave)
    with pytest.raises(RemoteError) as caught:
        await sign(client, b"\x03")
    assert caught.value.chain == ("signer error", "invalid handle 7")
    assert not client.closed.is_set()
    await client.finish("done")


async def test_no_more_calls_are_under_way_than_the_enclave_takes(enclave: ScriptedEnclave) -> None:
    enclave.in_flight, enclave.serve = 3, hold
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(10)]
    for answered in range(10):
        under_way = min(3, 10 - answered)
        await enclave.until(partial(has_come, enclave, answered + under_way))
        assert len(enclave.asked) == answered + under_way
        asked = enclave.asked[answered]
        asked.send(asked.signed())
    assert await asyncio.gather(*calls) == [signature_of(b"\x03 %d" % index) for index in range(10)]
    await client.finish("done")


async def test_signatures_find_room_beside_calls_that_wait_for_kms(enclave: ScriptedEnclave) -> None:
    enclave.in_flight, enclave.serve = 1, hold
    client = await connected(enclave)
    attesting = [asyncio.create_task(client.call(ext.Attest(bytes(32)), ext.Attested, 60)) for _ in range(3)]
    await enclave.until(lambda: len(enclave.asked) == 1)
    enclave.serve = lambda asked: asked.send(asked.signed())
    assert await sign(client, b"\x03now") == signature_of(b"\x03now")
    assert len(enclave.asked) == 2
    await client.finish("done")
    await asyncio.gather(*attesting, return_exceptions=True)


async def test_waiting_for_a_place_counts_against_the_call_and_sends_nothing(
    enclave: ScriptedEnclave,
) -> None:
    enclave.in_flight, enclave.serve = 1, hold
    client = await connected(enclave)
    first = asyncio.create_task(sign(client, b"\x03first"))
    await enclave.until(lambda: len(enclave.asked) == 1)
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave within 0.01 s$"):
        await sign(client, b"\x03second", within=0.01)
    enclave.asked[0].send(enclave.asked[0].signed())
    assert await first == signature_of(b"\x03first")
    enclave.serve = lambda asked: asked.send(asked.signed())
    assert await sign(client, b"\x03third") == signature_of(b"\x03third")
    assert enclave.ids == [1, 2]
    assert not enclave.cancelled
    await client.finish("done")


async def test_a_call_that_is_late_already_is_not_sent(enclave: ScriptedEnclave) -> None:
    client = await connected(enclave)
    with pytest.raises(UnavailableError, match="no answer"):
        await sign(client, b"\x03", within=0)
    assert await sign(client, b"\x03x") == signature_of(b"\x03x")
    assert enclave.ids == [1]
    await client.finish("done")


NOT_FOR_IT = {
    "longer than the enclave's limit": (Sign(0, bytes(5000)), KeyType.ED25519, "the enclave takes 4096"),
    "a Cancel by hand": (ext.Cancel(1), None, "by giving it up"),
    "version 0 of a BLS key": (
        Sign(0, b"\x03", SigningVersion.V0),
        KeyType.BLS,
        "SigningVersion0 is not supported for BLS keys",
    ),
}


@pytest.mark.parametrize(("request_", "key_type", "text"), NOT_FOR_IT.values(), ids=NOT_FOR_IT)
async def test_a_request_that_the_enclave_does_not_take_is_not_sent_and_costs_no_place(
    enclave: ScriptedEnclave, request_: ext.Call, key_type: KeyType | None, text: str
) -> None:
    enclave.in_flight, enclave.frame_limit = 1, 4096
    client = await connected(enclave)
    for _ in range(3):
        with pytest.raises(MalformedError, match=text):
            await client.call(request_, Signed, 30, key_type=key_type)
    assert await sign(client, b"\x03x") == signature_of(b"\x03x")
    assert enclave.ids == [1]
    await client.finish("done")


async def test_a_frame_of_exactly_the_limit_is_sent(enclave: ScriptedEnclave) -> None:
    enclave.frame_limit = 4096
    client = await connected(enclave)
    await sign(client, bytes(2000))
    size = 4096 - (len(enclave.asked[0].body) - 2000)
    await sign(client, bytes(size))
    assert len(enclave.asked[1].body) == 4096
    with pytest.raises(MalformedError, match="4097 bytes"):
        await sign(client, bytes(size + 1))
    await client.finish("done")


WRONG: dict[str, Any] = {
    "another family": {"NistP256": bytes(64)},
    "a signature of the wrong length": {"Ed25519": bytes(63)},
    "an array of integers": {"Ed25519": list(bytes(64))},
    "a public key's shape": {"public_key": {"Ed25519": bytes(32)}, "handle": 0},
    "null": None,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
async def test_a_reply_of_another_kind_or_family_ends_the_connection(
    enclave: ScriptedEnclave, value: Any
) -> None:
    enclave.serve = lambda asked: asked.send(asked.framed({"Ok": value}))
    client = await connected(enclave)
    with pytest.raises(IntegrityError):
        await sign(client, b"\x03")
    assert client.closed.is_set()
    assert client.at_fault
    await client.finish("done")


async def test_the_family_inside_a_birth_is_compared_with_what_was_asked(enclave: ScriptedEnclave) -> None:
    name = {"key_id": "tz1x", "key_type": "NistP256", "purpose": "tezos", "public_key": bytes(33)}
    born = {
        "name": {**name, "version": 1, "user_id": None},
        "kms_key_arn": KEY_ARN,
        "blob": b"b",
        "handle": 0,
        "statement": b"s",
        "attestation": b"a",
    }
    enclave.serve = lambda asked: asked.send(asked.framed({"Ok": born}))
    client = await connected(enclave)
    made = await client.call(ext.GenerateAttested(KeyType.P256, Purpose.TEZOS, Scheme.KMS_GDK), ext.Born, 30)
    assert made.name.key_type is KeyType.P256
    with pytest.raises(IntegrityError, match="for the family"):
        await client.call(ext.GenerateAttested(KeyType.ED25519, Purpose.TEZOS, Scheme.KMS_GDK), ext.Born, 30)
    await client.finish("done")


async def test_an_answer_of_another_type_than_expected_ends_the_connection(enclave: ScriptedEnclave) -> None:
    client = await connected(enclave)
    with pytest.raises(IntegrityError, match="with Signed, not Proof"):
        await client.call(Sign(0, b"\x03"), Proof, 30)
    assert client.at_fault
    await client.finish("done")


async def test_a_reply_may_come_byte_by_byte_and_two_in_one_segment(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(3)]
    await enclave.until(lambda: len(enclave.asked) == 3)
    one, two, three = enclave.asked
    for byte in two.signed():
        two.send(bytes([byte]))
        await asyncio.sleep(0)
    one.send(three.signed() + one.signed())
    assert await asyncio.gather(*calls) == [signature_of(b"\x03 %d" % index) for index in range(3)]
    await client.finish("done")


async def test_what_is_sealed_opens_with_the_session_key_for_one_use_on_one_connection(
    enclave: ScriptedEnclave,
) -> None:
    client = await connected(enclave)
    welcome = enclave.welcome(enclave.hellos[0])
    framed = b"".join(len(body).to_bytes(8, "big") + body for body in (enclave.hellos[0], welcome))
    transcript = hashlib.sha256(b"signatory-vault/hello/v1\0" + framed).digest()
    assert client.transcript == transcript
    plaintext = cbor2.dumps({"access_key_id": "AKID"})
    sealed = client.seal(ext.RenewCredentials, plaintext)
    info = b"signatory-vault/hpke/v1\0RenewCredentials\0" + transcript
    assert open_by_hand(enclave.session_key, sealed, info) == plaintext
    with pytest.raises(InvalidTag):
        open_by_hand(enclave.session_key, client.seal(ext.ImportSealed, plaintext), info)
    await client.finish("done")
