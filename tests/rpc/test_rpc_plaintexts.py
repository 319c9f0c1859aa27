"""What travels sealed to an enclave: credentials and private keys, in bytes, and never shown."""

import traceback

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import LENGTHS, WIRE_NAMES, KeyType
from signatory.errors import MalformedError
from signatory.rpc import hello
from signatory.rpc.values import Credentials

CREDENTIALS = {
    "access_key_id": "AKIA-dear",
    "secret_access_key": "precious",
    "session_token": "token-dear",
    "encryption_key_id": "key",
    "region": "us-west-2",
}


@pytest.mark.parametrize("token", ["token-dear", None])
def test_credentials_are_written_and_read_as_another_encoder_writes_them(token: str | None) -> None:
    plain = cbor2.dumps({**CREDENTIALS, "session_token": token})
    value = Credentials("AKIA-dear", "precious", token, "key", "us-west-2")
    assert hello.encode_credentials(value) == plain
    assert hello.decode_credentials(plain) == value


def without_secrets(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert "dear" not in shown
    assert "precious" not in shown


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        cbor2.dumps(CREDENTIALS)[:-1],
        cbor2.dumps(CREDENTIALS) + b"\0",
        cbor2.dumps({**CREDENTIALS, "precious": "dear"}),
        cbor2.dumps({name: value for name, value in CREDENTIALS.items() if name != "region"}),
        cbor2.dumps({**CREDENTIALS, "secret_access_key": None}),
        cbor2.dumps({**CREDENTIALS, "secret_access_key": b"precious"}),
        cbor2.dumps({**CREDENTIALS, "secret_access_key": "precious" * 600}),
        cbor2.dumps({**CREDENTIALS, "session_token": ["dear"]}),
        cbor2.dumps(list(CREDENTIALS.values())),
        bytes.fromhex("a2 687072656369 6f7573 01 687072656369 6f7573 02"),
        b"\x68precio\xff\xff",
    ],
)
def test_what_is_no_credentials_is_refused_and_not_shown(plain: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        hello.decode_credentials(plain)
    without_secrets(caught.value)


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_private_key_is_written_and_read_in_the_references_form(key_type: KeyType) -> None:
    lengths = LENGTHS[key_type]
    for size in {lengths.secret, lengths.expanded or lengths.secret}:
        plain = cbor2.dumps({WIRE_NAMES[key_type]: b"\x11" * size})
        assert hello.encode_secret(key_type, b"\x11" * size) == plain
        assert hello.decode_secret(plain) == (key_type, b"\x11" * size)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        cbor2.dumps(b"precious"),
        cbor2.dumps({"precious": bytes(32)}),
        cbor2.dumps({b"precious": bytes(32)}),
        cbor2.dumps({"Ed25519": b"precious"}),
        cbor2.dumps({"Ed25519": "precious" * 4}),
        cbor2.dumps({"Ed25519": list(range(32))}),
        cbor2.dumps({"Ed25519": b""}),
        cbor2.dumps({"Bls": bytes(33)}),
        cbor2.dumps({"MlDsa44": bytes(33)}),
        cbor2.dumps({"Ed25519": bytes(32), "precious": bytes(32)}),
        cbor2.dumps({"Ed25519": bytes(32)}) + b"\0",
        bytes.fromhex("a2 687072656369 6f7573 01 687072656369 6f7573 02"),
    ],
)
def test_what_is_no_private_key_is_refused_and_not_shown(plain: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        hello.decode_secret(plain)
    without_secrets(caught.value)


def test_credentials_show_in_no_repr() -> None:
    shown = repr(hello.decode_credentials(cbor2.dumps(CREDENTIALS)))
    assert "dear" not in shown
    assert "precious" not in shown


@given(body=st.binary(max_size=100))
def test_any_bytes_are_a_plaintext_or_malformed(body: bytes) -> None:
    for read in (hello.decode_credentials, hello.decode_secret):
        try:
            read(body)
        except MalformedError:
            continue
