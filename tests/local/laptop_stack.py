"""`signatory dev` with all its processes, as the tests start and ask it; signatures verified elsewhere."""

import contextlib
import hashlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from py_ecc.bls import ciphersuites

from cli.local import measure

POP: Any = ciphersuites.G2ProofOfPossession
MESSAGE = b"\x03" + bytes(32) + b"\x11" + (5).to_bytes(4, "big") + b"hello"
SIGNATORY = (sys.executable, "-I", "-m", "cli.signatory", "dev")
ANYWHERE = ("--address", "127.0.0.1:0", "--utility-address", "127.0.0.1:0")

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


def copy_program(tree: Path) -> Path:
    real = measure.tree_of_program()
    names, _ = measure.parse_include((real / measure.INCLUDE).read_bytes())
    for name in (measure.INCLUDE, *names):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(real / name, target)
    return tree
