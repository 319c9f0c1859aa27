"""The enclave's program as a real process, with a real software NSM and a real KMS emulator beside it."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

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


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """A Python process of ours, away from this environment; its output can be read."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
        cwd="/",
    )


async def stop(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Exit code, standard output and error after SIGTERM."""
    if process.returncode is None:
        process.terminate()
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def until_said(process: asyncio.subprocess.Process, words: bytes) -> str:
    """The line of standard output with these words."""
    if process.stdout is None:
        raise AssertionError("no output to read")
    async with asyncio.timeout(30):
        while words not in (line := await process.stdout.readline()):
            if not line:
                _, _, errors = await stop(process)
                raise AssertionError(errors)
    return line.decode().strip()


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
    """The processes around an enclave, and what to start one with."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @property
    def settings_file(self) -> Path:
        return self.folder / "enclave.toml"

    def write_settings(self, **changed: Any) -> Path:
        limits = changed.pop("limits", {})
        found = {name: value for name, value in (self.settings | changed).items() if value is not ...}
        lines = [f"{name} = {json.dumps(value)}" for name, value in found.items()]
        lines += ["[limits]", *(f"{name} = {json.dumps(value)}" for name, value in limits.items())]
        self.settings_file.write_text("\n".join(lines) + "\n")
        return self.settings_file

    async def run(self, *arguments: str, ready: bytes) -> asyncio.subprocess.Process:
        process = await start(*arguments)
        self.processes.append(process)
        await until_said(process, ready)
        return process

    async def enclave(self, **changed: Any) -> asyncio.subprocess.Process:
        """Start the program with these settings changed."""
        file = self.write_settings(**changed)
        return await self.run("enclave_signer", str(file), ready=b"listening on ")

    async def line(self) -> Line:
        """A new connection to the enclave."""
        line = Line(*await asyncio.open_unix_connection(str(self.folder / "enclave.sock")))
        self.lines.append(line)
        return line

    async def session(self) -> Line:
        """A new connection, initialised."""
        return await (await self.line()).initialize()

    async def tell(self, emulator: str, **command: Any) -> dict[str, Any]:
        """One command on the control socket of `kms` or `nsm`."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / emulator / "control"))
        writer.write(json.dumps(command).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        assert "error" not in answer, answer
        return dict(answer)

    async def close(self) -> None:
        for line in self.lines:
            line.close()
        for process in self.processes:
            await stop(process)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def cloud(short_folder: Path) -> AsyncIterator[Cloud]:
    """NSM and KMS run; the policy opens to everyone who is attested, and the enclave is not started yet."""
    made = Cloud(short_folder)
    try:
        await _start_nsm(made)
        await _start_kms(made)
        yield made
    finally:
        await made.close()


async def _start_nsm(cloud: Cloud) -> None:
    folder = cloud.folder / "nsm"
    folder.mkdir()
    cloud.settings_file.write_text("measured\n")
    NsmConfig(
        tree=str(ROOT),
        settings=str(cloud.settings_file),
        role_arn=ROLE,
        region=REGION,
        instance_id="i-0123456789abcdef0",
        listen=f"unix:{cloud.folder}/nsm.sock",
        control=f"unix:{folder}/control",
    ).save(folder)
    await cloud.run("cli.local.nsm", str(folder), ready=b"PCR0")


async def _start_kms(cloud: Cloud) -> None:
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
    state.add_key(KEY_ID, policy(Null={"kms:RecipientAttestation:PCR0": "false"}))
    state.put_credential(Credential(ACCESS, ROLE))
    said = await cloud.run("cli.local.kms", str(folder), ready=b"KMS emulator")
    del said
    while not (folder / "listening.json").exists():
        await asyncio.sleep(0.01)
    address = json.loads((folder / "listening.json").read_text())["address"]
    cloud.settings = {
        "kms_key_arns": [ARN],
        "endpoint": "kms.localhost",
        "tls_roots": [fingerprint],
        "tls_roots_file": str(folder / laptop_ca.CA_FILE),
        "nsm": f"unix:{cloud.folder}/nsm.sock",
        "listen": f"unix:{cloud.folder}/enclave.sock",
        "proxy": f"tcp://{address}",
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


def memory_of(process: asyncio.subprocess.Process) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
