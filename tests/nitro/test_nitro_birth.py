"""Birth statements: the stored bytes come out of an encoder that knows nothing of ours, and go back in."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nitro_birth_vector as by_hand
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import MalformedError
from signatory.nitro import birth
from signatory.nitro.arn import Arn
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.sealed import Scheme

HERE = Path(by_hand.__file__).parent
VECTORS: dict[str, dict[str, str]] = json.loads((HERE / "nitro_birth_vector.json").read_text())

GENERATED = Statement(
    key_type=KeyType.ED25519,
    public=by_hand.ED25519,
    wrapped=bytes.fromhex("0102030405"),
    kms_key=Arn.parse(by_hand.ARN),
    created_at=1770366258452,
    wrap=Scheme.KMS_GDK,
    origin=Origin.GENERATED,
    purpose=Purpose.TEZOS,
    user_id="user-0001",
    release="1.2.3+a1b2c3",
)
IMPORTED = replace(
    GENERATED,
    wrapped=bytes(range(256)) * 2,
    wrap=Scheme.KMS_ENVELOPE,
    origin=Origin.IMPORTED,
    purpose=Purpose.RAW,
    user_id=None,
    release=None,
    prev=bytes.fromhex(VECTORS["generated"]["sha256"]),
    version=70000,
)
OURS = [("generated", GENERATED), ("imported", IMPORTED)]


def test_the_script_makes_the_stored_vectors_without_anything_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", HERE / "nitro_birth_vector.py"], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == VECTORS


def test_the_script_makes_the_vector_of_the_reference() -> None:
    statement = bytes.fromhex(VECTORS["reference"]["statement"])
    digest = "002ef45beacb248827a36af3cf4c2a55ab161a36fe6c4d303d8e05c9163bfecb"
    assert len(statement) == 196
    assert VECTORS["reference"]["sha256"] == hashlib.sha256(statement).hexdigest() == digest


@pytest.mark.parametrize(("name", "statement"), OURS)
def test_a_statement_has_the_bytes_and_the_digest_of_the_vector(name: str, statement: Statement) -> None:
    data = bytes.fromhex(VECTORS[name]["statement"])
    assert birth.encode(statement) == data
    assert birth.decode(data) == statement
    assert statement.digest().hex() == VECTORS[name]["sha256"]


def test_the_statement_of_another_product_is_not_one_of_ours() -> None:
    with pytest.raises(MalformedError, match="type: it is not a birth statement"):
        birth.decode(bytes.fromhex(VECTORS["reference"]["statement"]))


@pytest.mark.parametrize(
    ("number", "value", "field"),
    [
        (1, "signatory-vault/birth/v2", "type"),
        (1, b"signatory-vault/birth/v1", "type"),
        (2, "ed25519", "alg"),
        (2, 1, "alg"),
        (3, bytes(31), "public_key"),
        (3, "x" * 32, "public_key"),
        (4, b"", "wrapped_private_key"),
        (4, bytes(24 * 1024 + 1), "wrapped_private_key"),
        (5, "", "user_id"),
        (5, "a b", "user_id"),
        (5, "\u00e9", "user_id"),
        (5, "x" * 257, "user_id"),
        (5, 1, "user_id"),
        (6, "alias/x", "kms_key_arn"),
        (6, by_hand.ARN.replace("us-west-2", "us-east-1.evil"), "kms_key_arn"),
        (6, 1, "kms_key_arn"),
        (7, 0, "created_at"),
        (7, 2**53, "created_at"),
        (7, "1770366258452", "created_at"),
        (8, "kms-gdk-v2", "wrap"),
        (9, "born", "origin"),
        (10, bytes(31), "prev"),
        (11, "", "enclave"),
        (11, "a b", "enclave"),
        (11, "x" * 65, "enclave"),
        (12, "any", "purpose"),
        (13, 0, "version"),
        (13, 2**32, "version"),
        (14, "x", "14"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(number: int, value: Any, field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        birth.decode(by_hand.mapping({**by_hand.GENERATED, number: value}))
    assert str(caught.value).startswith("birth statement: ")
    assert field in str(caught.value)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7, 8, 9, 12, 13])
def test_a_field_that_is_missing_is_malformed(number: int) -> None:
    entries = {key: value for key, value in by_hand.GENERATED.items() if key != number}
    with pytest.raises(MalformedError):
        birth.decode(by_hand.mapping(entries))


def _in_another_form(data: bytes) -> dict[str, bytes]:
    body = data[1:]
    size = len(b"\x01" + by_hand.item("signatory-vault/birth/v1"))
    return {
        "a map without a length": b"\xbf" + body + b"\xff",
        "a longer head": b"\xb8" + bytes([data[0] & 0x1F]) + body,
        "another order": data[:1] + body[size:] + body[:size],
        "a tag in front": b"\xc6" + data,
        "a byte behind": data + b"\0",
        "a key twice": bytes([data[0] + 1]) + body + body[:size],
        "nothing": b"",
        "a null where nothing is": bytes([data[0] + 1]) + body[:size] + b"\x0a\xf6" + body[size:],
    }


@pytest.mark.parametrize("what", list(_in_another_form(birth.encode(GENERATED))))
def test_the_same_statement_in_another_form_is_refused(what: str) -> None:
    with pytest.raises(MalformedError):
        birth.decode(_in_another_form(birth.encode(GENERATED))[what])


def test_a_statement_too_long_to_be_one_is_not_read() -> None:
    with pytest.raises(MalformedError, match="at most"):
        birth.decode(bytes(40_000))


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_statement_or_malformed(data: bytes) -> None:
    try:
        assert birth.encode(birth.decode(data)) == data
    except MalformedError:
        return


@given(
    at=st.integers(0, len(birth.encode(GENERATED)) - 1), bit=st.integers(0, 7), which=st.sampled_from(OURS)
)
def test_a_bit_changed_makes_another_statement_or_none(
    at: int, bit: int, which: tuple[str, Statement]
) -> None:
    changed = bytearray(birth.encode(which[1]))
    changed[at] ^= 1 << bit
    try:
        found = birth.decode(bytes(changed))
    except MalformedError:
        return
    assert found != which[1]
    assert found.digest() != which[1].digest()


def test_what_is_wrapped_is_not_in_a_repr() -> None:
    assert "wrapped" not in repr(GENERATED)
