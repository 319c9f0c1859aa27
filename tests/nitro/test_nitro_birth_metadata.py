"""Metadata of keys: every spelling that people use, one meaning, and no guess."""

import base64
from typing import Any

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitro_births import STATEMENT

from signatory.crypto.curves import LENGTHS, KeyType, Purpose
from signatory.errors import MalformedError
from signatory.nitro.birth import Origin
from signatory.nitro.birth_metadata import COMMITTED, metadata_of, statement_of

METADATA = metadata_of(STATEMENT)

PREFIXES = {
    KeyType.ED25519: "0d0f25d9",
    KeyType.SECP256K1: "03fee256",
    KeyType.P256: "03b28b7f",
    KeyType.BLS: "069587cc",
    KeyType.MLDSA44: "0d07ed43",
}
SPELLINGS = {
    KeyType.ED25519: ["Ed25519", "ed25519", "ED25519", "ed-25519"],
    KeyType.SECP256K1: ["Secp256k1", "secp256k1"],
    KeyType.P256: ["NistP256", "P-256", "p256", "nist-p256"],
    KeyType.BLS: ["Bls", "BLS", "bls"],
    KeyType.MLDSA44: ["MlDsa44", "ML-DSA-44", "ml-dsa-44", "mldsa44", "ML_DSA_44"],
    KeyType.MLDSA65: ["MlDsa65", "ML-DSA-65"],
    KeyType.MLDSA87: ["MlDsa87", "ML-DSA-87"],
}


@pytest.mark.parametrize("key_type", KeyType)
def test_a_key_is_hex_or_base64_or_the_text_of_tezos_under_either_name(key_type: KeyType) -> None:
    public = bytes(index % 251 for index in range(LENGTHS[key_type].public))
    texts = [public.hex(), public.hex().upper(), base64.b64encode(public).decode()]
    if key_type in PREFIXES:
        texts.append(base58.b58encode_check(bytes.fromhex(PREFIXES[key_type]) + public).decode())
    for alg in SPELLINGS[key_type]:
        for text in texts:
            for name in ("public_key", "mldsa_pubkey"):
                metadata = {key: value for key, value in METADATA.items() if key != "public_key"}
                found = statement_of({**metadata, "alg": alg, name: text})
                assert (found.key_type, found.public) == (key_type, public)


@pytest.mark.parametrize("value", [1770366258452, "1770366258452"])
def test_a_time_is_a_number_or_its_digits(value: object) -> None:
    assert statement_of({**METADATA, "created_at": value}).created_at == 1770366258452


def test_prev_is_hex_or_base64() -> None:
    for text in (bytes(range(32)).hex(), base64.b64encode(bytes(range(32))).decode()):
        assert statement_of({**METADATA, "prev": text}).prev == bytes(range(32))


def test_what_is_not_committed_is_left_alone_and_null_is_absent() -> None:
    assert statement_of({**METADATA, "birth_attestation": "hEShATgi", "owner": 1}) == STATEMENT
    found = statement_of({**METADATA, "prev": None, "user_id": None, "version": None, "release": None})
    assert (found.prev, found.user_id, found.version, found.release) == (None, None, 1, None)
    assert set(METADATA) <= COMMITTED


@pytest.mark.parametrize(
    "name",
    ["alg", "public_key", "wrapped_dk", "kms_key_arn", "created_at", "wrap", "origin", "purpose"],
)
def test_what_has_no_default_must_be_there(name: str) -> None:
    for metadata in ({**METADATA, name: None}, {key: METADATA[key] for key in METADATA if key != name}):
        with pytest.raises(MalformedError, match=f"metadata: {name}: is missing"):
            statement_of(metadata)


EDPK = base58.b58encode_check(bytes.fromhex("0d0f25d9") + STATEMENT.public).decode()
SPPK = base58.b58encode_check(bytes.fromhex("03fee256") + b"\2" * 33).decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"alg": "RSA"}, "alg"),
        ({"alg": 1}, "alg"),
        ({"alg": "MlDsa44"}, "public_key"),
        ({"public_key": SPPK}, "public_key: is a key of secp256k1"),
        ({"public_key": EDPK[:-1] + "x"}, "public_key"),
        ({"public_key": EDPK + "\n"}, "public_key"),
        ({"public_key": STATEMENT.public.hex()[:-1]}, "public_key"),
        ({"public_key": "g" * 64}, "public_key"),
        ({"public_key": base64.b64encode(bytes(31)).decode()}, "public_key"),
        ({"public_key": base64.b64encode(STATEMENT.public).decode()[:-2] + "d="}, "public_key"),
        ({"public_key": ""}, "public_key"),
        ({"public_key": [1]}, "public_key"),
        ({"public_key": "x" * 10**5}, "public_key"),
        ({"mldsa_pubkey": bytes(32).hex()}, "mldsa_pubkey: is another key"),
        ({"wrapped_dk": ""}, "wrapped_dk"),
        ({"wrapped_dk": "AQ"}, "wrapped_dk"),
        ({"wrapped_dk": "AQ==\n"}, "wrapped_dk"),
        ({"wrapped_dk": "AR=="}, "wrapped_dk"),
        ({"wrapped_dk": "-_-_"}, "wrapped_dk"),
        ({"wrapped_dk": "\u00e9"}, "wrapped_dk"),
        ({"wrapped_dk": base64.b64encode(bytes(24 * 1024 + 1)).decode()}, "wrapped_dk"),
        ({"wrapped_dk": {"B": "AQ=="}}, "wrapped_dk"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"kms_key_arn": "alias/signing"}, "kms_key_arn"),
        ({"kms_key_arn": 1}, "kms_key_arn"),
        ({"created_at": "0"}, "created_at"),
        ({"created_at": "01"}, "created_at"),
        ({"created_at": " 1"}, "created_at"),
        ({"created_at": "\u0661"}, "created_at"),
        ({"created_at": "9" * 17}, "created_at"),
        ({"created_at": 1.770366258452e12}, "created_at"),
        ({"created_at": True}, "created_at"),
        ({"created_at": -1}, "created_at"),
        ({"created_at": "2026-02-06T08:24:18Z"}, "created_at"),
        ({"wrap": "kms-gdk"}, "wrap"),
        ({"wrap": []}, "wrap"),
        ({"origin": "Generated"}, "origin"),
        ({"origin": {}}, "origin"),
        ({"purpose": "x"}, "purpose"),
        ({"prev": "00"}, "prev"),
        ({"prev": base64.b64encode(bytes(33)).decode()}, "prev"),
        ({"release": "a b"}, "release"),
        ({"release": 1}, "release"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
    ],
)
def test_what_is_not_clear_is_refused_and_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        statement_of({**METADATA, **changes})
    assert str(caught.value).startswith("metadata: ")
    assert field in str(caught.value)


_odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(COMMITTED)), _odd, min_size=1))
def test_any_metadata_are_a_statement_or_malformed(changes: dict[str, Any]) -> None:
    try:
        found = statement_of({**METADATA, **changes})
    except MalformedError:
        return
    assert statement_of(metadata_of(found)) == found
    assert isinstance(found.origin, Origin)
    assert isinstance(found.purpose, Purpose)
