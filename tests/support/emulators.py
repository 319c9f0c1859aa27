"""Our programs as real processes for the tests, and around them a software NSM and a KMS emulator."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from cli.local import laptop_ca
from cli.local.kms_state import Credential, KmsConfig, KmsState
from cli.local.nsm import NsmConfig
from signatory.nitro.sigv4 import AccessKey

ROOT = Path(__file__).resolve().parents[2]
REGION, ACCOUNT = "us-west-2", "111122223333"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/signer"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/signer/here"
INSTANCE = "i-0123456789abcdef0"
ACCESS = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "a-session-token")
KMS_HOST = "kms.localhost"


class Program(subprocess.Popen[bytes]):
    """A Python program of ours, away from this environment.

    What it prints goes to files without a name: it never waits for a reader, and nobody else meets them.
    """

    def __init__(self, *arguments: str) -> None:
        self._printed = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  `ended` closes them
        output, errors = self._printed
        command = [sys.executable, "-I", "-m", *arguments]
        super().__init__(command, stdout=output, stderr=errors, env={}, cwd="/")

    def printed(self) -> tuple[str, str]:
        """Standard output and error until now; read without moving the offset that the program writes at."""
        output, errors = (_text(file) for file in self._printed)
        return output, errors

    def listening(self) -> str:
        """The address that it says it listens on."""
        while self.poll() is None:
            if found := re.search(r"^listening on (\S+)\n", self.printed()[0], re.MULTILINE):
                return found[1]
            time.sleep(0.01)
        raise AssertionError(self.ended())

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, standard output and error."""
        try:
            return self.wait(60), *self.printed()
        finally:
            self.kill()  # does nothing to one that has ended
            for file in self._printed:
                file.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """As `ended`, after a signal."""
        self.send_signal(number)
        return self.ended()

    @property
    def reaped(self) -> bool:
        """True when somebody has seen how it ended."""
        return self._printed[0].closed


def _text(file: IO[bytes]) -> str:
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


@dataclass
class Emulators:
    """NSM and KMS in one folder, and the programs that are started beside them.

    `tree` is what the NSM measures. A control socket lies at `nsm/control` and at `kms/control`.
    """

    folder: Path
    tree: Path = ROOT
    programs: list[Program] = field(default_factory=list)
    fingerprint: str = ""
    kms: Program = field(init=False)

    @contextmanager
    def running(self, *, kms: bool = True) -> Iterator[Self]:
        """NSM and, where wanted, KMS run; in the end all that was started here ends, and with 0."""
        try:
            self._start_nsm()
            if kms:
                self._start_kms()
            yield self
        finally:
            ends = [program.stop() for program in reversed(self.programs) if not program.reaped]
        assert not any(code for code, *_ in ends), ends

    def run(self, *arguments: str) -> Program:
        """A program that listens."""
        program = Program(*arguments)
        self.programs.append(program)
        program.listening()
        return program

    @property
    def state(self) -> KmsState:
        return KmsState(self.folder / "kms", REGION, ACCOUNT)

    def around_enclave(self) -> dict[str, Any]:
        """The settings by which an enclave finds these emulators and trusts them."""
        return {
            "kms_key_arns": [KEY_ARN],
            "endpoint": KMS_HOST,
            "tls_roots": [self.fingerprint],
            "tls_roots_file": str(self.folder / "kms" / laptop_ca.CA_FILE),
            "nsm": f"unix:{self.folder}/nsm.sock",
            "reference_protocol": "on",
        }

    def set_policy(self, **condition: Any) -> None:
        """Replace the key's policy; it holds from the next request on."""
        self.state.add_key(KEY_ID, policy(**condition))

    def tell(self, emulator: str, **command: Any) -> dict[str, Any]:
        """One command, which `kms` or `nsm` must understand."""
        answer = control(self.folder / emulator / "control", **command)
        assert "error" not in answer, answer
        return answer

    def calls(self, emulator: str, operation: str) -> int:
        """How often the emulator was asked for this."""
        return int(self.tell(emulator, do="status")["calls"].get(operation, 0))

    def _start_nsm(self) -> None:
        folder, settings = self.folder / "nsm", self.folder / "settings.toml"
        folder.mkdir(mode=0o700, exist_ok=True)
        settings.write_text("a = 1\n")
        NsmConfig(
            tree=str(self.tree),
            settings=str(settings),
            role_arn=ROLE,
            region=REGION,
            instance_id=INSTANCE,
            listen=f"unix:{self.folder}/nsm.sock",
            control=f"unix:{folder}/control",
        ).save(folder)
        self.run("cli.local.nsm", str(folder))

    def _start_kms(self) -> None:
        folder = self.folder / "kms"
        folder.mkdir(mode=0o700)
        self.fingerprint = laptop_ca.prepare(folder, KMS_HOST, datetime.now(UTC))
        KmsConfig(
            region=REGION,
            account=ACCOUNT,
            listen="tcp://127.0.0.1:0",
            control=f"unix:{folder}/control",
            nsm_root="../nsm/root.der",
            certificate=laptop_ca.CERTIFICATE_FILE,
            certificate_key=laptop_ca.KEY_FILE,
        ).save(folder)
        self.state.put_credential(Credential(ACCESS, PRINCIPAL))
        self.set_policy()
        self.kms = self.run("cli.local.kms", str(folder))


def policy(**condition: Any) -> dict[str, Any]:
    """The role may encrypt, and decrypt under the condition; without one, whenever it is attested."""
    condition = condition or {"Null": {"kms:RecipientAttestation:PCR0": "false"}}
    shared = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Resource": "*"}
    statements = [
        {"Sid": "Seal", "Action": "kms:Encrypt", **shared},
        {"Sid": "Open", "Action": "kms:Decrypt", "Condition": condition, **shared},
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def control(path: Path | str, **command: Any) -> dict[str, Any]:
    """One command on a control socket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(path))
        stream.sendall(json.dumps(command).encode() + b"\n")
        with stream.makefile("rb") as file:
            answer: dict[str, Any] = json.loads(file.readline())
            return answer


@contextmanager
def short_folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="sv") as name:
        yield Path(name)
