"""What a parent could try with data keys and credentials: mint them, withhold them, or have them run out."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from emulators import ACCESS, KEY_ARN
from enclave_cloud import Cloud
from sealing_parts import ALL, RECORDS, changed, kms_session, minted, named, pair_of, sealer

from enclave_signer.data_keys import DataKeys
from enclave_signer.sealing import SealedKeyError, Sealer
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import DeniedError, IntegrityError, SignatoryError, UnavailableError
from signatory.nitro import sealed
from signatory.nitro.kms import Arn
from signatory.nitro.kms_errors import KmsError
from signatory.nitro.sealed import KeyName, Scheme
from signatory.nitro.sigv4 import AccessKey

MINTED = b"\xff" * 32
"""A data key that the parent knows, since it had KMS wrap it."""


def forged(
    cloud: Cloud, scheme: Scheme, name: KeyName, secret: bytes, data_key: bytes, data_key_id: str
) -> bytes:
    """A record that the parent makes all by itself, under a data key that it had KMS wrap."""
    wrapped = minted(cloud, data_key, dict(sealed.context_of(name.user_id, data_key_id)))
    record = sealed.close(
        scheme,
        name,
        Arn.parse(KEY_ARN),
        data_key_id,
        wrapped,
        data_key=data_key,
        nonce=os.urandom(12),
        secret=secret,
    )
    return sealed.encode(record)


async def test_a_data_key_that_the_parent_had_wrapped_opens_its_own_records_and_seals_nothing(
    cloud: Cloud, tmp_path: Path
) -> None:
    theirs, keys = pair_of(KeyType.ED25519), DataKeys()
    blob = forged(cloud, Scheme.KMS_ENVELOPE, named(theirs), theirs.secret, MINTED, "envelope:" + "0" * 32)
    before = cloud.calls("kms", "GenerateDataKey")
    async with sealer(cloud, tmp_path, data_keys=keys) as own:
        # It is the parent's own key, and no better kept than before.
        assert await own.unseal(named(theirs), Scheme.KMS_ENVELOPE, blob) == theirs
        ours = pair_of(KeyType.ED25519)
        made = await own.seal(ours, Scheme.KMS_ENVELOPE)
    record = sealed.decode(made.blob)
    assert record.wrapped != sealed.decode(blob).wrapped
    assert cloud.calls("kms", "GenerateDataKey") == before + 1
    with pytest.raises(IntegrityError, match="does not open"):
        sealed.open_record(record, MINTED)


@pytest.mark.parametrize("scheme", RECORDS)
async def test_a_secret_under_the_name_of_another_key_is_a_substitution(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    ours, theirs = pair_of(KeyType.ED25519), pair_of(KeyType.ED25519)
    identifier = named(ours).key_id if scheme is Scheme.KMS_GDK else "envelope:" + "0" * 32
    async with sealer(cloud, tmp_path) as own:
        blob = forged(cloud, scheme, named(ours), theirs.secret, MINTED, identifier)
        with pytest.raises(IntegrityError, match=r"another public key \(public\)"):
            await own.unseal(named(ours), scheme, blob)
        lying = replace(named(theirs), key_id=named(ours).key_id)
        identifier = lying.key_id if scheme is Scheme.KMS_GDK else identifier
        blob = forged(cloud, scheme, lying, theirs.secret, MINTED, identifier)
        with pytest.raises(IntegrityError, match=r"of another key \(key_id\)"):
            await own.unseal(lying, scheme, blob)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (named(pair_of(KeyType.ED25519)), b"hunter2"),
        (replace(named(pair_of(KeyType.ED25519)), purpose=Purpose.TEZOS), b"\x01" * 33),
        (named(pair_of(KeyType.P256)), bytes(32)),
        (replace(named(pair_of(KeyType.MLDSA65)), purpose=Purpose.TEZOS), b"\x01" * 32),
        (replace(named(pair_of(KeyType.P256)), purpose=Purpose.CHECKPOINT), b"\x01" * 32),
    ],
)
async def test_a_record_that_holds_no_key_of_its_name_quotes_nothing(
    cloud: Cloud, tmp_path: Path, name: KeyName, secret: bytes
) -> None:
    blob = forged(cloud, Scheme.KMS_GDK, name, secret, MINTED, name.key_id)
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(SealedKeyError) as caught:
            await own.unseal(name, Scheme.KMS_GDK, blob)
    assert caught.value.message == "what KMS unwrapped is not a private key of this protocol"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
async def test_a_wrapped_data_key_of_another_length_opens_nothing(
    cloud: Cloud, tmp_path: Path, size: int
) -> None:
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair_of(KeyType.ED25519), Scheme.KMS_GDK)
        wrapped = minted(cloud, b"\x01" * size, {"key_id": made.name.key_id})
        with pytest.raises(IntegrityError):
            await own.unseal(made.name, Scheme.KMS_GDK, changed(made.blob, f11=wrapped))


@pytest.mark.parametrize("scheme", RECORDS)
async def test_a_kms_that_answers_in_the_clear_seals_and_opens_nothing(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    pair = pair_of(KeyType.ED25519)
    async with sealer(cloud, tmp_path) as own:
        cloud.tell("kms", do="plaintext", operation="GenerateDataKey", times=1)
        with pytest.raises(IntegrityError, match="without CiphertextForRecipient"):
            await own.seal(pair, scheme)
        made = await own.seal(pair, scheme)
    async with sealer(cloud, tmp_path) as own:
        cloud.tell("kms", do="plaintext", operation="Decrypt", times=1)
        with pytest.raises(IntegrityError, match="without CiphertextForRecipient"):
            await own.unseal(made.name, scheme, made.blob)
        assert await own.unseal(made.name, scheme, made.blob) == pair


@pytest.mark.parametrize(
    ("error", "family"),
    [
        ("ExpiredTokenException", UnavailableError),
        ("AccessDeniedException", DeniedError),
        ("UnrecognizedClientException", UnavailableError),
        ("DisabledException", UnavailableError),
    ],
)
@pytest.mark.parametrize("scheme", ALL)
async def test_credentials_that_kms_does_not_take_open_nothing_and_the_next_ones_do(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, error: str, family: type[SignatoryError]
) -> None:
    pair = pair_of(KeyType.ED25519, Purpose.TEZOS)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair, scheme)
    async with kms_session(cloud, tmp_path) as kms:
        cloud.tell("kms", do="fail", operation="Decrypt", error=error, times=1)
        own = Sealer(kms, DataKeys(), ALL)
        with pytest.raises(family) as caught:
            await own.unseal(made.name, scheme, made.blob)
        assert isinstance(caught.value, KmsError)
        assert kms.calls == 1
        kms.renew(ACCESS)
        assert await own.unseal(made.name, scheme, made.blob) == pair


@pytest.mark.parametrize("scheme", ALL)
async def test_credentials_that_nobody_knows_open_and_seal_nothing(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    keys, pair = DataKeys(), pair_of(KeyType.ED25519, Purpose.TEZOS)
    async with sealer(cloud, tmp_path, data_keys=keys) as own:
        made = await own.seal(pair, scheme)
        await own.unseal(made.name, scheme, made.blob)
        # The process has the data key, and still the other session has to show that it may open it.
        async with sealer(cloud, tmp_path, data_keys=keys, access=AccessKey("AKIAWRONG", "x")) as other:
            for refused in (other.unseal(made.name, scheme, made.blob), other.seal(pair, scheme)):
                with pytest.raises(UnavailableError, match="UnrecognizedClientException"):
                    await refused


@pytest.mark.parametrize("scheme", ALL)
async def test_throttling_is_waited_out(cloud: Cloud, tmp_path: Path, scheme: Scheme) -> None:
    pair = pair_of(KeyType.ED25519, Purpose.TEZOS)
    async with sealer(cloud, tmp_path) as own:
        cloud.tell("kms", do="fail", operation="*", error="ThrottlingException", times=2)
        made = await own.seal(pair, scheme)
    async with sealer(cloud, tmp_path) as own:
        cloud.tell("kms", do="fail", operation="*", error="ThrottlingException", times=2)
        assert await own.unseal(made.name, scheme, made.blob) == pair
