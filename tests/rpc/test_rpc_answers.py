"""The replies of the extended protocol: literal bytes, refusals, and all that is no reply."""

import traceback
from typing import Any

import cbor2
import pytest
from extended_samples import ANSWERS, ARN, DIGEST, NAME_MAP, NONCE, name_of
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError
from signatory.nitro.sealed import Scheme
from signatory.rpc import answers
from signatory.rpc import extended as ext
from signatory.rpc.values import GetPublicKey, ProvePossession, Public, RemoteError, Sign

every = pytest.mark.parametrize("sample", ANSWERS, ids=name_of)
GENERATE = ext.GenerateAttested(KeyType.ED25519, Purpose.TEZOS, Scheme.KMS_GDK)


def reply(value: Any, identifier: Any = 1, digest: Any = DIGEST) -> bytes:
    return cbor2.dumps({"id": identifier, "digest": digest, "reply": value})


def read(call: ext.Call, value: Any) -> ext.Answer:
    return answers.decode_answer(call, answers.decode_answer_id(reply(value))[2])


def refused(call: ext.Call, value: Any) -> str:
    with pytest.raises(IntegrityError) as caught:
        read(call, value)
    return caught.value.message


def test_a_reply_is_these_bytes() -> None:
    body = "a3 626964 1818 66646967657374 5820" + "d1" * 32 + "657265706c79 a1 624f6b f6"
    assert answers.encode_answer(24, DIGEST, None) == bytes.fromhex(body)


def test_a_refusal_is_these_bytes() -> None:
    body = (
        "a3 626964 05 66646967657374 5820" + "d1" * 32 + "657265706c79 a1 63457272"
        "a2 676d657373616765 6161 66736f75726365 a2 676d657373616765 6162 66736f75726365 f6"
    )
    assert answers.encode_refusal(5, DIGEST, ["a", "b"]) == bytes.fromhex(body)


@every
def test_every_reply_is_written_and_read_as_another_encoder_writes_it(
    sample: tuple[ext.Call, ext.Answer, Any],
) -> None:
    call, answer, value = sample
    body = reply({"Ok": value}, 2**63 - 1)
    assert answers.encode_answer(2**63 - 1, DIGEST, answer) == body
    identifier, digest, rest = answers.decode_answer_id(body)
    assert (identifier, digest, answers.decode_answer(call, rest)) == (2**63 - 1, DIGEST, answer)


@every
def test_a_reply_is_read_for_its_own_call_only(sample: tuple[ext.Call, ext.Answer, Any]) -> None:
    """But for the shape: a proof and a BLS signature look alike, and the digest tells them apart."""
    call, _, value = sample
    others = [each for each, answer, _ in ANSWERS if type(answer) is not type(sample[1])]
    for other in others if value is None or "Bls" not in value else [ext.Status(), GENERATE]:
        assert "cannot be read" in refused(other, {"Ok": value})
    assert read(call, {"Ok": value}) == sample[1]


def test_nothing_answers_a_cancel() -> None:
    assert (
        refused(ext.Cancel(1), {"Ok": None}) == "the enclave's reply to Cancel cannot be read: none was due"
    )


@every
def test_a_reply_with_one_field_more_or_less_is_refused(sample: tuple[ext.Call, ext.Answer, Any]) -> None:
    call, _, value = sample
    wrong = [[], "text", 0, True]
    if isinstance(value, dict):
        wrong += [{**value, "more": 1}, *({k: v for k, v in value.items() if k != each} for each in value)]
    for each in wrong:
        assert "cannot be read" in refused(call, {"Ok": each})


WRONG: list[tuple[ext.Call, Any]] = [
    (ext.Attest(NONCE), {"document": b""}),
    (ext.Attest(NONCE), {"document": "text"}),
    (ext.RenewCredentials(b""), {}),
    (Sign(0, b""), {"Ed25519": bytes(63)}),
    (Sign(0, b""), {"Ed25519": bytes(65)}),
    (Sign(0, b""), {"Ed448": bytes(64)}),
    (Sign(0, b""), {"Ed25519": [0] * 64}),
    (Sign(0, b""), {"Ed25519": bytes(64), "Bls": bytes(96)}),
    (GetPublicKey(0), {"Bls": bytes(47)}),
    (ProvePossession(0), {"Ed25519": bytes(64)}),
    (ProvePossession(0), {"Bls": bytes(95)}),
    (ext.Status(), {"release": "x" * 65, "uptime": 0, "sessions": 0, "keys": 0, "kms_calls": 0}),
    (ext.Status(), {"release": "1\n", "uptime": 0, "sessions": 0, "keys": 0, "kms_calls": 0}),
    (ext.Status(), {"release": "1", "uptime": -1, "sessions": 0, "keys": 0, "kms_calls": 0}),
    (ext.Status(), {"release": "1", "uptime": 0, "sessions": 0, "keys": 2**63, "kms_calls": 0}),
    (ext.Status(), {"release": "1", "uptime": 0, "sessions": 0, "keys": True, "kms_calls": 0}),
]


@pytest.mark.parametrize(("call", "value"), WRONG)
def test_a_reply_of_another_kind_or_size_is_refused(call: ext.Call, value: Any) -> None:
    assert "cannot be read" in refused(call, {"Ok": value})


BORN = next(value for _, answer, value in ANSWERS if isinstance(answer, ext.Born))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("name", {**NAME_MAP, "public_key": bytes(33)}),
        ("name", {**NAME_MAP, "key_type": "Ed448"}),
        ("kms_key_arn", ARN.replace("us-west-2", "us-east-1.evil")),
        ("kms_key_arn", "arn:aws:kms:us-west-2:123456789012:alias/mine"),
        ("kms_key_arn", "x" * 257),
        ("blob", b""),
        ("handle", 2**32),
        ("handle", -1),
        ("statement", b""),
        ("statement", "text"),
        ("attestation", b""),
        ("attestation", None),
    ],
)
def test_a_birth_with_a_field_of_another_kind_is_refused(field: str, value: Any) -> None:
    assert "GenerateAttested cannot be read" in refused(GENERATE, {"Ok": {**BORN, field: value}})


@pytest.mark.parametrize("count", [1, 2, 6, 7, 40])
def test_no_word_of_a_refusal_is_lost_however_deep_it_goes(count: int) -> None:
    links = [f"reason {number}" for number in range(count)]
    body = answers.encode_refusal(5, DIGEST, links)
    with pytest.raises(RemoteError) as caught:
        answers.decode_answer(ext.Status(), answers.decode_answer_id(body)[2])
    assert str(caught.value) == ": ".join(links)
    assert len(caught.value.chain) == min(count, 6)
    assert caught.value.mentions(links[-1])


def test_a_refusal_is_cut_and_made_fit_for_a_log() -> None:
    with pytest.raises(RemoteError) as caught:
        read(ext.Status(), {"Err": {"message": "\x1b[2J\n" + "x" * 600, "source": None}})
    assert str(caught.value) == "?[2J?" + "x" * 495 + "..."


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "Ok",
        {"Ok": None, "Err": None},
        {"ok": None},
        {"Err": None},
        {"Err": "text"},
        {"Err": {"message": "a"}},
        {"Err": {"message": 1, "source": None}},
        {"Err": {"message": "a", "source": "b"}},
        {"Err": {"message": "a", "source": None, "more": 1}},
    ],
)
def test_what_is_neither_a_reply_nor_a_refusal_is_an_integrity_error(value: Any) -> None:
    with pytest.raises(IntegrityError):
        answers.decode_answer(ext.RenewCredentials(b""), value)


WHOLE = reply({"Ok": None})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        WHOLE[:-1],
        WHOLE + b"\0",
        b"\xd9\xd9\xf7" + WHOLE,
        b"\xbf" + WHOLE[1:] + b"\xff",
        cbor2.dumps([1, DIGEST, {"Ok": None}]),
        cbor2.dumps({"id": 1, "reply": {"Ok": None}}),
        cbor2.dumps({"Ok": None}),
        cbor2.dumps({"Err": {"message": "unknown variant `Hello`", "source": None}}),
        reply({"Ok": None}, -1),
        reply({"Ok": None}, 2**63),
        reply({"Ok": None}, True),
        reply({"Ok": None}, 1.0),
        reply({"Ok": None}, "1"),
        reply({"Ok": None}, 1, DIGEST[1:]),
        reply({"Ok": None}, 1, DIGEST.hex()),
        reply({"Ok": None}, 1, None),
    ],
)
def test_a_frame_that_names_no_call_is_an_integrity_error(body: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^the enclave sent what is no reply: "):
        answers.decode_answer_id(body)


@pytest.mark.parametrize("field", ["blob", "statement", "attestation"])
@pytest.mark.parametrize("value", [b"precious", ["precious"]], ids=["right", "wrong"])
def test_no_bytes_of_a_birth_show_in_a_repr_or_an_error(field: str, value: Any) -> None:
    try:
        shown = repr(read(GENERATE, {"Ok": {**BORN, field: value}}))
    except IntegrityError as error:
        shown = "".join(traceback.format_exception(error))
    assert "precious" not in shown


def same_or_refused(call: ext.Call, body: bytes) -> None:
    try:
        identifier, digest, rest = answers.decode_answer_id(body)
        found = answers.decode_answer(call, rest)
    except (IntegrityError, RemoteError):
        return
    again = answers.decode_answer_id(answers.encode_answer(identifier, digest, found))
    assert (again[0], again[1], answers.decode_answer(call, again[2])) == (identifier, digest, found)


@given(body=st.binary(max_size=200), sample=st.sampled_from(ANSWERS))
def test_any_bytes_are_a_reply_or_our_error(body: bytes, sample: tuple[ext.Call, ext.Answer, Any]) -> None:
    same_or_refused(sample[0], body)


@given(sample=st.sampled_from(ANSWERS), data=st.data())
def test_any_reply_with_some_bytes_changed_is_a_reply_or_our_error(
    sample: tuple[ext.Call, ext.Answer, Any], data: st.DataObject
) -> None:
    body = bytearray(reply({"Ok": sample[2]}))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    same_or_refused(sample[0], bytes(body))


def test_a_public_key_answers_with_its_own_length() -> None:
    assert read(GetPublicKey(0), {"Ok": {"MlDsa87": bytes(2592)}}) == Public(KeyType.MLDSA87, bytes(2592))
