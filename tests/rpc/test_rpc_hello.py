"""Hello and its reply, and what both commit to: against literal bytes."""

import contextlib
import hashlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import Purpose
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro.sealed import Scheme
from signatory.rpc import calls, hello
from signatory.rpc import extended as ext
from signatory.rpc.values import RemoteError

NONCE, KEY = b"\xa1" * 32, b"\xb2" * 32
HELLO = "a1 6548656c6c6f a2 6776657273696f6e 01 656e6f6e6365 5820" + "a1" * 32
WELCOME = {
    "version": 1,
    "nonce": NONCE,
    "session_key": KEY,
    "in_flight": 64,
    "frame_limit": 1_048_576,
    "schemes": ["kms-gdk-v1", "of-a-later-release"],
    "reference_protocol": False,
    "release": "1.2.3+g01ab",
}
WELCOMED = ext.Welcome(
    NONCE,
    KEY,
    64,
    1_048_576,
    ("kms-gdk-v1", "of-a-later-release"),
    reference_protocol=False,
    release="1.2.3+g01ab",
)
REFERENCE_REFUSAL = (
    "a163457272a2676d657373616765"
    + cbor2.dumps('Semantic(None, "unknown variant `Hello`, expected one of `Initialize`, `Import`")').hex()
    + "66736f75726365f6"
)


def hello_of(**changes: Any) -> bytes:
    return cbor2.dumps({"Hello": {"version": 1, "nonce": NONCE, **changes}})


def welcome_of(**changes: Any) -> bytes:
    return cbor2.dumps({"Ok": {**WELCOME, **changes}})


def test_hello_is_these_bytes() -> None:
    assert hello.encode_hello(ext.Hello(NONCE)) == bytes.fromhex(HELLO)
    assert hello.decode_hello(bytes.fromhex(HELLO)) == ext.Hello(NONCE)


def test_the_reply_to_hello_is_written_and_read_as_another_encoder_writes_it() -> None:
    assert hello.encode_welcome(WELCOMED) == welcome_of()
    assert hello.decode_welcome(welcome_of()) == WELCOMED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes.fromhex(HELLO)[:-1],
        bytes.fromhex(HELLO) + b"\0",
        b"\xd9\xd9\xf7" + bytes.fromhex(HELLO),
        bytes.fromhex("bf 6548656c6c6f a2 6776657273696f6e 01 656e6f6e6365 5820" + "a1" * 32 + "ff"),
        bytes.fromhex("a1 6548656c6c6f bf 6776657273696f6e 01 656e6f6e6365 5820" + "a1" * 32 + "ff"),
        bytes.fromhex("a1 4548656c6c6f a2 6776657273696f6e 01 656e6f6e6365 5820" + "a1" * 32),
        cbor2.dumps("Hello"),
        cbor2.dumps({"Hello": None}),
        cbor2.dumps({"Hello": [1, NONCE]}),
        cbor2.dumps({"hello": {"version": 1, "nonce": NONCE}}),
        cbor2.dumps({"Hello": {"nonce": NONCE}}),
        cbor2.dumps({"Hello": {"version": 1}}),
        cbor2.dumps({"Hello": {"version": 1, "nonce": NONCE}, "More": 1}),
        hello_of(more=1),
        hello_of(version=True),
        hello_of(version=1.0),
        hello_of(version="1"),
        hello_of(nonce=NONCE[1:]),
        hello_of(nonce=NONCE + b"\0"),
        hello_of(nonce=NONCE.hex()),
        hello_of(nonce=list(NONCE)),
    ],
)
def test_what_is_no_hello_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        hello.decode_hello(body)


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_version_is_refused_by_name(version: int) -> None:
    with pytest.raises(MalformedError, match=r"^this enclave speaks version 1 of the extended protocol$"):
        hello.decode_hello(hello_of(version=version))


@pytest.mark.parametrize(
    ("body", "begins"),
    [
        (bytes.fromhex(HELLO), True),
        (hello_of(version=2), True),
        (cbor2.dumps({"Hello": None}), True),
        (cbor2.dumps({"Initialize": {}}), False),
        (cbor2.dumps("Hello"), False),
        (cbor2.dumps({"Hello": 1, "Initialize": {}}), False),
        (b"", False),
        (b"\xa1\x65Hell", False),
    ],
)
def test_only_a_frame_named_hello_begins_the_extended_protocol(body: bytes, begins: bool) -> None:
    assert hello.is_hello(body) is begins


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"version": 2},
        {"version": True},
        {"nonce": NONCE[1:]},
        {"session_key": KEY[1:]},
        {"session_key": None},
        {"in_flight": 0},
        {"in_flight": 65_537},
        {"in_flight": True},
        {"frame_limit": 4095},
        {"frame_limit": 2**28 + 1},
        {"schemes": "kms-gdk-v1"},
        {"schemes": [1]},
        {"schemes": ["a"] * 17},
        {"schemes": ["x" * 65]},
        {"schemes": ["two\nlines"]},
        {"reference_protocol": 0},
        {"reference_protocol": None},
        {"release": "x" * 65},
        {"release": ""},
        {"release": "\x1b[2J"},
        {"release": 1},
    ],
)
def test_a_welcome_with_a_field_of_another_kind_is_an_integrity_error(changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"^the enclave's reply to Hello cannot be read: "):
        hello.decode_welcome(welcome_of(**changes))


@pytest.mark.parametrize("missing", list(WELCOME))
def test_a_welcome_without_a_field_is_an_integrity_error(missing: str) -> None:
    body = cbor2.dumps({"Ok": {name: value for name, value in WELCOME.items() if name != missing}})
    with pytest.raises(IntegrityError, match=f"{missing}: is missing"):
        hello.decode_welcome(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        welcome_of()[:-1],
        welcome_of() + b"\0",
        b"\xd9\xd9\xf7" + welcome_of(),
        bytes.fromhex("bf624f6b") + cbor2.dumps(WELCOME) + b"\xff",
        cbor2.dumps({"Ok": None}),
        cbor2.dumps({"ok": WELCOME}),
        cbor2.dumps({"Err": None}),
        cbor2.dumps({"Err": "unknown variant `Hello`"}),
        cbor2.dumps({"Err": {"source": None}}),
        cbor2.dumps({"Err": {"message": 1, "source": None}}),
        cbor2.dumps({"Ok": WELCOME, "Err": None}),
    ],
)
def test_what_is_neither_a_welcome_nor_a_refusal_is_an_integrity_error(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        hello.decode_welcome(body)


@pytest.mark.parametrize(
    "refusal",
    [
        bytes.fromhex(REFERENCE_REFUSAL),
        bytes.fromhex(REFERENCE_REFUSAL).replace(b"\xa2\x67message", b"\xa3\x64code\x01\x67message"),
        bytes.fromhex(REFERENCE_REFUSAL) + b"\0",
    ],
    ids=["as it is", "with a field of a later release", "with a byte behind it"],
)
def test_the_refusal_of_a_reference_enclave_is_read(refusal: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        hello.decode_welcome(refusal)
    assert caught.value.mentions("unknown variant `Hello`")


def test_both_bodies_are_in_the_transcript_with_their_lengths() -> None:
    framed = (3).to_bytes(8, "big") + b"abc" + (2).to_bytes(8, "big") + b"de"
    expected = hashlib.sha256(b"signatory-vault/hello/v1\0" + framed).digest()
    assert hello.transcript(b"abc", b"de") == expected
    assert hello.transcript(b"ab", b"cde") != expected


def test_what_is_sealed_is_bound_to_its_connection_and_its_call() -> None:
    digest = bytes(range(32))
    tag = b"signatory-vault/hpke/v1\0"
    assert hello.hpke_info(ext.RenewCredentials, digest) == tag + b"RenewCredentials\0" + digest
    call = ext.ImportSealed(b"", Purpose.RAW, Scheme.KMS_ENVELOPE, "alice", bytes(16))
    said = {"purpose": "raw", "scheme": "kms-envelope-v1", "user_id": "alice", "nonce": bytes(16)}
    said["kms_key"] = "1234-abcd"
    terms = hashlib.sha256(cbor2.dumps(said)).digest()
    assert calls.terms_of(call, "1234-abcd") == terms
    assert calls.terms_of(call, "arn:aws:kms:us-west-2:111122223333:key/1234-abcd") == terms
    assert hello.hpke_info(ext.ImportSealed, digest, terms) == tag + b"ImportSealed\0" + digest + terms


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_hello_or_malformed(body: bytes) -> None:
    hello.is_hello(body)
    try:
        found = hello.decode_hello(body)
    except MalformedError:
        return
    assert hello.encode_hello(found) == body


@given(
    data=st.data(),
    good=st.sampled_from([bytes.fromhex(HELLO), welcome_of(), bytes.fromhex(REFERENCE_REFUSAL)]),
)
def test_any_change_leaves_a_value_or_our_error(data: st.DataObject, good: bytes) -> None:
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(body)
    with contextlib.suppress(IntegrityError, RemoteError):
        found = hello.decode_welcome(changed)
        assert hello.decode_welcome(hello.encode_welcome(found)) == found
    with contextlib.suppress(MalformedError):
        hello.decode_hello(changed)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_welcome_or_our_error(body: bytes) -> None:
    try:
        hello.decode_welcome(body)
    except (IntegrityError, RemoteError):
        return
