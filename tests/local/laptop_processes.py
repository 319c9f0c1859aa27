"""The emulators as real processes for the tests, spoken to without any of our own codecs."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.local import laptop_ca
from cli.local.kms_state import Credential, KmsConfig, KmsState
from cli.local.nsm import NsmConfig
from cli.local.nsm_chain import open_root
from signatory.files import private_folder
from signatory.nitro.sigv4 import AccessKey

REGION = "xx-laptop-1"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/tester"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/tester/here"
INSTANCE = "i-0123456789abcdef0"
ACCESS_KEY = AccessKey("ASIATESTER", "a-secret-of-the-tests", "a-session-token-of-the-tests")
KEY_ID = str(uuid.UUID(int=0x1234))
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"


@dataclass(frozen=True)
class Running:
    """A process that serves, and where."""

    process: subprocess.Popen[bytes]
    address: str
    folder: Path


@contextmanager
def started(module: str, folder: Path) -> Iterator[Running]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", module, str(folder)], stdout=output, stderr=output
        )
    try:
        yield Running(process, _listening(process, log), folder)
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, log.read_text()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        if found := re.search(r"^listening on (\S+)$", log.read_text(), re.MULTILINE):
            return found[1]
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@contextmanager
def short_folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="sv") as name:
        yield Path(name)


def prepare_tree(folder: Path) -> Path:
    """A little program to measure."""
    package = private_folder(folder / "tree" / "enclave_signer")
    (package / "include.txt").write_text("enclave_signer/one.py\nenclave_signer/two.py\n")
    (package / "one.py").write_text("print(1)\n")
    (package / "two.py").write_text("print(2)\n")
    (folder / "settings.toml").write_text("a = 1\n")
    return folder / "tree"


def prepare_nsm(folder: Path) -> Path:
    tree, state = prepare_tree(folder), private_folder(folder / "nsm")
    NsmConfig(
        tree=str(tree),
        settings=str(folder / "settings.toml"),
        role_arn=ROLE,
        region=REGION,
        instance_id=INSTANCE,
        listen=f"unix:{folder}/nsm.sock",
        control=f"unix:{folder}/nsm-control.sock",
    ).save(state)
    return state


def prepare_kms(folder: Path, policy: Mapping[str, Any]) -> Path:
    """Needs the NSM's state to be there: its root is the one that counts."""
    state, now = private_folder(folder / "kms"), datetime.now(UTC)
    open_root(folder / "nsm", now)
    laptop_ca.prepare(state, "kms.signatory-dev.localhost", now)
    KmsConfig(
        region=REGION,
        account=ACCOUNT,
        listen="tcp://127.0.0.1:0",
        control=f"unix:{folder}/kms-control.sock",
        nsm_root="../nsm/root.der",
        certificate=laptop_ca.CERTIFICATE_FILE,
        certificate_key=laptop_ca.KEY_FILE,
    ).save(state)
    kept = KmsState(state, REGION, ACCOUNT)
    kept.add_key(KEY_ID, policy)
    kept.put_credential(Credential(ACCESS_KEY, PRINCIPAL))
    return state


def ask(path: Path | str, body: bytes) -> bytes:
    """One framed request to the software NSM."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(path))
        return ask_on(stream, body)


def ask_on(stream: socket.socket, body: bytes) -> bytes:
    stream.sendall(len(body).to_bytes(4, "big") + body)
    with stream.makefile("rb") as file:
        return file.read(int.from_bytes(file.read(4), "big"))


def control(path: Path | str, **command: Any) -> dict[str, Any]:
    """One command on a control socket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(path))
        stream.sendall(json.dumps(command).encode() + b"\n")
        with stream.makefile("rb") as file:
            answer: dict[str, Any] = json.loads(file.readline())
            return answer
