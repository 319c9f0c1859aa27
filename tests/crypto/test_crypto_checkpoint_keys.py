"""Checkpoint keys: Ed25519 only, for checkpoints only; no other key ever signs one."""

import os

import pytest
from nacl.signing import VerifyKey

from signatory.crypto.curves import KeyType, Purpose, SigningVersion, default_purpose
from signatory.crypto.keypair import Verifier, from_secret, generate
from signatory.errors import DeniedError, MalformedError

STATEMENT = b"signatory-vault/checkpoint/v1\0" + bytes.fromhex("8201") + b"\x58\x20" + bytes(32)


@pytest.mark.parametrize("key_type", [each for each in KeyType if each is not KeyType.ED25519])
def test_no_other_family_has_checkpoint_keys(key_type: KeyType) -> None:
    with pytest.raises(MalformedError, match=r"^a checkpoint key is an Ed25519 key$"):
        generate(key_type, Purpose.CHECKPOINT, os.urandom)
    with pytest.raises(MalformedError, match=r"^a checkpoint key is an Ed25519 key$"):
        from_secret(key_type, bytes(31) + b"\x01", purpose=Purpose.CHECKPOINT)


def test_a_checkpoint_key_signs_the_statement_as_it_stands() -> None:
    pair = generate(KeyType.ED25519, Purpose.CHECKPOINT, os.urandom)
    VerifyKey(pair.public).verify(STATEMENT, pair.sign_checkpoint(STATEMENT))
    assert Verifier(pair.type, pair.public, pair.purpose).verify(STATEMENT, pair.sign_checkpoint(STATEMENT))


@pytest.mark.parametrize("version", list(SigningVersion))
def test_a_checkpoint_key_signs_no_message(version: SigningVersion) -> None:
    pair = generate(KeyType.ED25519, Purpose.CHECKPOINT, os.urandom)
    for message in (b"", b"\x03operation", STATEMENT):
        with pytest.raises(DeniedError, match=r"^a checkpoint key signs checkpoints and nothing else$"):
            pair.sign(message, version)


@pytest.mark.parametrize("key_type", list(KeyType))
def test_no_key_of_another_purpose_signs_a_checkpoint(key_type: KeyType) -> None:
    for purpose in {default_purpose(key_type), Purpose.RAW}:
        with pytest.raises(DeniedError, match=r"^only a checkpoint key signs checkpoints$"):
            generate(key_type, purpose, os.urandom).sign_checkpoint(STATEMENT)


def test_no_key_is_a_checkpoint_key_unless_it_was_asked_for() -> None:
    assert Purpose.CHECKPOINT not in {default_purpose(key_type) for key_type in KeyType}
