"""A store in hostile hands, in front of a real enclave: what it gives back is not what was put there."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hostile_parent import Parent, name_of, unknown_hello
from real import Processes
from rigs import CALL, LATEST, MESSAGE, Opened, signs

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError, NotFoundError, UnavailableError
from signatory.vault import VaultKey

pytestmark = pytest.mark.usefixtures("quick_retries")

Records = list[dict[str, Any]]


class Table:
    """`sealed_keys.json` of a vault, which the test rewrites as its owner can."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "base" / "sealed_keys.json"

    def read(self) -> Records:
        found: Records = json.loads(self.path.read_text())
        return found

    def write(self, records: Records) -> None:
        self.path.write_text(json.dumps(records))


@pytest.fixture
def table(short_folder: Path) -> Table:
    return Table(short_folder)


def blob_of(record: dict[str, Any]) -> dict[int, Any]:
    found: dict[int, Any] = cbor2.loads(base64.b64decode(record["sealed_key"]))
    return found


def reblob(record: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The record with fields of its blob changed, and without its birth, which would give it away."""
    fields = blob_of(record) | {int(name[1:]): value for name, value in changed.items()}
    kept = {name: value for name, value in record.items() if not name.startswith("birth_")}
    blob = cbor2.dumps({number: fields[number] for number in sorted(fields) if fields[number] is not None})
    return kept | {"sealed_key": base64.b64encode(blob).decode()}


def swapped_blobs(first: dict[str, Any], second: dict[str, Any]) -> Records:
    names = ("sealed_key", "birth_statement", "birth_attestation")
    return [one | {name: other[name] for name in names} for one, other in ((first, second), (second, first))]


LIES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "another purpose outside": (lambda found: found | {"purpose": "raw"}, "purpose is not that of"),
    "another purpose inside too": (
        lambda found: reblob(found | {"purpose": "raw"}, f5="raw"),
        "does not open: it was changed",
    ),
    "a checkpoint key inside too": (
        lambda found: reblob(found | {"purpose": "checkpoint"}, f5="checkpoint"),
        "does not open: it was changed",
    ),
    "another tenant outside": (lambda found: found | {"user_id": "mallory"}, "user_id is not that of"),
    "another tenant inside too": (
        lambda found: reblob(found | {"user_id": "mallory"}, f8="mallory"),
        "InvalidCiphertext",
    ),
    "no tenant inside": (
        lambda found: reblob({name: found[name] for name in found if name != "user_id"}, f8=None),
        "InvalidCiphertext",
    ),
    "a later version outside": (lambda found: found | {"key_version": 2}, "key_version is not that of"),
    "a later version inside too": (
        lambda found: reblob(found | {"key_version": 2}, f3=2),
        "does not open: it was changed",
    ),
    "another scheme outside": (lambda found: found | {"scheme": "kms-envelope-v1"}, "scheme is not that of"),
    "the scheme of the reference": (lambda found: found | {"scheme": "kms-encrypt-v0"}, "user_id"),
    "another KMS key inside too": (
        lambda found: reblob(
            found | {"kms_key_arn": found["kms_key_arn"].replace("111122223333", "999999999999")},
            f9=found["kms_key_arn"].replace("111122223333", "999999999999"),
        ),
        "not among",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_record_that_lies_is_left_out_by_name_and_its_neighbour_signs(
    lie: str, table: Table, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    change, words = LIES[lie]
    vault: Any = await opened(processes.rig(short_folder))
    kept = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    lost = await vault.generate_for("alice", KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    table.write([each if each["key_id"] == kept.id else change(each) for each in table.read()])
    vault = await opened(processes.rig(short_folder))
    assert [key.id for key in await vault.list()] == [kept.id]
    assert await signs(vault, kept)
    reason = vault.readiness().reason
    assert words in reason
    assert lost.id in reason
    with pytest.raises((NotFoundError, UnavailableError)):
        await vault.sign(lost, MESSAGE, LATEST, CALL)


async def test_exchanged_records_sign_for_nobody(
    table: Table, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(3)]
    await vault.close()
    first, second, third = table.read()
    table.write([*swapped_blobs(first, second), third])
    vault = await opened(processes.rig(short_folder))
    assert [key.id for key in await vault.list()] == [keys[2].id]
    assert "is not that of the sealed record" in vault.readiness().reason


async def test_a_checkpoint_key_is_never_a_signing_key_and_a_signing_key_never_one_for_checkpoints(
    table: Table, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    kept = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    lost = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    public, _ = await vault.checkpoint(3, bytes(32), CALL)
    await vault.close()
    records = {record["key_id"]: record for record in table.read()}
    as_checkpoint = reblob(records[lost.id] | {"purpose": "checkpoint"}, f5="checkpoint")
    as_signing = reblob(records[public.id] | {"purpose": "tezos"}, f5="tezos")
    table.write([records[kept.id], as_checkpoint, as_signing])
    vault = await opened(processes.rig(short_folder))
    assert [key.id for key in await vault.list()] == [kept.id]
    for purpose in Purpose:
        with pytest.raises((NotFoundError, UnavailableError)):
            await vault.sign(VaultKey(public, purpose), MESSAGE, LATEST, CALL)
    with pytest.raises(UnavailableError, match="does not open: it was changed"):
        await vault.checkpoint(4, bytes(32), CALL)


@pytest.fixture
async def parent(processes: Processes, short_folder: Path) -> AsyncIterator[Parent]:
    """It strips Hello."""
    made = Parent(short_folder / "parent.sock", processes.folder / "enclave.sock")
    made.answer = lambda body: unknown_hello() if name_of(body) == "Hello" else None
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("sealing", ["kms-encrypt-v0", "kms-gdk-v1"])
async def test_a_mark_that_was_removed_leads_nobody_back_while_a_key_says_what_was_spoken(
    sealing: str, table: Table, processes: Processes, short_folder: Path, opened: Opened, parent: Parent
) -> None:
    vault: Any = await opened(processes.rig(short_folder, protocol="auto", sealing=sealing))
    await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    table.path.with_name("sealed_keys.extended").unlink()
    stripped = processes.rig(short_folder, protocol="auto", enclave_address=f"unix:{parent.path}")
    with pytest.raises(IntegrityError, match="which this vault spoke before"):
        await stripped.open()
    assert parent.names == ["Hello"]
