"""The enclave's program as a real process, with a real software NSM and a real KMS emulator beside it."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulators import ACCESS, KEY_ARN, KEY_ID, REGION, Emulators, Program, policy

from signatory.rpc.messages import Credentials, Initialize, Reply, Request, decode_reply, encode_request

SCHEMES = ["kms-encrypt-v0", "kms-gdk-v1", "kms-envelope-v1"]
CREDENTIALS = Credentials(
    ACCESS.access_key_id, ACCESS.secret_access_key, ACCESS.session_token, KEY_ARN, REGION
)


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
class Cloud(Emulators):
    """The processes around enclaves, and what to start one with."""

    lines: list[Line] = field(default_factory=list)

    def set_policy(self, **condition: Any) -> None:
        """Replace the key's policy: data keys are made under the condition under which they open."""
        document = policy(**condition)
        for statement in document["Statement"]:
            if statement["Action"] == "kms:Decrypt":
                statement["Action"] = ["kms:Decrypt", "kms:GenerateDataKey"]
        self.state.add_key(KEY_ID, document)

    def write_settings(self, path: Path, **changed: Any) -> Path:
        """A settings file; a value of `...` leaves a key out."""
        limits = changed.pop("limits", {})
        ways = {"listen": f"unix:{self.folder}/enclave.sock", "proxy": self.kms.listening()}
        settings = self.around_enclave() | {"schemes": SCHEMES} | ways | changed
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if value is not ...]
        lines += ["[limits]", *(f"{name} = {json.dumps(value)}" for name, value in limits.items())]
        path.write_text("\n".join(lines) + "\n")
        return path

    def enclave(self, **changed: Any) -> "Enclave":
        """Start one more enclave, with these settings changed."""
        number = len(self.programs)
        listen = f"unix:{self.folder}/{number}.sock"
        file = self.write_settings(self.folder / f"{number}.toml", listen=listen, **changed)
        process = self.run("enclave_signer", str(file))
        return Enclave(self, process, process.listening().removeprefix("unix:"))


@dataclass
class Enclave:
    """One running program."""

    cloud: Cloud
    process: Program
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
