"""Every request of the shared vectors, sent to a daemon: its answer, and its signature by another library."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from serving import ScriptedVault, serving

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.policy.kinds import OPERATION_KINDS, REQUEST_KINDS
from signatory.tezos.keys import PublicKey

FILE = Path(__file__).resolve().parents[2] / "../shared/vectors/tezos_requests.json"
STATUSES = {"accept": {200}, "reject": {400}, "either": {200, 400}}
ANYTHING = (
    "{allow: {"
    + ", ".join(f"{kind}: " for kind in REQUEST_KINDS if kind != "generic")
    + f", generic: [{', '.join((*OPERATION_KINDS, 'endorsement'))}]}}}}"
)

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the shared vectors are not beside the repository")


async def test_every_request_is_answered_as_said_and_every_signature_verifies() -> None:
    rows: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["requests"]
    pairs = [
        keypair.from_secret(
            KeyType.ED25519, bytes([1]) * 30 + number.to_bytes(2, "big"), purpose=Purpose.TEZOS
        )
        for number in range(len(rows))
    ]  # a key for each row, so that no mark stands in the way
    keys = [PublicKey(pair.type, pair.public) for pair in pairs]
    seen: Counter[tuple[str, int]] = Counter()
    async with serving(
        ScriptedVault(*pairs), tezos="".join(f"  {key.id}: {ANYTHING}\n" for key in keys)
    ) as running:
        client = await running.client()
        for row, key in zip(rows, keys, strict=True):
            message = bytes.fromhex(row["hex"])
            query = "?version=1" if row["version"] == "1" else ""
            reply = await client.ask("POST", f"/keys/{key.id}{query}", json.dumps(row["hex"]).encode())
            assert reply.status in STATUSES[row["expect"]], (row["id"], reply)
            seen[row["expect"], reply.status] += 1
            if reply.status == 200:
                signature = base58.b58decode_check(reply.value["signature"])
                digest = hashlib.blake2b(message, digest_size=32).digest()
                Ed25519PublicKey.from_public_bytes(key.data).verify(signature[5:], digest)
    assert seen["accept", 200] > 150, seen
