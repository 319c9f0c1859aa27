"""`attest verify`: what a stranger learns of a key from three files, and that no file may differ."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import base58
import pytest
from attest_program import Attest, Done, program, root_pem
from nitro_births import MANIFEST, SIGNED, STATEMENT, certified
from nitro_chain import CHAIN

from signatory.nitro.birth import Origin, Statement
from signatory.nitro.birth_verify import metadata_of

METADATA = metadata_of(STATEMENT)
CERTIFICATE = certified()
EDPK = base58.b58encode_check(bytes.fromhex("0d0f25d9") + STATEMENT.public).decode()
HASH = base58.b58encode_check(
    bytes.fromhex("06a19f") + hashlib.blake2b(STATEMENT.public, digest_size=20).digest()
).decode()


def store(statement: Statement = STATEMENT, **more: Any) -> None:
    """The files of a key: what the store holds of it."""
    made = certified(statement)
    Path("a").write_bytes(made.attestation)
    Path("s").write_bytes(made.statement)
    Path("k.json").write_text(json.dumps({**metadata_of(statement), **more}))


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Attest:
    monkeypatch.chdir(tmp_path)
    Path("root.pem").write_bytes(root_pem())
    Path("m.json").write_text(json.dumps(MANIFEST))
    store()
    start = program(monkeypatch, capsys)
    files = {"--birth-attestation": "a", "--manifest": "m.json", "--metadata": "k.json", "--root": "root.pem"}

    def run(*words: str, stdin: bytes = b"", **other: str | None) -> Done:
        named = files | {f"--{name.replace('_', '-')}": value for name, value in other.items()}
        pairs = [text for name, value in named.items() if value is not None for text in (name, value)]
        return start("verify", *pairs, *words, stdin=stdin)

    return run


def proved(done: Done) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(done: Done, *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert [word for word in words if word not in done.stderr] == []


def test_a_birth_certificate_verifies_offline_and_says_what_is_proved(verify: Attest) -> None:
    found = proved(verify("--statement", "s"))
    assert found == proved(verify())
    assert found["verified"] is True
    assert found["born_inside"] is True
    assert found["verified_pcrs"] == {f"PCR{index}": SIGNED[index].hex() for index in (0, 1, 2, 8)}
    assert found["user_data_sha256"] == hashlib.sha256(CERTIFICATE.statement).hexdigest()
    assert found["nitro_root_der_sha256"] == hashlib.sha256(CHAIN.certificates[0]).hexdigest()
    assert found["timestamp"] == "2026-11-21T09:00:00+00:00"
    assert found["PCR4"] == SIGNED[4].hex()
    assert found["manifest"] == {"version": "1.2.3", "commit": None, "eif_sha256": None}
    assert (found["release"], found["nonce"], found["not_certified"]) == ("1.2.3", None, [])
    assert found["public_key_hash"] == HASH
    assert {name: found[name] for name in METADATA} == METADATA


@pytest.mark.parametrize(
    "change",
    [
        {"public_key": STATEMENT.public.hex()},
        {"public_key": EDPK},
        {"public_key": None, "mldsa_pubkey": METADATA["public_key"]},
        {"alg": "ed25519", "created_at": str(STATEMENT.created_at)},
        {"prev": base64.b64encode(bytes(range(32))).decode()},
    ],
)
def test_the_spellings_of_other_stores_are_read(verify: Attest, change: dict[str, Any]) -> None:
    store(**change)
    assert proved(verify())["public_key"] == METADATA["public_key"]


def test_files_in_base64_and_a_pipe_are_read(verify: Attest) -> None:
    for name, data in (("a64", CERTIFICATE.attestation), ("s64", CERTIFICATE.statement)):
        Path(name).write_bytes(base64.encodebytes(data))
    assert proved(verify(birth_attestation="a64", statement="s64"))
    assert proved(verify(birth_attestation="-", stdin=base64.b64encode(CERTIFICATE.attestation)))
    assert proved(verify(metadata="-", stdin=json.dumps(METADATA).encode()))
    refused(verify(metadata="-", manifest="-"), "only one file can be standard input")


def answer(**changes: Any) -> str:
    """A file with what GET /keys/PKH/attestation answers."""
    told = {
        "public_key_hash": HASH,
        "statement": base64.b64encode(CERTIFICATE.statement).decode(),
        "attestation": base64.b64encode(CERTIFICATE.attestation).decode(),
        "metadata": METADATA,
    }
    Path("answer.json").write_text(json.dumps(told | changes, indent=4))
    return "answer.json"


@pytest.mark.parametrize("option", ["birth_attestation", "metadata", "statement"])
def test_the_whole_answer_of_the_http_api_is_taken_for_each_of_its_parts(verify: Attest, option: str) -> None:
    file, plain = answer(), proved(verify("--statement", "s"))
    assert proved(verify(birth_attestation=file, metadata=file, statement=file)) == plain
    assert proved(verify(**{option: file})) == plain
    assert proved(verify(**{option: "-"}, stdin=Path(file).read_bytes())) == plain


@pytest.mark.parametrize(
    ("option", "changes", "reason"),
    [
        ("metadata", {"public_key_hash": "tz1MdZeezpcbfda8BdHmQs1SbR9Rcd7gUaSt"}, "public_key_hash: is not"),
        ("metadata", {"public_key_hash": None}, "public_key_hash: is not that of the key in the metadata"),
        ("metadata", {"metadata": [METADATA]}, "metadata: a JSON object was expected"),
        ("metadata", {"metadata": METADATA | {"alg": None}}, "metadata: alg: is missing"),
        ("metadata", {"metadata": METADATA | {"version": 3}}, "user_data"),
        ("metadata", {"more": 1}, "metadata: alg: is missing"),
        ("birth_attestation", {"more": 1}, "this JSON is not the answer of GET /keys/PKH/attestation"),
        ("birth_attestation", {"attestation": None}, "attestation: base64 was expected"),
        ("birth_attestation", {"attestation": "hEShATgi\n"}, "attestation: base64 was expected"),
        ("statement", {"statement": {}}, "statement: base64 was expected"),
    ],
)
def test_an_answer_that_is_not_as_the_http_api_gives_it_is_refused(
    verify: Attest, option: str, changes: dict[str, Any], reason: str
) -> None:
    refused(verify(**{option: answer(**changes)}), reason)


def test_what_the_statement_does_not_hold_is_named_as_not_certified(verify: Attest) -> None:
    store(owner="somebody", birth_attestation="hEShATgi")
    assert proved(verify())["not_certified"] == ["birth_attestation", "owner"]


def test_an_imported_key_is_never_called_born_inside(verify: Attest) -> None:
    store(replace(STATEMENT, origin=Origin.IMPORTED))
    done = verify()
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["origin"], found["born_inside"]) == ("imported", False)
    assert done.stderr == "imported: whoever brought this key may still have it\n"
    store(replace(STATEMENT, origin=Origin.IMPORTED), origin="generated")
    refused(verify(), "user_data")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_key", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        ("wrapped_dk", "AQ=="),
        ("user_id", "user-0002"),
        ("user_id", None),
        ("kms_key_arn", METADATA["kms_key_arn"].replace("1111", "1112")),
        ("created_at", STATEMENT.created_at + 1),
        ("wrap", "kms-encrypt-v0"),
        ("purpose", "raw"),
        ("prev", None),
        ("release", "1.2.4"),
        ("version", 3),
    ],
)
def test_metadata_of_another_key_are_refused_and_the_statement_tells_which_field(
    verify: Attest, field: str, value: Any
) -> None:
    store(**{field: value})
    refused(verify("--statement", "s"), f"birth certificate: {field}:")
    told = verify()
    refused(told, "user_data: is not the SHA-256 of the statement that the metadata make")
    refused(told, "hint: give --statement to see which field")


def test_metadata_without_a_committed_field_are_refused_by_its_name(verify: Attest) -> None:
    for name in ("alg", "public_key", "wrapped_dk", "kms_key_arn", "created_at", "wrap", "origin", "purpose"):
        store(**{name: None})
        refused(verify(), f"metadata: {name}: is missing")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"Measurements": {**MANIFEST["Measurements"], "PCR2": "77" * 48}}, "PCR2"),
        ({"Measurements": {**MANIFEST["Measurements"], "PCR8": "77" * 48}}, "PCR8"),
        ({"Measurements": {**MANIFEST["Measurements"], "PCR0": "00" * 48}}, "PCR0: is zero"),
        ({"revoked": {"reason": "a bug"}}, "revoked: the release 1.2.3 was called back: a bug"),
        ({"not_before": "2027-01-01"}, "not_before: the release 1.2.3 is good from 2027-01-01"),
        ({"root_sha256": "ab" * 32}, "the manifest names another root"),
    ],
)
def test_a_manifest_that_does_not_hold_the_release_is_refused(
    verify: Attest, more: dict[str, Any], reason: str
) -> None:
    Path("other.json").write_text(json.dumps({**MANIFEST, **more}))
    refused(verify(manifest="other.json"), reason)


def test_the_root_of_an_emulator_holds_only_where_it_is_named(verify: Attest) -> None:
    told = verify(root=None)
    refused(told, "cabundle[0]: is not the pinned root", f"brings the root {CHAIN.root.hex()}", "--root")
    Path("named.json").write_text(json.dumps({**MANIFEST, "root_sha256": CHAIN.root.hex()}))
    assert proved(verify(root=None, manifest="named.json"))["nitro_root_der_sha256"] == CHAIN.root.hex()


def test_documents_of_debug_enclaves_and_of_other_uses_are_refused(verify: Attest) -> None:
    for changes, reason in (
        ({"pcrs": {**SIGNED, 0: bytes(48), 1: bytes(48), 2: bytes(48)}}, "a debug enclave"),
        ({"public_key": b"\1" * 32}, "public_key: is set"),
        ({"user_data": None}, "user_data"),
    ):
        Path("f").write_bytes(certified(**changes).attestation)
        refused(verify(birth_attestation="f"), reason)
    refused(verify("--allow-debug"), "No such option")


def test_a_challenge_is_compared_and_shown(verify: Attest) -> None:
    Path("f").write_bytes(certified(nonce=b"\xab\xcd").attestation)
    assert proved(verify("--nonce", "abcd", birth_attestation="f"))["nonce"] == "abcd"
    refused(verify("--nonce", "abcd"), "nonce: is not the expected one")


@pytest.mark.parametrize(
    ("option", "data", "reason"),
    [
        ("birth_attestation", b"", "the birth attestation: the file is empty"),
        ("birth_attestation", CERTIFICATE.statement, "attestation document: "),
        ("statement", CERTIFICATE.attestation, "birth statement: "),
        ("statement", b"!", "the statement: the file is neither CBOR nor base64"),
        ("metadata", b"[]", "metadata: a JSON object"),
        ("metadata", b'{"alg": 1, "alg": 1}', "metadata: the field 'alg' stands twice"),
        ("manifest", b"PCR0", "release manifest: it is not well-formed JSON"),
        ("root", b"x", "no X.509 certificate"),
    ],
)
def test_a_file_that_is_something_else_is_named(
    verify: Attest, option: str, data: bytes, reason: str
) -> None:
    Path("f").write_bytes(data)
    refused(verify(**{option: "f"}), reason)
    refused(verify(**{option: "absent"}), "cannot read", "absent")


@pytest.mark.parametrize("option", ["birth_attestation", "manifest", "metadata"])
def test_three_files_are_needed(verify: Attest, option: str) -> None:
    refused(verify(**{option: None}), f"Missing option '--{option.replace('_', '-')}'")
