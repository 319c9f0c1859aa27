"""The real processes behind a nitro vault: NSM, KMS emulator, enclave program. The proxy is the vault's."""

import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rigs import KEY_ARN, Rig, nitro_rig

from cli.local import laptop_ca
from cli.local.kms_state import Credential, KmsConfig, KmsState
from cli.local.nsm import NsmConfig
from signatory.nitro.sigv4 import AccessKey

ROOT = Path(__file__).resolve().parents[2]
REGION, ACCOUNT = "us-west-2", "111122223333"
KEY_ID = KEY_ARN.rpartition("/")[2]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/signer"
ACCESS = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "a-session-token")


def policy(**condition: Any) -> dict[str, Any]:
    """The role may encrypt, and decrypt under the condition; without one, whenever it is attested."""
    condition = condition or {"Null": {"kms:RecipientAttestation:PCR0": "false"}}
    shared = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Resource": "*"}
    statements = [
        {"Sid": "Seal", "Action": "kms:Encrypt", **shared},
        {"Sid": "Open", "Action": "kms:Decrypt", "Condition": condition, **shared},
    ]
    return {"Version": "2012-10-17", "Statement": statements}


@dataclass
class Processes:
    """NSM and KMS run after `start`; `enclave` starts the program, as often as it is killed."""

    folder: Path
    kms_address: str = ""
    fingerprint: str = ""
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        self._nsm()
        self._kms()

    def enclave(self, name: str = "enclave") -> subprocess.Popen[str]:
        """Listens on `NAME.sock`, and its way out is `NAME.proxy`."""
        settings = {
            "kms_key_arns": [KEY_ARN],
            "endpoint": "kms.localhost",
            "tls_roots": [self.fingerprint],
            "tls_roots_file": str(self.folder / "kms" / laptop_ca.CA_FILE),
            "nsm": f"unix:{self.folder}/nsm.sock",
            "listen": f"unix:{self.folder}/{name}.sock",
            "proxy": f"unix:{self.folder}/{name}.proxy",
            "reference_protocol": "on",
        }
        path = self.folder / f"{name}.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        return self._run("enclave_signer", str(path))[0]

    def rig(self, base: Path, name: str = "enclave", **changed: Any) -> Rig:
        """The driver in front of that enclave, with keys under `base`."""
        values: dict[str, Any] = {
            "enclave_address": f"unix:{self.folder}/{name}.sock",
            "proxy_local_address": f"unix:{self.folder}/{name}.proxy",
            "proxy_remote_address": self.kms_address,
            "credentials": {
                "access_key_id": ACCESS.access_key_id,
                "secret_access_key": ACCESS.secret_access_key,
                "session_token": ACCESS.session_token,
            },
        }
        return nitro_rig(base, **(values | changed))

    def set_policy(self, **condition: Any) -> None:
        """Replace the key's policy; it holds from the next request on."""
        KmsState(self.folder / "kms", REGION, ACCOUNT).add_key(KEY_ID, policy(**condition))

    def tell(self, **command: Any) -> dict[str, Any]:
        """One command on KMS's control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "kms" / "control"))
            control.sendall(json.dumps(command).encode() + b"\n")
            with control.makefile() as answers:
                answer = json.loads(answers.readline())
        assert "error" not in answer, answer
        return dict(answer)

    def calls(self, operation: str) -> int:
        """How often KMS was asked for this."""
        return int(self.tell(do="status")["calls"].get(operation, 0))

    def stop(self) -> None:
        for process in reversed(self.running):
            end(process, signal.SIGTERM)

    def _nsm(self) -> None:
        folder = self.folder / "nsm"
        folder.mkdir()
        measured = self.folder / "measured.toml"
        measured.write_text("measured\n")
        NsmConfig(
            tree=str(ROOT),
            settings=str(measured),
            role_arn=ROLE,
            region=REGION,
            instance_id="i-0123456789abcdef0",
            listen=f"unix:{self.folder}/nsm.sock",
            control=f"unix:{folder}/control",
        ).save(folder)
        self._run("cli.local.nsm", str(folder))

    def _kms(self) -> None:
        folder = self.folder / "kms"
        folder.mkdir()
        self.fingerprint = laptop_ca.prepare(folder, "kms.localhost", datetime.now(UTC))
        KmsConfig(
            region=REGION,
            account=ACCOUNT,
            listen="tcp://127.0.0.1:0",
            control=f"unix:{folder}/control",
            nsm_root=str(self.folder / "nsm" / "root.der"),
            certificate=laptop_ca.CERTIFICATE_FILE,
            certificate_key=laptop_ca.KEY_FILE,
        ).save(folder)
        KmsState(folder, REGION, ACCOUNT).put_credential(Credential(ACCESS, ROLE))
        self.set_policy()
        _, address = self._run("cli.local.kms", str(folder))
        self.kms_address = address.removeprefix("tcp://")

    def _run(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """The process, and the address that it says it listens on."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            cwd="/",
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("listening on "):
                return process, line.removeprefix("listening on ").strip()
        end(process, signal.SIGKILL)
        raise AssertionError("".join(said))


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Stop and reap it."""
    if process.poll() is None:
        process.send_signal(number)
        process.wait(30)
    if process.stdout is not None:
        process.stdout.close()
