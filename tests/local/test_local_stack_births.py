"""`signatory dev` speaks the attested protocol: births that verify, measurements called back, older keys."""

import base64
import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import base58
import cbor2
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from laptop_stack import MESSAGE, TREE_SEAM, Stack, copy_program, ed25519_verifies, running, served

from cli.local import kms_blob, stack_releases
from cli.local.layout import Layout

REGISTERS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop") / "dev"


@pytest.fixture(scope="module")
def stack(base: Path) -> Iterator[Stack]:
    with running(base) as made:
        yield made


def command_line(*words: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-I", "-m", "cli.signatory_cli", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def verified(line: str) -> dict[str, Any]:
    """What a printed `.../signatory-cli attest verify ...` proves, run as it stands."""
    words = shlex.split(line)
    assert words[1:3] == ["attest", "verify"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    proved: dict[str, Any] = json.loads(done.stdout)
    return proved


def line_of(stack: Stack) -> str:
    return next(line for line in stack.shown.splitlines() if "signatory-cli attest verify " in line)


def test_the_line_it_prints_verifies_where_a_key_was_born(stack: Stack, base: Path) -> None:
    proved = verified(line_of(stack))
    assert proved["public_key_hash"] == stack.told["keys"]["tz1"]
    assert proved["verified_pcrs"] == json.loads((base / "pinned.json").read_text())
    assert proved["born_inside"] is True
    root = hashlib.sha256((base / "nsm" / "root.der").read_bytes()).hexdigest()
    assert proved["nitro_root_der_sha256"] == root
    assert (proved["wrap"], proved["kms_key_arn"]) == ("kms-gdk-v1", stack.told["kms_key_arn"])


@pytest.mark.parametrize("kind", ["tz1", "tz2", "tz3", "tz4", "tz5"])
def test_every_key_has_its_birth_at_the_api(stack: Stack, kind: str) -> None:
    status, answer = stack.request("GET", f"/keys/{stack.told['keys'][kind]}/attestation")
    assert status == 200, answer
    statement = base64.b64decode(answer["statement"])
    payload = cbor2.loads(cbor2.loads(base64.b64decode(answer["attestation"]))[2])
    assert payload["user_data"] == hashlib.sha256(statement).digest()
    assert payload["public_key"] is None
    assert stack.public_key(kind).endswith(cbor2.loads(statement)[3])


def test_the_birth_at_the_api_is_the_one_beside_the_files(stack: Stack, base: Path) -> None:
    _, answer = stack.request("GET", f"/keys/{stack.told['keys']['tz4']}/attestation")
    assert base64.b64decode(answer["attestation"]) == (base / "births" / "tz4.attestation").read_bytes()
    assert answer["metadata"] == json.loads((base / "births" / "tz4.json").read_text())


def test_the_daemon_is_told_which_measurement_and_which_root_to_trust(stack: Stack, base: Path) -> None:
    written = yaml.safe_load((base / "signatory.yaml").read_text())["vaults"]["nitro"]["config"]
    assert written["manifest"] == str(base / "release.json")
    assert written["attestation_root"] == str(base / "nsm" / "root.der")
    assert stack.sign("tz1", MESSAGE)


def test_the_enclave_serves_both_protocols_and_every_scheme(stack: Stack, base: Path) -> None:
    settings = tomllib.loads((base / "enclave" / "settings.toml").read_text())
    assert settings["reference_protocol"] == "on"
    assert sorted(settings["schemes"]) == ["kms-encrypt-v0", "kms-envelope-v1", "kms-gdk-v1"]
    assert stack.told["config"]


def test_a_tenants_key_is_made_by_the_command_line(stack: Stack) -> None:
    words = ("-c", stack.told["config"], "generate", "-v", "nitro", "-t", "mldsa65", "--user-id", "tenant-1")
    done = command_line(*words)
    assert done.returncode == 0, done.stderr
    key = done.stdout.splitlines()[0].split()[-1]
    status, answer = stack.request("GET", f"/keys/{key}/attestation")
    assert (status, answer["metadata"]["user_id"]) == (200, "tenant-1")
    assert answer["metadata"]["purpose"] == "raw"


def test_a_birth_of_an_earlier_program_still_verifies_and_its_image_is_called_back(tmp_path: Path) -> None:
    base, tree = tmp_path / "dev", copy_program(tmp_path / "tree")
    command = (sys.executable, "-I", "-c", TREE_SEAM, str(base), str(tree), "repin")
    with served(command, base) as first:
        born = verified(line_of(first))
    with (tree / "enclave_signer" / "__main__.py").open("a") as file:
        file.write("# changed\n")
    with served(command, base) as second:
        now = json.loads((base / "pinned.json").read_text())
        assert verified(line_of(second)) == born
    earlier, current = json.loads((base / "release.json").read_text())["releases"]
    assert earlier["PCR0"] == born["verified_pcrs"]["PCR0"] != now["PCR0"] == current["PCR0"]
    assert earlier["revoked"]["reason"] == "the program or its settings changed"
    assert "revoked" not in current


def releases(layout: Layout) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(layout.releases.read_text())["releases"]
    return found


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[Layout]:
    layout = Layout.prepare(folder)
    try:
        yield layout
    finally:
        layout.remove_sockets()


def test_a_measurement_that_comes_back_is_good_again_and_stands_last(tmp_path: Path) -> None:
    others = {**REGISTERS, 0: b"\x77" * 48}
    times = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    with prepared(tmp_path / "dev") as layout:
        for measured, at in zip([REGISTERS, others, others, REGISTERS], times, strict=True):
            stack_releases.record(layout, bytes(32), measured, at)
        before, last = releases(layout)
    assert (before["PCR0"], before["revoked"]["at"]) == ("77" * 48, "2026-11-04T00:00:00+00:00")
    assert last == {"version": "dev-not-genuine", **{f"PCR{i}": v.hex() for i, v in REGISTERS.items()}}


def test_the_oldest_measurements_are_forgotten(tmp_path: Path) -> None:
    with prepared(tmp_path / "dev") as layout:
        for number in range(stack_releases.KEPT + 2):
            measured = {**REGISTERS, 0: number.to_bytes(2, "big") * 24}
            stack_releases.record(layout, bytes(32), measured, datetime(2026, 11, 1, tzinfo=UTC))
        found = releases(layout)
    assert (len(found), found[0]["PCR0"]) == (stack_releases.KEPT, "0002" * 24)
    assert [each for each in found if "revoked" not in each] == [found[-1]]


def test_keys_of_an_earlier_release_load_and_sign_without_a_birth(tmp_path: Path) -> None:
    """A reference key as it stands in the file of earlier releases, written by hand."""
    base = tmp_path / "dev"
    with running(base):
        pass
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    address = base58.b58encode_check(
        b"\x06\xa1\x9f" + hashlib.blake2b(public, digest_size=20).digest()
    ).decode()
    key_id = json.loads((base / "laptop.json").read_text())["key_id"]
    material = (base / "kms" / "keys" / key_id / "material").read_bytes()
    plaintext = cbor2.dumps({"Ed25519": private.private_bytes_raw()})
    blob = kms_blob.seal(key_id, material, plaintext, {}, os.urandom(12))
    record = {"public_key_hash": address, "encrypted_private_key": base64.b64encode(blob).decode()}
    (base / "enclave_keys.json").write_text(json.dumps([record]))
    (base / "enclave_keys.json").chmod(0o600)
    (base / "sealed_keys.json").unlink()
    (base / "keys.json").write_text(json.dumps({"tz1": address}))
    with running(base) as stack:
        assert stack.told["keys"]["tz1"] == address
        ed25519_verifies(public, MESSAGE, stack.sign("tz1", MESSAGE))
        assert stack.request("GET", f"/keys/{address}/attestation")[0] == 404
        assert not (base / "births" / "tz1.attestation").exists()
        assert verified(line_of(stack))["wrap"] == "kms-encrypt-v0"
        assert "without births: tz1." in stack.shown
