"""How long a vault with many keys takes to be ready: the real enclave, an emulated KMS that is slow."""

import asyncio
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from cli.bench.servers import resident_megabytes
from cli.local import kms_blob, stack_files
from cli.local.kms_state import KmsState
from cli.local.layout import Layout
from cli.local.measure import tree_of_program
from cli.local.processes import Children
from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import generate
from signatory.errors import ConfigError, UnavailableError
from signatory.net.vsock import Address, connect
from signatory.nitro import birth, sealed
from signatory.nitro.arn import Arn
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.sealed import KeyName, Record, Scheme
from signatory.tezos.keys import PublicKey
from signatory.vault import KeyBirth, VaultContext
from vaults.nitro.driver import NitroVault
from vaults.nitro.storage.file import REFERENCE_NAME, FileStore
from vaults.nitro.storage.record import SealedKey

MANY = 10_000
KMS_DELAY = 0.005
"""Seconds that the emulated KMS waits before each answer."""

DOCUMENT = 4800
"""Bytes of an attestation document: genuine ones have 4,400 to 4,900 without long fields."""

_MANY_TIMES = 1_000_000
_POLL = 0.1
_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class ManyKeys:
    """What a start with many keys cost."""

    keys: int
    seconds: float
    """From the first byte to the enclave until every key can sign."""
    kms_calls: int
    enclave_megabytes: float
    """Resident memory of the enclave's program that came with the keys, in units of 1e6 bytes."""


async def many_keys(folder: Path, count: int) -> ManyKeys:
    """Ed25519 keys in files under kms-envelope-v1, opened by the vault in this process."""
    os.umask(0o077)
    layout = Layout.prepare(folder)
    children = Children(layout.logs)
    identity = stack_files.Identity.of(layout)
    now = datetime.now(UTC)
    nsm = stack_files.write_emulators(layout, identity, tree_of_program(), now)
    stack_files.pin(layout, identity, nsm.measured(), now)
    await asyncio.to_thread(_fill, layout, identity, count)
    try:
        await children.listening(children.start("nsm", "cli.local.nsm", str(layout.nsm)))
        kms = children.start("kms", "cli.local.kms", str(layout.kms))
        enclave = children.start("enclave", "enclave_signer", str(layout.settings))
        kms_address = (await children.listening(kms)).removeprefix("tcp://")
        await children.listening(enclave)
        stack_files.write_config(layout, identity, kms_address, ("127.0.0.1:0", "127.0.0.1:0"), [])
        await _control(layout, {"do": "delay", "seconds": KMS_DELAY, "times": _MANY_TIMES})
        before = resident_megabytes(_program(enclave.process.pid))
        seconds = await _until_ready(layout, count)
        calls = (await _control(layout, {"do": "status"}))["calls"]
        after = resident_megabytes(_program(enclave.process.pid))
    finally:
        await children.stop()
        layout.remove_sockets()
    return ManyKeys(count, seconds, sum(calls.values()), after - before)


async def _until_ready(layout: Layout, count: int) -> float:
    section = yaml.safe_load(layout.config.read_text("utf-8"))["vaults"]["nitro"]["config"]
    context = VaultContext("nitro", layout.base, _nobody)
    config = NitroVault.Config.model_validate(section)
    started = time.perf_counter()
    vault = await NitroVault.open(config, context)  # type: ignore[arg-type]  # validated by its own model
    try:
        while len(await vault.list()) < count:  # noqa: ASYNC110  a vault tells nobody when a key is loaded
            await asyncio.sleep(_POLL)
        return time.perf_counter() - started
    finally:
        await vault.close()


def _fill(layout: Layout, identity: stack_files.Identity, count: int) -> None:
    """Keys as an enclave would have sealed them, with a data key wrapped as KMS would have wrapped it."""
    arn = Arn.parse(identity.kms_key_arn)
    key = KmsState(layout.kms, arn.region, arn.account).find_key(arn.key_id)
    if key is None:
        raise UnavailableError("the emulated KMS does not have the laptop's key")
    data_key, envelope = secrets.token_bytes(sealed.DATA_KEY), f"envelope:{secrets.token_hex(16)}"
    context = sealed.context_of(None, envelope)
    wrapped = kms_blob.seal(arn.key_id, key.material, data_key, context, secrets.token_bytes(12))
    keys = []
    for _ in range(count):
        pair = generate(KeyType.ED25519, Purpose.TEZOS, secrets.token_bytes)
        identifier = PublicKey(pair.type, pair.public).id
        name = KeyName(identifier, pair.type, pair.purpose, pair.public)
        record = sealed.close(
            Scheme.KMS_ENVELOPE,
            name,
            arn,
            envelope,
            wrapped,
            data_key=data_key,
            nonce=secrets.token_bytes(sealed.NONCE),
            secret=pair.secret,
        )
        keys.append(SealedKey.of_blob(sealed.encode(record), _birth(record)))
    FileStore(layout.base / REFERENCE_NAME).add_many(keys)


def _birth(record: Record) -> KeyBirth:
    """Its statement, and as many bytes as a document has: a start reads them and does not verify them."""
    name = record.name
    statement = Statement(
        name.key_type,
        name.public,
        sealed.encode(record),
        record.kms_key,
        int(time.time() * 1000),
        record.scheme,
        Origin.GENERATED,
        name.purpose,
    )
    return KeyBirth(birth.encode(statement), secrets.token_bytes(DOCUMENT))


async def _control(layout: Layout, command: dict[str, object]) -> dict[str, dict[str, int]]:
    reader, writer = await connect(Address.parse(layout.socket("kms-control")), _WITHIN)
    try:
        writer.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(_WITHIN):
            answer: dict[str, dict[str, int]] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


def _program(leash: int) -> int:
    """The process that the leash holds, or the leash's own where it became the program."""
    children = Path(f"/proc/{leash}/task/{leash}/children").read_text("ascii").split()
    return int(children[0]) if children else leash


def _nobody(prompt: str) -> str:
    raise ConfigError(f"nobody can be asked for {prompt}")
