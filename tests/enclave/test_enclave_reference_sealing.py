"""Sealed keys of kms-encrypt-v0 are the reference's, both ways: its plaintext under KMS, no context."""

from pathlib import Path

import pytest
from emulators import KEY_ARN
from enclave_cloud import Cloud
from sealing_parts import SECOND_ARN, SECOND_ID, material, minted, sealer

from cli.local import kms_blob
from enclave_signer.refusals import chain_of
from enclave_signer.sealing import SealedKeyError
from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.crypto.keypair import from_secret
from signatory.errors import IntegrityError
from signatory.nitro.sealed import KeyName, Scheme

SEED = b"\x11" * 32
ED25519 = bytes.fromhex("d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737")
# Base58Check of 06a19f and BLAKE2b-160 of that key, worked out apart from our code.
TZ1 = "tz1SuVm2EtvzCVfkgpgDWNnvXFNJpL6z1kCC"
PLAINTEXTS = {
    KeyType.ED25519: "a167456432353531395820",
    KeyType.SECP256K1: "a169536563703235366b315820",
    KeyType.P256: "a1684e697374503235365820",
    KeyType.BLS: "a163426c735820",
    KeyType.MLDSA44: "a1674d6c44736134345820",
    KeyType.MLDSA65: "a1674d6c44736136355820",
    KeyType.MLDSA87: "a1674d6c44736138375820",
}
SEALED = bytes.fromhex(PLAINTEXTS[KeyType.ED25519]) + SEED


@pytest.mark.parametrize("key_type", list(PLAINTEXTS))
async def test_what_is_sealed_is_the_reference_s_plaintext(
    cloud: Cloud, tmp_path: Path, key_type: KeyType
) -> None:
    pair = from_secret(key_type, SEED, purpose=default_purpose(key_type))
    async with sealer(cloud, tmp_path) as own:
        blobs = [await own.seal_reference(pair), (await own.seal(pair, Scheme.KMS_ENCRYPT)).blob]
    for blob in blobs:
        plaintext = kms_blob.open_blob(material(cloud), blob, {})
        assert plaintext == bytes.fromhex(PLAINTEXTS[key_type]) + SEED


@pytest.mark.parametrize(
    "plaintext",
    [SEALED, bytes.fromhex("a167456432353531399820") + b"\x11" * 32],
    ids=["bytes", "integers"],
)
async def test_a_key_sealed_by_the_reference_is_opened(
    cloud: Cloud, tmp_path: Path, plaintext: bytes
) -> None:
    async with sealer(cloud, tmp_path) as own:
        pair = await own.unseal_reference(minted(cloud, plaintext, {}))
    assert (pair.type, pair.public, pair.purpose) == (KeyType.ED25519, ED25519, Purpose.TEZOS)


async def test_a_key_sealed_under_another_allowed_key_is_opened(cloud: Cloud, tmp_path: Path) -> None:
    cloud.state.add_key(SECOND_ID, _policy(cloud))
    blob = minted(cloud, SEALED, {}, SECOND_ID)
    before = cloud.calls("kms", "Decrypt")
    async with sealer(cloud, tmp_path) as own:
        assert (await own.unseal_reference(blob)).public == ED25519
    assert cloud.calls("kms", "Decrypt") == before + 2
    async with sealer(cloud, tmp_path, key=SECOND_ARN) as own:
        assert (await own.unseal_reference(blob)).public == ED25519
    assert cloud.calls("kms", "Decrypt") == before + 3


async def test_a_key_sealed_under_a_key_that_the_settings_do_not_list_is_not_opened(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.state.add_key(SECOND_ID, _policy(cloud))
    blob = minted(cloud, SEALED, {}, SECOND_ID)
    async with sealer(cloud, tmp_path, kms_key_arns=[KEY_ARN]) as own:
        with pytest.raises(IntegrityError, match="IncorrectKeyException"):
            await own.unseal_reference(blob)


def _policy(cloud: Cloud) -> dict[str, object]:
    key = cloud.state.find_key(KEY_ARN.rpartition("/")[2])
    assert key is not None
    return dict(key.policy)


@pytest.mark.parametrize("public", [ED25519, b""])
async def test_the_named_key_is_opened_with_or_without_its_public_key(
    cloud: Cloud, tmp_path: Path, public: bytes
) -> None:
    name = KeyName(TZ1, KeyType.ED25519, Purpose.TEZOS, public)
    async with sealer(cloud, tmp_path) as own:
        assert (await own.unseal(name, Scheme.KMS_ENCRYPT, minted(cloud, SEALED, {}))).public == ED25519


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (KeyName("tz1burnburnburnburnburnburnburjAYjjX", KeyType.ED25519, Purpose.TEZOS, b""), "key_id"),
        (KeyName(TZ1, KeyType.ED25519, Purpose.TEZOS, b"\x01" * 32), "public"),
        (KeyName(TZ1, KeyType.SECP256K1, Purpose.TEZOS, b""), "key_type"),
    ],
)
async def test_a_blob_of_another_key_is_a_substitution(
    cloud: Cloud, tmp_path: Path, name: KeyName, field: str
) -> None:
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(IntegrityError, match=rf"^substitution: .* \({field}\)$"):
            await own.unseal(name, Scheme.KMS_ENCRYPT, minted(cloud, SEALED, {}))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"hunter2hunter2",
        bytes.fromhex("a16768756e746572325820") + SEED,
        bytes.fromhex("a16745643235353139581f") + SEED[1:],
        SEALED + b"\x00",
        bytes.fromhex("a1684e697374503235365820") + bytes(32),
        bytes.fromhex("bf67456432353531395820") + SEED + b"\xff",
    ],
    ids=["no CBOR", "an unknown family", "too short", "a byte behind", "a zero scalar", "an indefinite map"],
)
async def test_what_was_sealed_and_is_no_key_is_one_error_that_quotes_nothing(
    cloud: Cloud, tmp_path: Path, plaintext: bytes
) -> None:
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(SealedKeyError) as caught:
            await own.unseal_reference(minted(cloud, plaintext, {}))
    assert chain_of(caught.value) == (
        "deserialization error",
        "what KMS unwrapped is not a private key of this protocol",
    )
    assert caught.value.__cause__ is None


async def test_a_blob_with_a_context_is_not_one_of_the_reference(cloud: Cloud, tmp_path: Path) -> None:
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(IntegrityError, match="InvalidCiphertextException"):
            await own.unseal_reference(minted(cloud, SEALED, {"user_id": "baker-7"}))
