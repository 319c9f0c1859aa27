"""Records that describe themselves: version 2 to the byte, version 1 as it was, and every field that lies."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealed_samples import ARN, EVERY, plain, record, reference

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import MalformedError
from signatory.nitro.sealed import KeyName, Scheme
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.json_form import from_birth, from_sealed, to_sealed
from vaults.nitro.storage.record import Found, SealedKey, Stock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "enclave_keys.json"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def written(path: Path, name: str = "sealed_keys.json") -> Any:
    return json.loads(path.with_name(name).read_text())


def test_a_record_of_version_2_has_these_fields_and_no_other(path: Path) -> None:
    key = record(scheme=Scheme.KMS_GDK, user_id="tenant-1", version=3)
    FileStore(path).add(key)
    assert key.public
    assert key.birth
    assert written(path) == [
        {
            "version": 2,
            "key_id": key.id,
            "key_type": "ed25519",
            "purpose": "tezos",
            "public_key": key.public.text,
            "scheme": "kms-gdk-v1",
            "key_version": 3,
            "user_id": "tenant-1",
            "kms_key_arn": str(ARN),
            "sealed_key": b64(key.blob),
            "birth_statement": b64(key.birth.statement),
            "birth_attestation": b64(key.birth.attestation),
        }
    ]
    FileStore(path).add(plain(2))
    assert not {"user_id", "birth_statement", "birth_attestation"} & set(written(path)[1])


def test_the_birth_of_a_key_in_signatory_s_file_stands_in_a_file_of_its_own(path: Path) -> None:
    key = reference(born=True)
    FileStore(path).add(key)
    assert key.birth
    assert written(path, path.name) == [{"public_key_hash": key.id, "encrypted_private_key": b64(key.blob)}]
    assert written(path, "key_births.json") == [
        {
            "version": 1,
            "key_id": key.id,
            "birth_statement": b64(key.birth.statement),
            "birth_attestation": b64(key.birth.attestation),
        }
    ]


@pytest.mark.parametrize("family", [KeyType.MLDSA44, KeyType.MLDSA65, KeyType.MLDSA87])
def test_a_record_of_version_1_is_read_as_it_was_written(path: Path, family: KeyType) -> None:
    key = plain(1, family)
    assert key.public
    old = {
        "version": 1,
        "key_id": key.id,
        "key_type": family.value,
        "purpose": key.purpose.value,
        "public_key": key.public.text,
        "scheme": "kms-encrypt-v0",
        "kms_key_arn": key.kms_key_arn,
        "sealed_key": b64(key.blob),
    }
    path.with_name("sealed_keys.json").write_text(json.dumps([old]))
    assert FileStore(path).load() == Stock((key,))
    FileStore(path).add(plain(2))
    assert written(path)[0] == old
    path.with_name("sealed_keys.json").write_text(json.dumps([{**old, "scheme": "kms-gdk-v1"}]))
    (problem,) = FileStore(path).load().problems
    assert problem.endswith("scheme: a record of version 1 is of kms-encrypt-v0")


BASE = to_sealed(record(1, version=2, user_id="tenant-1"))
OTHER = to_sealed(record(2))
LIES = [
    ({"scheme": "kms-gdk-v1"}, "scheme is not that of the sealed record"),
    ({"purpose": "raw"}, "purpose is not that of the sealed record"),
    ({"key_version": 1}, "key_version is not that of the sealed record"),
    ({"user_id": "tenant-2"}, "user_id is not that of the sealed record"),
    ({"user_id": None}, "user_id is not that of the sealed record"),
    ({"kms_key_arn": str(ARN)[:-1] + "1"}, "kms_key_arn is not that of the sealed record"),
    (
        {"key_id": OTHER["key_id"], "public_key": OTHER["public_key"]},
        "key_id is not that of the sealed record",
    ),
    ({"sealed_key": OTHER["sealed_key"]}, "key_id is not that of the sealed record"),
    ({"sealed_key": b64(b"KMS's")}, "sealed_key: sealed record: "),
    ({"sealed_key": b64(record().blob + b"\0")}, "sealed_key: sealed record: "),
    ({"sealed_key": "%"}, "sealed_key is not base64"),
    ({"sealed_key": 3}, "sealed_key is missing or not binary"),
    ({"key_version": 0}, "key_version is not that of the sealed record"),
    ({"key_version": True}, "key_version is not that of the sealed record"),
    ({"key_version": 2**32}, "key_version is not that of the sealed record"),
    ({"scheme": "kms-encrypt-v0"}, "key_version: kms-encrypt-v0 seals no version, and it must be 1"),
    ({"scheme": "kms-encrypt-v0", "key_version": 1}, "user_id: kms-encrypt-v0 seals no user_id"),
    ({"scheme": "kms-encrypt-v0", "purpose": "raw"}, "purpose: kms-encrypt-v0 seals ed25519 keys as tezos"),
    ({"scheme": "kms-later-v9"}, "scheme 'kms-later-v9' is not known to this release"),
    ({"key_type": "p256"}, "key_type is not that of the sealed record"),
    ({"public_key": "edpk"}, "public_key is not that of the sealed record"),
    ({"public_key": None}, "public_key is missing or no text"),
    ({"purpose": "checkpoint"}, "purpose is not that of the sealed record"),
    ({"version": 3}, "version 3 is not known to this release, which knows 1 and 2"),
    ({"version": True}, "version is missing or no number"),
]


@pytest.mark.parametrize(("lie", "words"), LIES)
def test_a_field_that_is_not_the_sealed_record_s_own_is_named_and_costs_the_key(
    lie: dict[str, Any], words: str
) -> None:
    assert from_sealed(BASE).problem == ""
    with pytest.raises(MalformedError) as caught:
        from_sealed({**BASE, **lie})
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"birth_statement": OTHER["birth_statement"]}, "birth_statement: it is of another sealed key"),
        ({"birth_statement": "%"}, "birth_statement is missing or not binary"),
        ({"birth_statement": b64(b"no")}, "birth_statement: birth statement: "),
        ({"birth_attestation": ""}, "birth_attestation is empty"),
        ({"birth_attestation": 7}, "birth_attestation is missing or not binary"),
    ],
)
def test_a_birth_that_cannot_be_read_is_named_and_its_key_still_signs(
    path: Path, lie: dict[str, Any], words: str
) -> None:
    path.with_name("sealed_keys.json").write_text(json.dumps([{**BASE, **lie}]))
    stock = FileStore(path).load()
    assert [(key.id, key.birth) for key in stock.keys] == [(BASE["key_id"], None)]
    (problem,) = stock.problems
    assert problem.startswith(f"the birth of {BASE['key_id']} is left out: {words}")


def test_the_later_of_two_births_counts_where_it_is_of_the_blob_that_is_stored(path: Path) -> None:
    """A process that died between the two writes left the first."""
    left, key = reference(1, born=True), reference(1, born=True)
    store = FileStore(path)
    store.add(left)
    path.unlink()
    store.add(key)
    assert len(written(path, "key_births.json")) == 2
    assert FileStore(path).load() == store.load() == Stock((key,))


@pytest.mark.parametrize("key", EVERY.values(), ids=EVERY)
def test_a_sealed_record_alone_says_all_of_its_key(key: SealedKey) -> None:
    if key.scheme is Scheme.KMS_ENCRYPT:
        with pytest.raises(MalformedError):
            SealedKey.of_blob(key.blob)
    else:
        assert SealedKey.of_blob(key.blob, key.birth) == key


def test_the_name_that_the_enclave_is_told_has_every_part() -> None:
    key = record(1, purpose=Purpose.RAW, version=7, user_id="tenant-1")
    assert key.public
    assert key.name == KeyName(key.id, KeyType.ED25519, Purpose.RAW, key.public.data, 7, "tenant-1")
    assert reference().name.public == b""


def test_nothing_sealed_or_attested_stands_in_a_repr() -> None:
    shown = repr(record(1)) + repr(from_birth(written_birth()))
    assert "statement" not in shown
    assert "blob" not in shown


def written_birth() -> dict[str, Any]:
    key = reference(born=True)
    assert key.birth
    return {
        "version": 1,
        "key_id": key.id,
        "birth_statement": b64(key.birth.statement),
        "birth_attestation": b64(key.birth.attestation),
    }


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=40).map(b64)


@given(st.dictionaries(st.sampled_from([*BASE, "extra"]), JSON))
def test_any_change_of_a_record_is_a_key_or_malformed(changes: dict[str, Any]) -> None:
    try:
        found = from_sealed({**BASE, **changes})
    except MalformedError:
        return
    assert isinstance(found, Found)
    kept = from_sealed(BASE).key
    assert (found.key.blob, found.key.name) == (kept.blob, kept.name)
