"""Sealed keys: opened by another implementation, and by nobody when anything about them is not as named."""

from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from emulators import KEY_ARN, KEY_ID
from enclave_cloud import Cloud
from sealing_parts import ALL, RECORDS, kms_session, material, pair_of, sealer

from cli.local import kms_blob
from enclave_signer.data_keys import DataKeys
from enclave_signer.refusals import chain_of
from enclave_signer.sealing import Sealer
from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import from_secret
from signatory.errors import DeniedError, MalformedError
from signatory.nitro.sealed import KeyName, Scheme
from signatory.tezos.keys import PublicKey

WIRE = {
    KeyType.ED25519: "Ed25519",
    KeyType.SECP256K1: "Secp256k1",
    KeyType.P256: "NistP256",
    KeyType.BLS: "Bls",
    KeyType.MLDSA44: "MlDsa44",
    KeyType.MLDSA65: "MlDsa65",
    KeyType.MLDSA87: "MlDsa87",
}


def by_hand(value: object) -> bytes:
    """CBOR of a text, a byte string or a small number, written out as RFC 8949 §3 says."""
    if isinstance(value, int):
        assert value < 24
        return bytes([value])
    data, major = (value.encode(), 0x60) if isinstance(value, str) else (value, 0x40)
    assert isinstance(data, bytes)
    size = len(data)
    if size < 24:
        return bytes([major | size]) + data
    if size < 256:
        return bytes([major | 24, size]) + data
    return bytes([major | 25]) + size.to_bytes(2, "big") + data


def header_by_hand(name: KeyName, scheme: str, data_key_id: str, wrapped: bytes, nonce: bytes) -> bytes:
    entries: list[tuple[int, object]] = [
        (1, "signatory-vault/sealed/v1"),
        (2, scheme),
        (3, name.version),
        (4, WIRE[name.key_type]),
        (5, name.purpose.value),
        (6, name.public),
        (7, name.key_id),
        *([(8, name.user_id)] if name.user_id else []),
        (9, KEY_ARN),
        (10, data_key_id),
        (11, wrapped),
        (12, nonce),
    ]
    body = b"".join(bytes([number]) + by_hand(value) for number, value in entries)
    return bytes([0xA0 | len(entries)]) + body


@pytest.mark.parametrize("scheme", RECORDS)
@pytest.mark.parametrize("user_id", [None, "baker-7"])
@pytest.mark.parametrize("key_type", [KeyType.ED25519, KeyType.BLS, KeyType.MLDSA44])
async def test_a_record_opens_with_another_implementation_and_a_header_written_by_hand(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, user_id: str | None, key_type: KeyType
) -> None:
    pair = pair_of(key_type)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair, scheme, user_id, version=3)
    assert made.name == KeyName(
        PublicKey(pair.type, pair.public).id, key_type, Purpose.RAW, pair.public, 3, user_id
    )
    assert (str(made.kms_key), made.scheme) == (KEY_ARN, scheme)
    found = cbor2.loads(made.blob)
    data_key_id, wrapped, nonce, commitment, sealed = (found[number] for number in range(10, 15))
    if scheme is Scheme.KMS_GDK:
        assert data_key_id == made.name.key_id
    header = header_by_hand(made.name, scheme.value, data_key_id, wrapped, nonce)
    body = bytes([header[0] + 2]) + header[1:]
    assert made.blob == body + b"\x0d" + by_hand(commitment) + b"\x0e" + by_hand(sealed)
    # The data key is bound to exactly one entry of context.
    context = {"user_id": user_id} if user_id else {"key_id": data_key_id}
    data_key = kms_blob.open_blob(material(cloud), wrapped, context)
    assert len(data_key) == 32
    info = b"signatory-vault/sealed/v1\x00" + header
    derived = HKDF(data_key, 64, b"", SHA256, 1, context=info)
    assert isinstance(derived, bytes)
    assert derived[32:] == commitment
    cipher = AES.new(derived[:32], AES.MODE_GCM, nonce=nonce).update(header)
    assert cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]) == pair.secret
    assert pair.secret not in made.blob


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("key_type", list(KeyType))
async def test_what_is_sealed_opens_in_another_process(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, key_type: KeyType
) -> None:
    usual = Purpose.RAW if key_type in {KeyType.MLDSA65, KeyType.MLDSA87} else Purpose.TEZOS
    pair = pair_of(key_type, usual)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair, scheme)
    async with sealer(cloud, tmp_path) as own:
        opened = await own.unseal(made.name, scheme, made.blob)
    assert (opened, opened.secret, opened.purpose) == (pair, pair.secret, usual)


@pytest.mark.parametrize("scheme", RECORDS)
async def test_an_expanded_mldsa87_key_is_sealed_by_records_and_too_long_for_v0(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    expanded = from_secret(KeyType.MLDSA87, pair_of(KeyType.MLDSA87).expanded)
    assert len(expanded.secret) == 4896
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(expanded, scheme)
        assert (await own.unseal(made.name, scheme, made.blob)).secret == expanded.secret
        with pytest.raises(MalformedError, match="too long for KMS"):
            await own.seal(expanded, Scheme.KMS_ENCRYPT)


async def test_a_checkpoint_key_keeps_its_purpose(cloud: Cloud, tmp_path: Path) -> None:
    pair = pair_of(KeyType.ED25519, Purpose.CHECKPOINT)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair, Scheme.KMS_ENVELOPE)
        assert (await own.unseal(made.name, made.scheme, made.blob)).purpose is Purpose.CHECKPOINT
        with pytest.raises(MalformedError, match="binds neither tenant nor version nor purpose"):
            await own.seal(pair, Scheme.KMS_ENCRYPT)


async def test_a_hundred_envelope_records_open_with_one_call(cloud: Cloud, tmp_path: Path) -> None:
    pairs = [pair_of(KeyType.ED25519) for _ in range(100)]
    before = cloud.calls("kms", "GenerateDataKey")
    async with sealer(cloud, tmp_path) as own:
        records = [await own.seal(pair, Scheme.KMS_ENVELOPE) for pair in pairs]
    assert cloud.calls("kms", "GenerateDataKey") == before + 1
    before = cloud.calls("kms", "Decrypt")
    async with sealer(cloud, tmp_path) as own:
        opened = [await own.unseal(made.name, made.scheme, made.blob) for made in records]
    assert opened == pairs
    assert cloud.calls("kms", "Decrypt") == before + 1


async def test_gdk_asks_for_a_data_key_for_each_key(cloud: Cloud, tmp_path: Path) -> None:
    before = [cloud.calls("kms", name) for name in ("GenerateDataKey", "Decrypt", "Encrypt")]
    async with sealer(cloud, tmp_path) as own:
        records = [await own.seal(pair_of(KeyType.ED25519), Scheme.KMS_GDK) for _ in range(3)]
        for made in records:
            await own.unseal(made.name, made.scheme, made.blob)
    after = [cloud.calls("kms", name) for name in ("GenerateDataKey", "Decrypt", "Encrypt")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 3, 0]


@pytest.mark.parametrize("scheme", ALL)
async def test_a_scheme_that_the_settings_do_not_list_neither_seals_nor_opens(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    pair = pair_of(KeyType.ED25519, Purpose.TEZOS)
    async with kms_session(cloud, tmp_path) as kms:
        made = await Sealer(kms, DataKeys(), ALL).seal(pair, scheme)
        calls = kms.calls
        other = Sealer(kms, DataKeys(), [each for each in ALL if each is not scheme])
        for refused in (other.seal(pair, scheme), other.unseal(made.name, scheme, made.blob)):
            with pytest.raises(DeniedError, match=f"{scheme.value}: its measured settings .* `schemes`"):
                await refused
        if scheme is Scheme.KMS_ENCRYPT:
            for refused in (other.seal_reference(pair), other.unseal_reference(made.blob)):
                with pytest.raises(DeniedError, match="under `schemes`"):
                    await refused
        assert kms.calls == calls


@pytest.mark.parametrize("scheme", RECORDS)
async def test_without_generate_data_key_the_refusal_names_permission_and_switch(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    document = cloud.state.find_key(KEY_ID)
    assert document is not None
    statements = [each for each in document.policy["Statement"] if each["Action"] == "kms:Encrypt"]
    cloud.state.add_key(KEY_ID, {**document.policy, "Statement": statements})
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(DeniedError) as caught:
            await own.seal(pair_of(KeyType.ED25519), scheme)
        # The way that it names works.
        made = await own.seal(pair_of(KeyType.ED25519, Purpose.TEZOS), Scheme.KMS_ENCRYPT)
    said = chain_of(caught.value)
    assert said[:3] == ("encryption error", "SDK error", "service error")
    assert said[3].startswith("AccessDeniedException")
    for words in ("kms:GenerateDataKey", "PCR0", "`sealing: kms-encrypt-v0`", "`schemes`", "kms:Encrypt"):
        assert words in said[4]
    assert made.scheme is Scheme.KMS_ENCRYPT


async def test_without_encrypt_the_refusal_names_it(cloud: Cloud, tmp_path: Path) -> None:
    cloud.tell("kms", do="fail", operation="Encrypt", error="AccessDeniedException", times=1)
    async with sealer(cloud, tmp_path) as own:
        with pytest.raises(DeniedError) as caught:
            await own.seal(pair_of(KeyType.ED25519, Purpose.TEZOS), Scheme.KMS_ENCRYPT)
    assert "kms:Encrypt" in chain_of(caught.value)[-1]


@pytest.mark.parametrize("user_id", ["", "a b", "x" * 257, "ä", "a\0"])
async def test_a_tenant_s_id_that_is_none_is_refused_before_kms_is_asked(
    cloud: Cloud, tmp_path: Path, user_id: str
) -> None:
    async with kms_session(cloud, tmp_path) as kms:
        own = Sealer(kms, DataKeys(), ALL)
        for scheme in RECORDS:
            with pytest.raises(MalformedError, match="user_id"):
                await own.seal(pair_of(KeyType.ED25519), scheme, user_id)
        assert kms.calls == 0


@pytest.mark.parametrize(
    "changed",
    [{"user_id": "baker-7"}, {"version": 2}, {"purpose": Purpose.RAW}],
    ids=lambda each: next(iter(each)),
)
async def test_v0_neither_seals_nor_opens_what_it_does_not_bind(
    cloud: Cloud, tmp_path: Path, changed: dict[str, object]
) -> None:
    pair = pair_of(KeyType.ED25519, Purpose.TEZOS)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair, Scheme.KMS_ENCRYPT)
        with pytest.raises(MalformedError, match="kms-encrypt-v0 binds neither"):
            await own.unseal(replace(made.name, **changed), made.scheme, made.blob)
        purpose = changed.get("purpose", Purpose.TEZOS)
        assert isinstance(purpose, Purpose)
        with pytest.raises(MalformedError, match="kms-encrypt-v0 binds neither"):
            await own.seal(
                pair_of(KeyType.ED25519, purpose),
                Scheme.KMS_ENCRYPT,
                **{key: value for key, value in changed.items() if key != "purpose"},
            )
