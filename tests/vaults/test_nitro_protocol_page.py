"""The example of docs/enclave-protocol.md is what the page says, and what the product writes and reads."""

import hashlib
import re
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from signatory.crypto.curves import KeyType
from signatory.rpc import answers, calls, hello
from signatory.rpc import extended as ext
from signatory.rpc.messages import RemoteError, Sign, Signed

PAGE = Path(__file__).parents[2] / "docs" / "enclave-protocol.md"
EXAMPLES = {
    name: bytes.fromhex(digits)
    for name, digits in re.findall(r"^```(\w+)\n([0-9a-f \n]+)```$", PAGE.read_text("utf-8"), re.MULTILINE)
}
MESSAGE = bytes.fromhex("0501010101")
DIGEST = hashlib.sha256(EXAMPLES["call"][4:]).digest()
SIGNATURE = Ed25519PrivateKey.from_private_bytes(b"\x11" * 32).sign(
    hashlib.blake2b(MESSAGE, digest_size=32).digest()
)
SESSION_KEY = X25519PrivateKey.from_private_bytes(b"\x77" * 32).public_key().public_bytes_raw()
WELCOME = ext.Welcome(
    nonce=bytes(range(32, 64)),
    session_key=SESSION_KEY,
    in_flight=64,
    frame_limit=1048576,
    schemes=("kms-gdk-v1", "kms-envelope-v1"),
    reference_protocol=False,
    release="0.2.0",
)

SAID = {
    "hello": {"Hello": {"version": 1, "nonce": bytes(range(32))}},
    "welcome": {
        "Ok": {
            "version": 1,
            "nonce": bytes(range(32, 64)),
            "session_key": SESSION_KEY,
            "in_flight": 64,
            "frame_limit": 1048576,
            "schemes": ["kms-gdk-v1", "kms-envelope-v1"],
            "reference_protocol": False,
            "release": "0.2.0",
        }
    },
    "call": {"id": 7, "within": 5000, "call": {"Sign": {"handle": 0, "message": MESSAGE, "version": 255}}},
    "reply": {"id": 7, "digest": DIGEST, "reply": {"Ok": {"Ed25519": SIGNATURE}}},
    "cancel": {"id": 8, "within": None, "call": {"Cancel": {"id": 7}}},
    "cancelled": {
        "id": 7,
        "digest": DIGEST,
        "reply": {"Err": {"message": "cancelled", "source": None}},
    },
}


@pytest.mark.parametrize("name", SAID)
def test_an_example_is_one_frame_of_what_the_page_says_it_is(name: str) -> None:
    raw = EXAMPLES[name]
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    assert cbor2.loads(raw[4:]) == SAID[name]
    assert cbor2.dumps(SAID[name]) == raw[4:]


def test_the_product_writes_the_examples() -> None:
    sign = ext.Envelope(7, Sign(0, MESSAGE), 5000)
    assert hello.encode_hello(ext.Hello(bytes(range(32)))) == EXAMPLES["hello"][4:]
    assert hello.encode_welcome(WELCOME) == EXAMPLES["welcome"][4:]
    assert calls.encode_envelope(sign) == EXAMPLES["call"][4:]
    assert calls.encode_envelope(ext.Envelope(8, ext.Cancel(7))) == EXAMPLES["cancel"][4:]
    assert answers.encode_answer(7, DIGEST, Signed(KeyType.ED25519, SIGNATURE)) == EXAMPLES["reply"][4:]
    assert answers.encode_refusal(7, DIGEST, ("cancelled",)) == EXAMPLES["cancelled"][4:]


def test_the_product_reads_the_examples() -> None:
    assert hello.decode_welcome(EXAMPLES["welcome"][4:]) == WELCOME
    identifier, digest, reply = answers.decode_answer_id(EXAMPLES["reply"][4:])
    assert (identifier, digest) == (7, DIGEST)
    assert answers.decode_answer(Sign(0, MESSAGE), reply) == Signed(KeyType.ED25519, SIGNATURE)
    *_, refused = answers.decode_answer_id(EXAMPLES["cancelled"][4:])
    with pytest.raises(RemoteError, match=r"^cancelled$"):
        answers.decode_answer(Sign(0, MESSAGE), refused)


def test_the_transcript_is_that_of_the_two_bodies() -> None:
    bodies = EXAMPLES["hello"][4:], EXAMPLES["welcome"][4:]
    framed = b"".join(len(body).to_bytes(8, "big") + body for body in bodies)
    assert hashlib.sha256(b"signatory-vault/hello/v1\0" + framed).digest() == EXAMPLES["transcript"]
    assert hello.transcript(*bodies) == EXAMPLES["transcript"]
