"""Sealed keys are those of the reference, both ways: the plaintext under KMS, byte for byte, no context."""

import os

import pytest
from emulators import KEY_ID
from enclave_cloud import Cloud, Enclave

from cli.local import kms_blob
from signatory.crypto.curves import KeyType
from signatory.rpc.messages import Generated, Import, Imported, ImportUnencrypted, RemoteError

SEED = b"\x11" * 32
ED25519 = bytes.fromhex("d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737")
PLAINTEXTS = {
    KeyType.ED25519: "a167456432353531395820",
    KeyType.SECP256K1: "a169536563703235366b315820",
    KeyType.P256: "a1684e697374503235365820",
    KeyType.BLS: "a163426c735820",
    KeyType.MLDSA44: "a1674d6c44736134345820",
    KeyType.MLDSA65: "a1674d6c44736136355820",
    KeyType.MLDSA87: "a1674d6c44736138375820",
}


def _material(cloud: Cloud) -> bytes:
    key = cloud.state.find_key(KEY_ID)
    assert key is not None
    return key.material


def _sealed(cloud: Cloud, plaintext: bytes) -> bytes:
    return kms_blob.seal(KEY_ID, _material(cloud), plaintext, {}, os.urandom(12))


@pytest.mark.parametrize("key_type", list(PLAINTEXTS))
async def test_what_is_sealed_is_the_reference_s_plaintext(
    cloud: Cloud, enclave: Enclave, key_type: KeyType
) -> None:
    line = await enclave.session()
    made = await line.ask(ImportUnencrypted(key_type, SEED))
    assert isinstance(made, Generated)
    plaintext = kms_blob.open_blob(_material(cloud), made.blob, {})
    assert plaintext == bytes.fromhex(PLAINTEXTS[key_type]) + SEED


@pytest.mark.parametrize(
    "plaintext",
    [
        bytes.fromhex("a167456432353531395820") + SEED,
        bytes.fromhex("a167456432353531399820") + b"\x11" * 32,
    ],
    ids=["bytes", "integers"],
)
async def test_a_key_sealed_by_the_reference_is_imported(
    cloud: Cloud, enclave: Enclave, plaintext: bytes
) -> None:
    line = await enclave.session()
    assert await line.ask(Import(_sealed(cloud, plaintext))) == Imported(KeyType.ED25519, ED25519, 0)


@pytest.mark.parametrize(
    "plaintext",
    [
        b"hunter2hunter2",
        bytes.fromhex("a16768756e746572325820") + SEED,
        bytes.fromhex("a16745643235353139581f") + SEED[1:],
        bytes.fromhex("a167456432353531395820") + SEED + b"\x00",
        bytes.fromhex("a1684e697374503235365820") + bytes(32),
        bytes.fromhex("bf67456432353531395820") + SEED + b"\xff",
    ],
    ids=["no CBOR", "an unknown family", "too short", "a byte behind", "a zero scalar", "an indefinite map"],
)
async def test_what_was_sealed_and_is_no_key_is_one_error_that_quotes_nothing(
    cloud: Cloud, enclave: Enclave, plaintext: bytes
) -> None:
    line = await enclave.session()
    with pytest.raises(RemoteError) as caught:
        await line.ask(Import(_sealed(cloud, plaintext)))
    assert caught.value.chain == (
        "deserialization error",
        "what KMS unwrapped is not a private key of this protocol",
    )
