"""The enclave's program as a real process, with a real software NSM and a real KMS emulator beside it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.local import laptop_ca
from cli.local.kms_state import Credential, KmsConfig, KmsState
from cli.local.nsm import NsmConfig
from signatory.nitro.sigv4 import AccessKey
from signatory.rpc.messages import Credentials, Initialize, Reply, Request, decode_reply, encode_request

ROOT = Path(__file__).resolve().parents[2]
REGION, ACCOUNT = "us-west-2", "111122223333"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/signer"
ACCESS = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "a-session-token")
CREDENTIALS = Credentials(ACCESS.access_key_id, ACCESS.secret_access_key, ACCESS.session_token, ARN, REGION)


def start(*arguments: str) -> subprocess.Popen[str]:
    """A Python process of ours, away from this environment; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-I", "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and error after SIGTERM."""
    process.terminate()
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def listening(process: subprocess.Popen[str]) -> str:
    """The address that it says it listens on."""
    if process.stdout is None:
        raise AssertionError("no output to read")
    for line in process.stdout:
        if line.startswith("listening on "):
            return line.removeprefix("listening on ").strip()
    raise AssertionError(stop(process))


@dataclass
class Line:
    """One connection to the enclave, in raw frames."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask_raw(self, body: bytes) -> bytes:
        self.writer.write(len(body).to_bytes(4, "big") + body)
        return await self.read()

    async def read(self) -> bytes:
        async with asyncio.timeout(30):
            size = int.from_bytes(await self.reader.readexactly(4), "big")
            return await self.reader.readexactly(size)

    async def ask(self, request: Request) -> Reply:
        return decode_reply(request, await self.ask_raw(encode_request(request)))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(30):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def initialize(self, credentials: Credentials = CREDENTIALS) -> "Line":
        assert await self.ask(Initialize(credentials)) is None
        return self

    def close(self) -> None:
        self.writer.close()


@dataclass
class Cloud:
    """The processes around enclaves, and what to start one with."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def write_settings(self, path: Path, **changed: Any) -> Path:
        """A settings file; a value of `...` leaves a key out."""
        limits = changed.pop("limits", {})
        found = {name: value for name, value in (self.settings | changed).items() if value is not ...}
        lines = [f"{name} = {json.dumps(value)}" for name, value in found.items()]
        lines += ["[limits]", *(f"{name} = {json.dumps(value)}" for name, value in limits.items())]
        path.write_text("\n".join(lines) + "\n")
        return path

    def run(self, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """The process and the address that it says it listens on."""
        process = start(*arguments)
        self.processes.append(process)
        return process, listening(process)

    def enclave(self, **changed: Any) -> "Enclave":
        """Start one more enclave, with these settings changed."""
        number = len(self.processes)
        listen = f"unix:{self.folder}/{number}.sock"
        file = self.write_settings(self.folder / f"{number}.toml", listen=listen, **changed)
        process, address = self.run("enclave_signer", str(file))
        return Enclave(self, process, address.removeprefix("unix:"))

    def tell(self, emulator: str, **command: Any) -> dict[str, Any]:
        """One command on the control socket of `kms` or `nsm`."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / emulator / "control"))
            control.sendall(json.dumps(command).encode() + b"\n")
            with control.makefile() as answers:
                answer = json.loads(answers.readline())
        assert "error" not in answer, answer
        return dict(answer)

    def calls(self, emulator: str, operation: str) -> int:
        """How often the emulator was asked for this."""
        return int(self.tell(emulator, do="status")["calls"].get(operation, 0))

    def close(self) -> None:
        for process in self.processes:
            stop(process)


@dataclass
class Enclave:
    """One running program."""

    cloud: Cloud
    process: subprocess.Popen[str]
    path: str

    async def line(self) -> Line:
        """A new connection."""
        line = Line(*await asyncio.open_unix_connection(self.path))
        self.cloud.lines.append(line)
        return line

    async def session(self) -> Line:
        """A new connection, initialised."""
        return await (await self.line()).initialize()

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def start_nsm(cloud: Cloud) -> None:
    folder = cloud.folder / "nsm"
    folder.mkdir()
    measured = cloud.folder / "measured.toml"
    measured.write_text("measured\n")
    NsmConfig(
        tree=str(ROOT),
        settings=str(measured),
        role_arn=ROLE,
        region=REGION,
        instance_id="i-0123456789abcdef0",
        listen=f"unix:{cloud.folder}/nsm.sock",
        control=f"unix:{folder}/control",
    ).save(folder)
    cloud.run("cli.local.nsm", str(folder))


def start_kms(cloud: Cloud) -> None:
    folder = cloud.folder / "kms"
    folder.mkdir()
    fingerprint = laptop_ca.prepare(folder, "kms.localhost", datetime.now(UTC))
    KmsConfig(
        region=REGION,
        account=ACCOUNT,
        listen="tcp://127.0.0.1:0",
        control=f"unix:{folder}/control",
        nsm_root=str(cloud.folder / "nsm" / "root.der"),
        certificate=laptop_ca.CERTIFICATE_FILE,
        certificate_key=laptop_ca.KEY_FILE,
    ).save(folder)
    state = KmsState(folder, REGION, ACCOUNT)
    state.add_key(KEY_ID, policy())
    state.put_credential(Credential(ACCESS, ROLE))
    _, address = cloud.run("cli.local.kms", str(folder))
    cloud.settings = {
        "kms_key_arns": [ARN],
        "endpoint": "kms.localhost",
        "tls_roots": [fingerprint],
        "tls_roots_file": str(folder / laptop_ca.CA_FILE),
        "nsm": f"unix:{cloud.folder}/nsm.sock",
        "listen": f"unix:{cloud.folder}/enclave.sock",
        "proxy": address,
        "reference_protocol": "on",
    }


def policy(**condition: Any) -> dict[str, Any]:
    """A key policy that lets the role encrypt, and decrypt under a condition."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Seal",
                "Effect": "Allow",
                "Principal": {"AWS": ROLE},
                "Action": "kms:Encrypt",
                "Resource": "*",
            },
            {
                "Sid": "Open",
                "Effect": "Allow",
                "Principal": {"AWS": ROLE},
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": condition,
            },
        ],
    }


def set_policy(cloud: Cloud, **condition: Any) -> None:
    """Replace the key's policy; it holds from the next request on."""
    KmsState(cloud.folder / "kms", REGION, ACCOUNT).add_key(KEY_ID, policy(**condition))
