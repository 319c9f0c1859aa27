"""`signatory dev` with all its real processes: what a newcomer sees, and what happens when it goes wrong."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import base58
import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from emulators import control
from laptop_processes import ask
from py_ecc.bls import ciphersuites

from cli.local import measure, stack_files
from cli.local.kms_state import KmsState
from cli.local.layout import Layout
from cli.local.stack_keys import ensure_keys
from signatory.errors import IntegrityError, SignatoryError
from signatory.nitro import attestation

SIGNATORY = (sys.executable, "-I", "-m", "cli.signatory", "dev")
ANYWHERE = ("--address", "127.0.0.1:0", "--utility-address", "127.0.0.1:0")
POP: Any = ciphersuites.G2ProofOfPossession
MESSAGE = b"\x03" + bytes(32) + b"\x11" + (5).to_bytes(4, "big") + b"hello"

TREE_SEAM = """
import asyncio, sys
from pathlib import Path
from cli.local.stack import Plan, run
from signatory.config.section import HostPort
from signatory.errors import SignatoryError
anywhere = HostPort("127.0.0.1", 0)
try:
    base, tree, repin = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "repin"
    asyncio.run(run(Plan(base, anywhere, anywhere, False, repin, tree)))
except SignatoryError as error:
    sys.exit(f"error: {error}")
"""


class Stack:
    """A running `signatory dev`, ready, and what it printed until then."""

    def __init__(self, command: tuple[str, ...], base: Path) -> None:
        self.base = base
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        self.shown = "".join(lines)
        if not self.shown.rstrip().endswith("brings the same keys back."):
            raise AssertionError(self.shown + self.end()[1])

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.base / "dev.json").read_text())
        return told

    def children(self) -> dict[str, int]:
        """The processes it started, by what they run."""
        pid = self.process.pid
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {
            Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")[3].decode(): int(each) for each in pids
        }

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Stop it; exit code and what it said on standard error."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self.told["address"], timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def sign(self, kind: str, message: bytes) -> bytes:
        body = json.dumps(message.hex()).encode()
        status, answer = self.request("POST", f"/keys/{self.told['keys'][kind]}", body)
        assert status == 200, answer
        return base58.b58decode_check(answer["signature"])

    def public_key(self, kind: str) -> bytes:
        status, answer = self.request("GET", f"/keys/{self.told['keys'][kind]}")
        assert status == 200, answer
        return base58.b58decode_check(answer["public_key"])


@contextlib.contextmanager
def running(base: Path, *options: str) -> Iterator[Stack]:
    with served((*SIGNATORY, "--base-dir", str(base), *ANYWHERE, *options), base) as stack:
        yield stack


@contextlib.contextmanager
def served(command: tuple[str, ...], base: Path) -> Iterator[Stack]:
    stack = Stack(command, base)
    try:
        yield stack
    finally:
        if stack.process.returncode is None:
            assert stack.end() == (0, "")


def until_there(process: subprocess.Popen[bytes], path: Path) -> None:
    """Poll for a file that the process makes."""
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)


def refused(base: Path, *options: str) -> str:
    """What `signatory dev` says when it ends with 1 by itself."""
    command = (*SIGNATORY, "--base-dir", str(base), *options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    return done.stderr


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


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> None:
    key = ed25519.Ed25519PublicKey.from_public_bytes(public[-32:])
    key.verify(signature[-64:], hashlib.blake2b(message, digest_size=32).digest())


def ecdsa_verifies(curve: ec.EllipticCurve) -> Callable[[bytes, bytes, bytes], None]:
    def verify(public: bytes, message: bytes, signature: bytes) -> None:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, public[-33:])
        r, s = (int.from_bytes(part, "big") for part in (signature[-64:-32], signature[-32:]))
        digest = hashlib.blake2b(message, digest_size=32).digest()
        key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(SHA256())))

    return verify


def bls_verifies(public: bytes, message: bytes, signature: bytes) -> None:
    if not POP.Verify(public[-48:], message, signature[-96:]):
        raise InvalidSignature


def mldsa_verifies(public: bytes, message: bytes, signature: bytes) -> None:
    key = mldsa.MLDSA44PublicKey.from_public_bytes(public[-1312:])
    key.verify(signature[-2420:], hashlib.blake2b(message, digest_size=32).digest())


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
            await ensure_keys(layout.config, layout.keys)
    finally:
        kept.add_key(identity.key_id, key.policy)
    keys, shown = await ensure_keys(layout.config, layout.keys)
    assert shown == stack.told["keys"]
    assert sorted(keys) == sorted(shown.values())


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
    before = control(layout.socket("kms-control").removeprefix("unix:"), do="status")["calls"]["Encrypt"]
    assert control(told, times=1000, **command) == {"ok": True}
    try:
        with pytest.raises(SignatoryError, match=reason):
            await ensure_keys(layout.config, layout.keys)
    finally:
        control(told, do="clear")
    after = control(layout.socket("kms-control").removeprefix("unix:"), do="status")["calls"]["Encrypt"]
    assert after == before
    assert stack.sign("tz1", MESSAGE)


def test_a_key_that_cannot_be_loaded_is_an_error_and_not_made_anew(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    with running(base) as first:
        lost = first.told["keys"]["tz1"]
    stored = base / "enclave_keys.json"
    whole = stored.read_bytes()
    kept = [each for each in json.loads(whole) if each["public_key_hash"] != lost]
    stored.write_text(json.dumps(kept))
    assert f"cannot load {lost}" in refused(base, *ANYWHERE)
    stored.write_bytes(whole)
    with running(base) as second:
        assert second.told["keys"]["tz1"] == lost


def test_the_same_keys_come_back_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with running(tmp_path / "dev", "--no-repin") as first:
        told, children = first.told, first.children()
        public = {kind: first.public_key(kind) for kind in told["keys"]}
        assert first.end(signal.SIGTERM) == (0, "")
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    assert not Path(told["enclave_address"].removeprefix("unix:")).parent.exists()
    with running(tmp_path / "dev", "--no-repin") as second:
        assert "measurement changed" not in second.shown
        assert second.told["keys"] == told["keys"]
        assert {kind: second.public_key(kind) for kind in told["keys"]} == public
        ed25519_verifies(public["tz1"], MESSAGE, second.sign("tz1", MESSAGE))


def copy_program(tree: Path) -> Path:
    real = measure.tree_of_program()
    names, _ = measure.parse_include((real / measure.INCLUDE).read_bytes())
    for name in (measure.INCLUDE, *names):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(real / name, target)
    return tree


def test_a_changed_program_is_shown_and_pinned_anew_with_the_same_keys(tmp_path: Path) -> None:
    base, tree = tmp_path / "dev", copy_program(tmp_path / "tree")
    command = (sys.executable, "-I", "-c", TREE_SEAM, str(base), str(tree))
    with served((*command, "refuse"), base) as first:
        keys, before = first.told["keys"], json.loads((base / "pinned.json").read_text())
    with (tree / "enclave_signer" / "__main__.py").open("a") as file:
        file.write("# changed\n")
    done = subprocess.run((*command, "refuse"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"PCR0 {before['PCR0']}" in done.stderr
    assert json.loads((base / "pinned.json").read_text()) == before
    with served((*command, "repin"), base) as second:
        after = json.loads((base / "pinned.json").read_text())
        assert re.search(rf"PCR0 {before['PCR0']}\n    -> {after['PCR0']}", second.shown)
        assert (before["PCR0"] != after["PCR0"], before["PCR1"]) == (True, after["PCR1"])
        assert second.told["keys"] == keys
        bls_verifies(second.public_key("tz4"), MESSAGE, second.sign("tz4", MESSAGE))
    assert "measurement changed" in refused(base, *ANYWHERE, "--no-repin")


@pytest.mark.parametrize("name", ["cli.local.nsm", "cli.local.kms", "enclave_signer", "cli.signatory"])
def test_when_a_process_dies_it_is_named_and_the_others_are_stopped(tmp_path: Path, name: str) -> None:
    with running(tmp_path / "dev") as stack:
        children = stack.children()
        os.kill(children[name], signal.SIGKILL)
        _, said = stack.process.communicate(timeout=60)
    assert stack.process.returncode == 1
    short = {"enclave_signer": "enclave", "cli.signatory": "daemon"}.get(name, name.rpartition(".")[2])
    assert f"the process `{short}` ended with code -9" in said
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(tmp_path / "dev", "--address", address, "--utility-address", "127.0.0.1:0")
    assert f"{address} cannot be used: Address already in use" in said
    assert "--address" in said
    assert not list((tmp_path / "dev" / "logs").iterdir())


@pytest.mark.parametrize("address", ["0.0.0.0:6732", ":6732", "192.0.2.1:6732", "nonsense"])
def test_it_listens_on_loopback_only(tmp_path: Path, address: str) -> None:
    command = (*SIGNATORY, "--base-dir", str(tmp_path / "dev"), "--address", address)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "loopback" in done.stderr or "HOST:PORT" in done.stderr


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    command = (*SIGNATORY, "--base-dir", str(base), *ANYWHERE, "--quiet")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until_there(process, base / "dev.json")
        process.terminate()
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0


def test_a_stop_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    command = (*SIGNATORY, "--base-dir", str(base), *ANYWHERE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until_there(process, base / "logs" / "kms.log")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
    with running(base) as stack:
        assert base64.b64encode(stack.sign("tz1", MESSAGE))
