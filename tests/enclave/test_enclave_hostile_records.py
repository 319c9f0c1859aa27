"""What a parent could try with sealed records: it owns the storage, the credentials, and what it asks for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from emulators import KEY_ARN, KEY_ID
from enclave_cloud import Cloud
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kms_parts import FOREIGN
from sealing_parts import ALL, RECORDS, SECOND_ARN, SECOND_ID, changed, kms_session, named, pair_of, sealer

from enclave_signer.data_keys import DataKeys
from enclave_signer.sealing import Sealed, Sealer
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import DeniedError, IntegrityError, MalformedError
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import Scheme


async def two(own: Sealer, scheme: Scheme, user_id: str | None = None) -> tuple[Sealed, Sealed]:
    first, second = [await own.seal(pair_of(KeyType.ED25519), scheme, user_id) for _ in range(2)]
    return first, second


@pytest.mark.parametrize("scheme", RECORDS)
@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("key_id", {"key_id": "tz1burnburnburnburnburnburnburjAYjjX"}),
        ("key_type", {"key_type": KeyType.SECP256K1}),
        ("purpose", {"purpose": Purpose.TEZOS}),
        ("purpose", {"purpose": Purpose.CHECKPOINT}),
        ("public", {"public": b"\x01" * 32}),
        ("public", {"public": b""}),
        ("version", {"version": 2}),
        ("user_id", {"user_id": "baker-7"}),
    ],
)
async def test_a_record_that_is_not_exactly_the_named_key_is_a_substitution(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, field: str, other: dict[str, Any]
) -> None:
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair_of(KeyType.ED25519), scheme)
        with pytest.raises(IntegrityError, match=rf"^substitution: .* \({field}\)$"):
            await own.unseal(replace(made.name, **other), scheme, made.blob)


@pytest.mark.parametrize("scheme", RECORDS)
async def test_an_older_version_and_another_tenant_s_record_are_substitutions(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    pair = pair_of(KeyType.ED25519)
    async with sealer(cloud, tmp_path) as own:
        old, new = [await own.seal(pair, scheme, "baker-7", version) for version in (1, 2)]
        with pytest.raises(IntegrityError, match=r"\(version\)"):
            await own.unseal(new.name, scheme, old.blob)
        other = await own.seal(pair, scheme, "baker-8", 2)
        with pytest.raises(IntegrityError, match=r"\(user_id\)"):
            await own.unseal(new.name, scheme, other.blob)


@pytest.mark.parametrize("scheme", RECORDS)
async def test_swapped_records_are_substitutions_and_swapped_names_inside_them_do_not_open(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    async with sealer(cloud, tmp_path) as own:
        first, second = await two(own, scheme)
        with pytest.raises(IntegrityError, match="substitution"):
            await own.unseal(first.name, scheme, second.blob)
        relabelled = changed(second.blob, f6=first.name.public, f7=first.name.key_id)
        if scheme is Scheme.KMS_GDK:
            # The context goes with the name: then it is KMS that does not open.
            relabelled = changed(relabelled, f10=first.name.key_id)
        with pytest.raises(IntegrityError) as caught:
            await own.unseal(first.name, scheme, relabelled)
    assert ("InvalidCiphertext" in caught.value.message) == (scheme is Scheme.KMS_GDK)


@pytest.mark.parametrize("scheme", RECORDS)
async def test_swapped_data_keys_with_their_contexts_do_not_open(
    cloud: Cloud, tmp_path: Path, scheme: Scheme
) -> None:
    async with sealer(cloud, tmp_path) as own:
        first = await own.seal(pair_of(KeyType.ED25519), scheme, "baker-7")
        second = await own.seal(pair_of(KeyType.ED25519), scheme, "baker-7")
    async with sealer(cloud, tmp_path) as own:
        third = await own.seal(pair_of(KeyType.ED25519), scheme, "baker-7")
        # Same tenant, so that KMS opens it: what refuses is the record itself.
        for other in (second, third):
            found = cbor2.loads(other.blob)
            if found[11] != cbor2.loads(first.blob)[11]:
                fields = {"f11": found[11]} | ({"f10": found[10]} if scheme is Scheme.KMS_ENVELOPE else {})
                with pytest.raises(IntegrityError, match="does not open: it was changed"):
                    await own.unseal(first.name, scheme, changed(first.blob, **fields))


@pytest.mark.parametrize("number", [9, 10, 11, 12, 13, 14])
@pytest.mark.parametrize("scheme", RECORDS)
async def test_a_record_with_any_field_of_another_one_does_not_open(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, number: int
) -> None:
    cloud.state.add_key(SECOND_ID, _policy(cloud))
    async with sealer(cloud, tmp_path, key=SECOND_ARN) as own:
        other = await own.seal(pair_of(KeyType.ED25519), scheme)
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair_of(KeyType.ED25519), scheme)
        blob = changed(made.blob, **{f"f{number}": cbor2.loads(other.blob)[number]})
        with pytest.raises((IntegrityError, MalformedError)):
            await own.unseal(made.name, scheme, blob)
        assert await own.unseal(made.name, scheme, made.blob)


def _policy(cloud: Cloud) -> dict[str, Any]:
    key = cloud.state.find_key(KEY_ID)
    assert key is not None
    return dict(key.policy)


async def test_a_record_of_one_scheme_is_none_of_the_other(cloud: Cloud, tmp_path: Path) -> None:
    async with sealer(cloud, tmp_path) as own:
        gdk = await own.seal(pair_of(KeyType.ED25519), Scheme.KMS_GDK)
        envelope = await own.seal(pair_of(KeyType.ED25519), Scheme.KMS_ENVELOPE)
        for made, scheme in ((gdk, Scheme.KMS_ENVELOPE), (envelope, Scheme.KMS_GDK)):
            with pytest.raises(IntegrityError, match=r"\(scheme\)"):
                await own.unseal(made.name, scheme, made.blob)


@pytest.mark.parametrize("scheme", RECORDS)
@pytest.mark.parametrize("arn", [str(FOREIGN), SECOND_ARN, KEY_ARN.replace("us-west-2", "eu-west-1")])
async def test_a_record_under_a_foreign_kms_key_is_refused_before_kms_is_asked(
    cloud: Cloud, tmp_path: Path, scheme: Scheme, arn: str
) -> None:
    async with kms_session(cloud, tmp_path, kms_key_arns=[KEY_ARN]) as kms:
        own = Sealer(kms, DataKeys(), ALL)
        made = await own.seal(pair_of(KeyType.ED25519), scheme)
        calls = kms.calls
        with pytest.raises(DeniedError, match="`kms_key_arns`"):
            await own.unseal(made.name, scheme, changed(made.blob, f9=arn))
        assert kms.calls == calls


@pytest.mark.parametrize("region", ["us-west-2.evil.example", "us-west-2@evil", "", "US-WEST-2"])
async def test_a_record_with_a_region_that_leads_elsewhere_is_malformed(
    cloud: Cloud, tmp_path: Path, region: str
) -> None:
    async with sealer(cloud, tmp_path) as own:
        made = await own.seal(pair_of(KeyType.ED25519), Scheme.KMS_GDK)
        blob = changed(made.blob, f9=KEY_ARN.replace("us-west-2", region))
        with pytest.raises(MalformedError, match=r"^sealed record: "):
            await own.unseal(made.name, Scheme.KMS_GDK, blob)


class _NoKms:
    """Bytes that are no record never get as far as KMS."""

    def allows(self, key: Arn) -> bool:
        raise AssertionError(key)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(blob=st.binary(max_size=200))
async def test_any_bytes_are_no_record_of_the_named_key(blob: bytes) -> None:
    own = Sealer(_NoKms(), DataKeys(), ALL)
    for scheme in RECORDS:
        with pytest.raises((MalformedError, IntegrityError)):
            await own.unseal(named(_PAIR), scheme, blob)


_PAIR = pair_of(KeyType.ED25519)
