"""`signatory dev` while it runs: what a newcomer sees, and what its parts say when they misbehave."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import base58
import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from emulators import control
from laptop_processes import ask
from laptop_stack import (
    ANYWHERE,
    MESSAGE,
    POP,
    Stack,
    bls_verifies,
    ecdsa_verifies,
    ed25519_verifies,
    mldsa_verifies,
    refused,
    running,
)

from cli.local import stack_files
from cli.local.kms_state import KmsState
from cli.local.layout import Layout
from cli.local.stack_keys import ensure_keys
from signatory.errors import IntegrityError, SignatoryError
from signatory.nitro import attestation


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder with a path far too long for a socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name, "a folder " + "x" * 100, "y" * 100)


@pytest.fixture(scope="module")
def stack(base: Path) -> Iterator[Stack]:
    with running(base) as made:
        yield made


def test_it_tells_programs_and_people_the_same(stack: Stack, base: Path) -> None:
    told = stack.told
    assert set(told) == {"address", "utility_address", "keys", "config", "kms_key_arn", "enclave_address"}
    assert list(told["keys"]) == ["tz1", "tz2", "tz3", "tz4", "tz5"]
    for kind, key in told["keys"].items():
        assert re.search(rf"^  {kind}  {key}  ", stack.shown, re.MULTILINE)
    for text in (told["address"], told["utility_address"], told["config"], told["kms_key_arn"], str(base)):
        assert text in stack.shown
    assert "NOT GENUINE" in stack.shown


def test_each_part_runs_in_a_process_of_its_own(stack: Stack) -> None:
    assert set(stack.children()) == {"cli.local.nsm", "cli.local.kms", "enclave_signer", "cli.signatory"}


def test_its_files_are_closed_to_others(stack: Stack, base: Path) -> None:
    stack.sign("tz1", MESSAGE)
    modes = {path: path.lstat().st_mode & 0o777 for path in (base, *base.rglob("*"))}
    assert {
        path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)
    } == {}
    sockets = Path(stack.told["enclave_address"].removeprefix("unix:")).parent
    assert sockets.lstat().st_mode & 0o777 == 0o700
    assert {path.lstat().st_mode & 0o777 for path in sockets.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("kind", "verifies"),
    [
        ("tz1", ed25519_verifies),
        ("tz2", ecdsa_verifies(ec.SECP256K1())),
        ("tz3", ecdsa_verifies(ec.SECP256R1())),
        ("tz4", bls_verifies),
        ("tz5", mldsa_verifies),
    ],
)
def test_every_key_signs_and_the_signature_verifies_elsewhere(
    stack: Stack, kind: str, verifies: Callable[[bytes, bytes, bytes], None]
) -> None:
    signature = stack.sign(kind, MESSAGE)
    verifies(stack.public_key(kind), MESSAGE, signature)
    with pytest.raises(InvalidSignature):
        verifies(stack.public_key(kind), MESSAGE + b"\0", signature)


def test_the_tz4_key_proves_possession(stack: Stack) -> None:
    status, answer = stack.request("GET", f"/bls_prove_possession/{stack.told['keys']['tz4']}")
    assert status == 200, answer
    proof = base58.b58decode_check(answer["bls_prove_possession"])[-96:]
    assert POP.PopVerify(stack.public_key("tz4")[-48:], proof)


def test_the_line_it_prints_signs(stack: Stack) -> None:
    line = next(line for line in stack.shown.splitlines() if line.strip().startswith("curl "))
    curl, *arguments = shlex.split(line)
    url = next(each for each in arguments if each.startswith("http://"))
    path = url.removeprefix(f"http://{stack.told['address']}")
    name, value = arguments[arguments.index("-H") + 1].split(": ")
    status, answer = stack.request("POST", path, arguments[-1].encode(), **{name: value})
    assert status == 200
    if shutil.which(curl):
        done = subprocess.run([curl, *arguments], capture_output=True, check=True)
        assert json.loads(done.stdout) == answer
    ed25519_verifies(
        stack.public_key("tz1"),
        bytes.fromhex(json.loads(arguments[-1])),
        base58.b58decode_check(answer["signature"]),
    )


def test_a_web_page_is_refused(stack: Stack) -> None:
    body = json.dumps(MESSAGE.hex()).encode()
    status, _ = stack.request("POST", f"/keys/{stack.told['keys']['tz1']}", body, Origin="http://example.com")
    assert status == 403


def test_no_document_of_its_nsm_verifies_against_the_aws_root(stack: Stack, base: Path) -> None:
    layout = Layout.prepare(base)
    asked = cbor2.dumps({"Attestation": {"user_data": None, "nonce": None, "public_key": b"k"}})
    document = cbor2.loads(ask(layout.socket("nsm").removeprefix("unix:"), asked))["Attestation"]["document"]
    with pytest.raises(IntegrityError, match="not the pinned root"):
        attestation.verify(document)
    root = hashlib.sha256((layout.nsm / "root.der").read_bytes()).digest()
    pinned = json.loads(layout.pinned.read_text())
    said = attestation.verify(document, root_sha256=root)
    assert {f"PCR{index}": said.pcrs[index].hex() for index in (0, 1, 2)} == pinned


def test_a_second_one_in_the_same_folder_is_refused(stack: Stack, base: Path) -> None:
    assert "another `signatory dev` uses" in refused(base, *ANYWHERE)


async def test_a_wrong_pcr0_in_the_key_policy_closes_the_vault_and_says_why(stack: Stack, base: Path) -> None:
    layout = Layout.prepare(base)
    identity = stack_files.Identity.of(layout)
    kept = KmsState(layout.kms, stack_files.REGION, stack_files.ACCOUNT)
    key = kept.find_key(identity.key_id)
    assert key is not None
    right = json.loads(layout.pinned.read_text())["PCR0"]
    wrong = json.loads(json.dumps(key.policy).replace(right, "00" * 47 + "01"))
    kept.add_key(identity.key_id, wrong)
    try:
        with pytest.raises(SignatoryError, match="AccessDenied"):
            await ensure_keys(layout)
    finally:
        kept.add_key(identity.key_id, key.policy)
    keys, shown = await ensure_keys(layout)
    assert shown == stack.told["keys"]
    assert sorted(keys) == sorted(shown.values())


def keys_asked_for(layout: Layout) -> int:
    """How many data keys KMS made for sealing."""
    calls = control(layout.socket("kms-control").removeprefix("unix:"), do="status")["calls"]
    return int(calls["GenerateDataKey"])


@pytest.mark.parametrize(
    ("emulator", "command", "reason"),
    [
        ("kms", {"do": "plaintext", "operation": "Decrypt"}, "without CiphertextForRecipient"),
        ("kms", {"do": "fail", "operation": "Decrypt", "error": "ExpiredTokenException"}, "ExpiredToken"),
        ("nsm", {"do": "fail", "operation": "Attestation", "error": "InternalError"}, "InternalError"),
    ],
)
async def test_an_emulator_that_misbehaves_closes_the_vault_and_no_key_is_made_anew(
    stack: Stack, base: Path, emulator: str, command: dict[str, str], reason: str
) -> None:
    layout = Layout.prepare(base)
    told = layout.socket(f"{emulator}-control").removeprefix("unix:")
    before = keys_asked_for(layout)
    assert control(told, times=1000, **command) == {"ok": True}
    try:
        with pytest.raises(SignatoryError, match=reason):
            await ensure_keys(layout)
    finally:
        control(told, do="clear")
    after = keys_asked_for(layout)
    assert after == before
    assert stack.sign("tz1", MESSAGE)
