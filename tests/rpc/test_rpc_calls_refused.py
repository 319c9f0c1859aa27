"""What is no call of the extended protocol: refused, and answered where it has an id."""

from typing import Any

import cbor2
import pytest
from extended_samples import CALLS, NAME_MAP, call_named, envelope, name_of
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.rpc import calls
from signatory.rpc import extended as ext

every = pytest.mark.parametrize("sample", CALLS, ids=name_of)


def said(body: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        calls.decode_envelope(body)
    return caught.value.message


@every
def test_a_call_with_one_field_more_or_less_is_refused(sample: tuple[ext.Call, Any]) -> None:
    ((name, fields),) = sample[1].items()
    assert said(envelope({name: {**fields, "more": 1}})) == f"{name}: it has a field that is unknown"
    for field in fields:
        rest = {each: value for each, value in fields.items() if each != field}
        assert said(envelope({name: rest})) == f"{name}: {field}: is missing"
        renamed = {field.upper() if each == field else each: value for each, value in fields.items()}
        assert said(envelope({name: renamed})) == f"{name}: {field}: is missing"


@every
@pytest.mark.parametrize("value", [None, 1, "text", b"bytes", [], [1], True])
def test_the_fields_of_a_call_are_a_map(sample: tuple[ext.Call, Any], value: Any) -> None:
    (name,) = sample[1]
    assert said(envelope({name: value})) == f"{name}: a map was expected"


WRONG: list[tuple[str, str, Any]] = [
    ("Attest", "nonce", bytes(15)),
    ("Attest", "nonce", bytes(513)),
    ("Attest", "nonce", "0123456789abcdef"),
    ("Attest", "nonce", None),
    ("RenewCredentials", "sealed", [1, 2, 3]),
    ("RenewCredentials", "sealed", "sealed"),
    ("GenerateAttested", "key_type", "Ed448"),
    ("GenerateAttested", "key_type", {"Ed25519": None}),
    ("GenerateAttested", "key_type", 0),
    ("GenerateAttested", "key_type", "x" * 33),
    ("GenerateAttested", "purpose", "anything"),
    ("GenerateAttested", "purpose", None),
    ("GenerateAttested", "purpose", ["tezos"]),
    ("GenerateAttested", "purpose", {"tezos": None}),
    ("GenerateAttested", "scheme", "kms-gdk-v2"),
    ("GenerateAttested", "scheme", 1),
    ("GenerateAttested", "user_id", ""),
    ("GenerateAttested", "user_id", "x" * 257),
    ("GenerateAttested", "user_id", "two words"),
    ("GenerateAttested", "user_id", "tenant\n"),
    ("GenerateAttested", "user_id", "t\u00e9nant"),
    ("GenerateAttested", "user_id", b"tenant-1"),
    ("GenerateAttested", "nonce", b""),
    ("GenerateAttested", "nonce", bytes(513)),
    ("ImportSealed", "sealed", None),
    ("LoadSealed", "name", None),
    ("LoadSealed", "name", {}),
    ("LoadSealed", "name", {**NAME_MAP, "more": 1}),
    ("LoadSealed", "name", {**NAME_MAP, "public_key": bytes(31)}),
    ("LoadSealed", "name", {**NAME_MAP, "public_key": "a"}),
    ("LoadSealed", "name", {**NAME_MAP, "version": 0}),
    ("LoadSealed", "name", {**NAME_MAP, "version": 2**32}),
    ("LoadSealed", "name", {**NAME_MAP, "version": True}),
    ("LoadSealed", "name", {**NAME_MAP, "user_id": ""}),
    ("LoadSealed", "name", {**NAME_MAP, "key_id": "x" * 65}),
    ("LoadSealed", "name", {**NAME_MAP, "key_id": None}),
    ("LoadSealed", "blob", None),
    ("Sign", "handle", -1),
    ("Sign", "handle", 2**32),
    ("Sign", "handle", True),
    ("Sign", "handle", "0"),
    ("Sign", "message", [3, 4]),
    ("Sign", "version", 3),
    ("Sign", "version", 256),
    ("Sign", "version", -1),
    ("Sign", "version", False),
    ("PublicKey", "handle", None),
    ("ProvePossession", "handle", 2**64 - 1),
    ("ProvePossessionOf", "public_key", bytes(47)),
    ("ProvePossessionOf", "public_key", bytes(49)),
    ("Checkpoint", "sequence", -1),
    ("Checkpoint", "sequence", 2**63),
    ("Checkpoint", "digest", bytes(31)),
    ("Checkpoint", "digest", bytes(33)),
    ("Cancel", "id", -1),
    ("Cancel", "id", 2**63),
]


@pytest.mark.parametrize(("call", "field", "value"), WRONG)
def test_a_field_of_another_kind_or_size_is_refused(call: str, field: str, value: Any) -> None:
    assert said(envelope({call: {**call_named(call), field: value}})).startswith(f"{call}: ")


@pytest.mark.parametrize("identifier", [-1, 2**63, 2**64 - 1, True, None, "1", b"1", [1]])
def test_an_id_out_of_range_or_of_another_kind_is_nobodys(identifier: Any) -> None:
    body = envelope({"Status": {}}, identifier)
    assert said(body) == f"id: a number from 0 to {2**63 - 1} was expected"
    with pytest.raises(MalformedError, match=r"^id: a number"):
        calls.decode_id(body)


@pytest.mark.parametrize("within", [0, -1, 600_001, True, "5", 2**64 - 1])
def test_a_time_limit_is_from_a_millisecond_to_ten_minutes(within: Any) -> None:
    body = envelope({"Status": {}}, 5, within)
    assert said(body) == "within: a number from 1 to 600000 was expected"
    assert calls.decode_id(body) == 5


@pytest.mark.parametrize(
    "call",
    [
        None,
        {},
        "Status",
        ["Status"],
        {"Status": {}, "Cancel": {"id": 1}},
        {0: {}},
        {"status": {}},
        {"Initialize": {}},
        {"Import": b"blob"},
        {"ImportUnencrypted": {"Ed25519": bytes(32)}},
        {"Generate": "Ed25519"},
        {"GenerateAndImport": "Ed25519"},
        {"SignWith": {"encrypted_private_key": b"", "message": b"", "version": 0}},
        {"PublicKeyFrom": b"blob"},
        {"Hello": {"version": 1, "nonce": bytes(32)}},
    ],
)
def test_what_is_no_call_of_this_protocol_is_refused_but_can_be_answered(call: Any) -> None:
    body = envelope(call, 77)
    said(body)
    assert calls.decode_id(body) == 77


def test_an_unknown_call_is_told_which_there_are() -> None:
    assert said(envelope({"Export": {}})).startswith('Semantic(None, "unknown variant `Export`, expected one')


def test_a_name_is_reserved_for_a_later_release() -> None:
    assert said(envelope({"SignAttested": {}})) == "SignAttested is reserved; this release does not serve it"


STATUS = envelope({"Status": {}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        STATUS[:-1],
        STATUS + b"\0",
        STATUS + STATUS,
        cbor2.dumps([1, None, {"Status": {}}]),
        cbor2.dumps({"id": 1, "call": {"Status": {}}}),
        cbor2.dumps({"id": 1, "within": None, "call": {"Status": {}}, "more": 0}),
        bytes.fromhex("bf6269640166 77697468696ef66463616c6ca166537461747573a0ff"),
        bytes.fromhex("a36269640166 77697468696ef66463616c6cbf66537461747573a0ff"),
        bytes.fromhex("a46269640162 6964026677697468696ef66463616c6ca166537461747573a0"),
        bytes.fromhex("a362696401 6677697468696ef6 6463616c6c a266537461747573a066537461747573a0"),
        bytes.fromhex("d9d9f7") + STATUS,
        bytes.fromhex("a3626964f93c00 6677697468696ef6 6463616c6ca166537461747573a0"),
        bytes.fromhex("a3626964fb3ff0000000000000 6677697468696ef6 6463616c6ca166537461747573a0"),
        bytes.fromhex("a3626964c24101 6677697468696ef6 6463616c6ca166537461747573a0"),
        bytes.fromhex("a362696401 6677697468696ef7 6463616c6ca166537461747573a0"),
        bytes.fromhex("a362696401 6677697468696ef6 6463616c6ca1 7f66537461747573ff a0"),
        bytes.fromhex("a342696401 6677697468696ef6 6463616c6ca166537461747573a0"),
    ],
    ids=[
        "empty",
        "cut",
        "trailing byte",
        "two items",
        "positional",
        "no within",
        "one field more",
        "indefinite envelope",
        "indefinite call",
        "id twice",
        "call twice",
        "tag",
        "half float",
        "float",
        "bignum",
        "undefined",
        "text in pieces",
        "name as bytes",
    ],
)
def test_what_is_not_strict_is_neither_read_nor_answered(body: bytes) -> None:
    said(body)
    with pytest.raises(MalformedError):
        calls.decode_id(body)


def test_deep_nesting_is_refused() -> None:
    said(envelope([[[[[[[[1]]]]]]]]))


def test_a_bad_call_is_refused_without_its_bytes() -> None:
    fields = {**call_named("ImportSealed"), "sealed": ["precious"]}
    assert "precious" not in said(envelope({"ImportSealed": fields}))


def same_or_malformed(body: bytes) -> None:
    try:
        found = calls.decode_envelope(body)
    except MalformedError:
        return
    assert calls.decode_id(body) == found.id
    assert calls.decode_envelope(calls.encode_envelope(found)) == found


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_call_or_malformed(body: bytes) -> None:
    same_or_malformed(body)


@given(sample=st.sampled_from(CALLS), data=st.data())
def test_any_call_with_some_bytes_changed_is_a_call_or_malformed(
    sample: tuple[ext.Call, Any], data: st.DataObject
) -> None:
    body = bytearray(envelope(sample[1], 5, 1000))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    same_or_malformed(
        bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body)
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(sample=st.sampled_from(CALLS), data=st.data())
def test_any_call_with_any_field_is_a_call_or_malformed(
    sample: tuple[ext.Call, Any], data: st.DataObject
) -> None:
    ((name, fields),) = sample[1].items()
    changed = {field: data.draw(st.just(value) | ANYTHING) for field, value in fields.items()}
    same_or_malformed(envelope({name: changed}))
