"""A parent that brings credentials of its own to the daemon's connection: anybody can encrypt to its key."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from emulators import ACCESS, KEY_ARN, KEY_ID, REGION, policy
from hostile_parent import Parent, name_of, transcript_of
from real import Processes
from rigs import CALL, Opened, Rig

from signatory.crypto import hpke, keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError

pytestmark = pytest.mark.usefixtures("quick_retries")

SECOND_ID = "99990000-12ab-34cd-56ef-1234567890ab"
SECOND_ARN = KEY_ARN.replace(KEY_ID, SECOND_ID)
OWN = {
    "access_key_id": ACCESS.access_key_id,
    "secret_access_key": ACCESS.secret_access_key,
    "session_token": ACCESS.session_token,
    "encryption_key_id": SECOND_ARN,
    "region": REGION,
}
"""They name another KMS key that the image allows."""


class Exchange:
    """Puts credentials of the parent in the place of the daemon's, and lets both believe that all is well."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._digests: dict[int, bytes] = {}

    def ask(self, body: bytes) -> bytes | None:
        if name_of(body) != "RenewCredentials":
            return None
        hello, welcome = self._parent.asked[0], self._parent.replied[0]
        info = b"signatory-vault/hpke/v1\0RenewCredentials\0" + transcript_of(hello, welcome)
        session_key = cbor2.loads(welcome)["Ok"]["session_key"]
        found = cbor2.loads(body)
        found["call"]["RenewCredentials"]["sealed"] = hpke.seal(session_key, cbor2.dumps(OWN), info)
        self._digests[found["id"]] = hashlib.sha256(body).digest()
        return cbor2.dumps(found)

    def reply(self, body: bytes) -> bytes | None:
        found = cbor2.loads(body)
        if found.get("id") not in self._digests:
            return None
        return cbor2.dumps(found | {"digest": self._digests[found["id"]]})


@pytest.fixture
async def rig(processes: Processes, short_folder: Path) -> AsyncIterator[Rig]:
    """A vault behind such a parent, in front of an enclave that allows two KMS keys."""
    document = policy()
    document["Statement"][1]["Action"] = ["kms:Decrypt", "kms:GenerateDataKey"]
    processes.state.add_key(SECOND_ID, document)
    process = processes.enclave("two", kms_key_arns=[KEY_ARN, SECOND_ARN])
    parent = Parent(short_folder / "parent.sock", processes.folder / "two.sock")
    exchange = Exchange(parent)
    parent.ask, parent.reply = exchange.ask, exchange.reply
    await parent.start()
    yield processes.rig(short_folder, "two", enclave_address=f"unix:{parent.path}")
    await parent.stop()
    process.stop()


async def test_a_key_that_was_made_under_another_kms_key_is_neither_stored_nor_announced(
    rig: Rig, opened: Opened
) -> None:
    vault: Any = await opened(rig)
    with pytest.raises(IntegrityError, match=f"{SECOND_ARN}, and the configuration names {KEY_ARN}"):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert await vault.list() == []


async def test_a_key_that_is_imported_is_sealed_by_no_other_kms_key(
    rig: Rig, processes: Processes, opened: Opened
) -> None:
    vault: Any = await opened(rig)
    before = processes.calls("kms", "GenerateDataKey")
    with pytest.raises(IntegrityError, match="not sealed to the key of this connection, for this use"):
        await vault.import_key(keypair.from_secret(KeyType.ED25519, bytes(range(32))), CALL)
    assert processes.calls("kms", "GenerateDataKey") == before
