"""The two key files: Signatory's to the byte, ours, and neither ever overwritten when it cannot be read."""

import base64
import contextlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, floats, integers, lists, none, recursive, sampled_from
from hypothesis.strategies import text as texts

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, default_purpose
from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.nitro.sealed import Scheme
from signatory.tezos.keys import PublicKey
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.json_form import from_birth, from_reference, from_sealed
from vaults.nitro.storage.record import Born, Found, SealedKey, Stock

PKH = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
OTHER = "tz1aSkwEot3L2kmUvcoxzjMomb9mvBNuzFK6"


def sealed(family: KeyType, seed: int = 1, blob: bytes = b"\x01\xfe\xffblob") -> SealedKey:
    pair = keypair.from_secret(family, bytes(31) + bytes([seed]))
    public = PublicKey(family, pair.public)
    return SealedKey(public.id, family, default_purpose(family), blob, public, "arn:aws:kms:x:1:key/2")


def record(pkh: str = PKH, blob: bytes = b"blob", **more: Any) -> dict[str, Any]:
    return {"public_key_hash": pkh, "encrypted_private_key": base64.b64encode(blob).decode(), **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "enclave_keys.json"


def test_a_file_that_signatory_wrote_is_read_and_extended_in_its_own_form(path: Path) -> None:
    path.write_text(json.dumps([record()], indent=4))
    key = sealed(KeyType.P256)
    FileStore(path).add(key)
    expected = [record(), record(key.id, key.blob)]
    assert path.read_text() == json.dumps(expected, indent=4) + "\n"
    assert not path.with_name("sealed_keys.json").exists()


@pytest.mark.parametrize("family", KeyType)
def test_every_family_comes_back_with_all_that_its_file_can_say(path: Path, family: KeyType) -> None:
    key = sealed(family)
    FileStore(path).add(key)
    (found,) = FileStore(path).load().keys
    assert found.blob == key.blob
    assert (found.id, found.type, found.purpose, found.scheme) == (
        key.id,
        family,
        key.purpose,
        Scheme.KMS_ENCRYPT,
    )
    assert found.public in {None, key.public}
    reference = family.value in {"ed25519", "secp256k1", "p256", "bls"}
    assert path.exists() is reference
    assert path.with_name("sealed_keys.json").exists() is not reference
    assert b"blob" not in repr(found).encode()


def test_unknown_fields_and_records_that_we_cannot_read_are_kept_as_they_are(path: Path) -> None:
    strange = [record(label="mine", n=1.5), {"public_key_hash": "KT1", "x": None}, 17]
    path.write_text(json.dumps(strange))
    key = sealed(KeyType.BLS)
    FileStore(path).add(key)
    assert json.loads(path.read_text()) == [*strange, record(key.id, key.blob)]


BAD = {
    "no object": 17,
    "another hash": record("tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446C"),
    "a bit flip in base64": record() | {"encrypted_private_key": "$$"},
    "no blob": record(blob=b""),
    "no hash": {"encrypted_private_key": "AA=="},
    "a tz5": record(sealed(KeyType.MLDSA44).id),
    "a duplicate": record(OTHER, b"another"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_record_is_named_and_the_others_are_loaded(path: Path, bad: Any) -> None:
    path.write_text(json.dumps([record(OTHER), bad, record()]))
    stock = FileStore(path).load()
    assert [key.id for key in stock.keys] == [OTHER, PKH]
    (problem,) = stock.problems
    assert problem.startswith("record 1")
    assert "enclave_keys.json is left out: " in problem


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 3, "version 3 is not known to this release, which knows 1 and 2"),
        ("version", "1", "version is missing or no number"),
        ("scheme", "kms-data-key-v1", "scheme 'kms-data-key-v1' is not known"),
        ("purpose", "both", "purpose: 'both' is not known"),
        ("purpose", "raw", "purpose: kms-encrypt-v0 seals mldsa44 keys as tezos only"),
        ("key_type", "mldsa65", "key_type is not that of the public key"),
        ("key_id", PKH, "key_id does not belong to the public key"),
        ("public_key", "mdpk", "public_key: "),
        ("sealed_key", "", "sealed_key is empty"),
    ],
)
def test_a_record_of_ours_that_is_wrong_says_in_which_field(
    path: Path, field: str, value: Any, words: str
) -> None:
    FileStore(path).add(sealed(KeyType.MLDSA44))
    ours = path.with_name("sealed_keys.json")
    (found,) = json.loads(ours.read_text())
    ours.write_text(json.dumps([found | {field: value}]))
    stock = FileStore(path).load()
    assert stock.keys == ()
    assert words in stock.problems[0]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[", b"\xff\xfe", b"[" * 100_000, b'[{"public_key_hash": "tz']
)
def test_a_torn_file_is_refused_and_never_overwritten(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = FileStore(path)
    with pytest.raises(IntegrityError, match="is not a JSON array; it is left as it is"):
        store.load()
    with pytest.raises(IntegrityError):
        store.add(sealed(KeyType.ED25519))
    assert path.read_bytes() == content


def test_a_key_that_is_there_is_refused(path: Path) -> None:
    store = FileStore(path)
    store.add(sealed(KeyType.ED25519))
    before = path.read_bytes()
    with pytest.raises(MalformedError, match="is already in"):
        store.add(sealed(KeyType.ED25519, blob=b"another"))
    assert path.read_bytes() == before


def test_many_writers_at_once_lose_nothing(path: Path) -> None:
    keys = [sealed(family, seed) for seed in range(1, 9) for family in (KeyType.ED25519, KeyType.MLDSA44)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: FileStore(path).add(key), keys))
    assert {key.id for key in FileStore(path).load().keys} == {key.id for key in keys}


@pytest.mark.parametrize(
    ("name", "family"), [("enclave_keys.json", KeyType.ED25519), ("sealed_keys.json", KeyType.MLDSA44)]
)
def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path, name: str, family: KeyType) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / name
    target.write_text("[]")
    (tmp_path / name).symlink_to(target)
    FileStore(tmp_path / "enclave_keys.json").add(sealed(family))
    assert (tmp_path / name).is_symlink()
    assert len(json.loads(target.read_text())) == 1


def test_two_stores_of_one_folder_do_not_share_our_file(tmp_path: Path) -> None:
    FileStore(tmp_path / "a.json").add(sealed(KeyType.MLDSA44))
    assert FileStore(tmp_path / "b.json").load() == Stock()
    assert (tmp_path / "sealed_a.json").exists()


def test_a_write_that_does_not_come_back_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaults.nitro.storage.array.replace_durably", lambda *_args, **_more: None)
    with pytest.raises(IntegrityError, match="does not come back"):
        FileStore(path).add(sealed(KeyType.ED25519))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError):
        FileStore(tmp_path / "file" / "keys.json").add(sealed(KeyType.ED25519))


VALUES = recursive(
    none() | integers() | floats() | texts(max_size=60) | sampled_from([PKH, "AA==", "raw"]),
    lambda inner: (
        lists(inner, max_size=4)
        | dictionaries(
            sampled_from(
                ["version", "key_id", "public_key_hash", "encrypted_private_key", "scheme", "sealed_key"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_record_is_a_key_or_malformed(value: Any) -> None:
    for read, kind in ((from_reference, Found), (from_sealed, Found), (from_birth, Born)):
        with contextlib.suppress(MalformedError):
            assert isinstance(read(value), kind)


@given(binary(max_size=200))
def test_any_file_is_a_stock_or_an_error_of_ours(data: bytes) -> None:

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "enclave_keys.json"
        file.write_bytes(data)
        with contextlib.suppress(IntegrityError):
            assert isinstance(FileStore(file).load(), Stock)
