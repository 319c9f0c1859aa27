"""The one front: what is common to every family."""

import copy
import dataclasses
import os
import pickle
import traceback

import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, sampled_from

from signatory.crypto.curves import LENGTHS, KeyType, Purpose, SigningVersion, default_purpose
from signatory.crypto.keypair import (
    KeyPair,
    Verifier,
    check_public,
    check_version,
    from_secret,
    generate,
    verify_possession,
)
from signatory.errors import MalformedError, UnavailableError

every = pytest.mark.parametrize("key_type", list(KeyType), ids=[item.value for item in KeyType])


@every
def test_a_generated_key_signs_verifies_and_comes_back_from_its_secret(key_type: KeyType) -> None:
    pair = generate(key_type, default_purpose(key_type), os.urandom)
    signature = pair.sign(b"text")
    verifier = Verifier(key_type, pair.public, pair.purpose)
    assert (len(pair.public), len(signature)) == (LENGTHS[key_type].public, LENGTHS[key_type].signature)
    assert verifier.verify(b"text", signature)
    assert not verifier.verify(b"texts", signature)
    assert from_secret(key_type, pair.secret, purpose=pair.purpose, public=pair.public) == pair


@every
def test_raw_keys_work_in_every_family(key_type: KeyType) -> None:
    pair = generate(key_type, Purpose.RAW, os.urandom)
    assert Verifier(key_type, pair.public, Purpose.RAW).verify(b"text", pair.sign(b"text"))


@every
def test_no_secret_shows_in_a_repr_or_a_traceback(key_type: KeyType) -> None:
    secret = bytes(range(1, 33))
    pair = from_secret(key_type, secret)
    shown = repr(pair) + repr(Verifier(key_type, pair.public, pair.purpose))
    with pytest.raises(MalformedError) as caught:
        from_secret(key_type, secret + b"\0")
    shown += "".join(traceback.format_exception(caught.value))
    for form in (secret, secret[::-1]):
        assert form.hex() not in shown
        assert repr(form)[2:20] not in shown


def test_a_pair_cannot_be_altered() -> None:
    pair = generate(KeyType.ED25519, Purpose.TEZOS, os.urandom)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.purpose = Purpose.RAW  # type: ignore[misc]  # the refusal is what is tested


@every
def test_a_pair_can_be_neither_pickled_nor_copied(key_type: KeyType) -> None:
    pair = generate(key_type, default_purpose(key_type), os.urandom)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"^a key pair can be neither pickled nor copied$"):
            attempt(pair)


@every
def test_a_public_part_of_another_key_is_refused_by_name(key_type: KeyType) -> None:
    other = generate(key_type, default_purpose(key_type), os.urandom)
    pair = generate(key_type, default_purpose(key_type), os.urandom)
    with pytest.raises(
        MalformedError, match=r"^the public part of the .* key does not belong to its secret part$"
    ):
        from_secret(key_type, pair.secret, public=other.public)


@pytest.mark.parametrize("key_type", [item for item in KeyType if item is not KeyType.BLS])
def test_only_bls_proves_possession(key_type: KeyType) -> None:
    pair = generate(key_type, default_purpose(key_type), os.urandom)
    with pytest.raises(MalformedError, match=r"^Proof of possession is not supported$"):
        pair.prove()


def test_a_bls_key_proves_possession() -> None:
    pair = generate(KeyType.BLS, Purpose.TEZOS, os.urandom)
    assert verify_possession(pair.public, pair.prove())


def test_a_family_without_expanded_form_says_so() -> None:
    with pytest.raises(MalformedError, match=r"^P-256 keys have no expanded form$"):
        _ = generate(KeyType.P256, Purpose.TEZOS, os.urandom).expanded


def test_scalars_out_of_range_are_drawn_again() -> None:
    draws = [bytes(32), b"\xff" * 32, bytes(31) + b"\x07"]
    pair = generate(KeyType.P256, Purpose.TEZOS, lambda _: draws.pop(0))
    assert (pair.secret, draws) == (bytes(31) + b"\x07", [])


@every
def test_a_short_draw_of_entropy_is_refused(key_type: KeyType) -> None:
    words = "^the entropy source gave 31 bytes where 32 were asked for$"
    with pytest.raises(UnavailableError, match=words):
        generate(key_type, default_purpose(key_type), lambda _: bytes(31))


def test_versions_that_cannot_sign_are_named_before_anything_is_signed() -> None:
    with pytest.raises(MalformedError, match=r"^SigningVersion0 is not supported for BLS keys$"):
        check_version(KeyType.BLS, SigningVersion.V0)
    for version in (SigningVersion.V0, SigningVersion.V1, SigningVersion.V2):
        words = f"^SigningVersion{version.value} is not supported for ML-DSA-44 keys$"
        with pytest.raises(MalformedError, match=words):
            check_version(KeyType.MLDSA44, version)
    for key_type in KeyType:
        check_version(key_type, SigningVersion.LATEST)
    for version in SigningVersion:
        check_version(KeyType.ED25519, version)


@settings(max_examples=60, deadline=None)
@given(key_type=sampled_from(list(KeyType)), data=binary(max_size=60))
def test_any_bytes_are_a_public_key_or_malformed(key_type: KeyType, data: bytes) -> None:
    try:
        check_public(key_type, data)
    except MalformedError:
        return
    assert len(data) == LENGTHS[key_type].public


@settings(max_examples=60, deadline=None)
@given(key_type=sampled_from(list(KeyType)), data=binary(max_size=60))
def test_any_bytes_are_a_secret_or_malformed(key_type: KeyType, data: bytes) -> None:
    try:
        pair = from_secret(key_type, data)
    except MalformedError:
        return
    assert isinstance(pair, KeyPair)
    assert pair.secret == data
