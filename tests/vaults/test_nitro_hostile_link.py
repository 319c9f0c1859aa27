"""A hostile parent on the wire between daemon and enclave: what it sees, and what it can bring about."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from emulators import ACCESS
from hostile_parent import Parent, name_of, transcript_of, unknown_hello, welcome_of, with_ok
from real import Processes
from rigs import CALL, LATEST, MESSAGE, Opened, Rig, signs

from cli.local import nsm_chain, nsm_device
from cli.local.faults import Faults
from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError, UnavailableError
from signatory.nitro import nsm
from signatory.vault import Call

pytestmark = pytest.mark.usefixtures("quick_retries")

SECRET = bytes(range(7, 39))
"""Of the key that is imported."""
NEVER_SEEN = {
    "the key": SECRET,
    "the secret access key": ACCESS.secret_access_key.encode(),
    "the session token": (ACCESS.session_token or "").encode(),
    "the access key id": ACCESS.access_key_id.encode(),
}
SECRET_CALLS = {"Initialize", "RenewCredentials", "ImportSealed", "ImportUnencrypted", "Import", "LoadSealed"}


@pytest.fixture
async def parent(processes: Processes, short_folder: Path) -> AsyncIterator[Parent]:
    made = Parent(short_folder / "parent.sock", processes.folder / "enclave.sock")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def through(parent: Parent, processes: Processes, short_folder: Path) -> "Through":
    return Through(parent, processes, short_folder)


class Through:
    """Makes rigs whose enclave is reached through the parent."""

    def __init__(self, parent: Parent, processes: Processes, folder: Path) -> None:
        self._parent, self._processes, self._folder = parent, processes, folder

    def rig(self, protocol: str = "auto", **changed: Any) -> Rig:
        address = f"unix:{self._parent.path}"
        return self._processes.rig(
            self._folder, protocol=protocol, **({"enclave_address": address} | changed)
        )


def told_nothing(parent: Parent) -> bool:
    """Whether the daemon stopped before it asked for anything that takes or opens a secret."""
    return not SECRET_CALLS & set(parent.names)


async def use_everything(vault: Any) -> None:
    pair = keypair.from_secret(KeyType.ED25519, SECRET)
    imported = await vault.import_key(pair, CALL)
    made = await vault.generate(KeyType.P256, Purpose.TEZOS, CALL)
    assert await signs(vault, imported)
    assert await signs(vault, made)
    await vault.close()


async def test_a_relay_that_changes_nothing_is_served_and_sees_no_secret(
    through: Through, parent: Parent, opened: Opened
) -> None:
    await use_everything(await opened(through.rig("extended")))
    again: Any = await opened(through.rig("extended"))
    assert all([await signs(again, key) for key in await again.list()])
    assert {"RenewCredentials", "ImportSealed", "LoadSealed", "Sign"} <= set(parent.names)
    assert {what for what, value in NEVER_SEEN.items() if value in parent.seen} == set()


async def test_the_same_relay_sees_them_all_over_the_reference_protocol(
    through: Through, parent: Parent, opened: Opened
) -> None:
    await use_everything(await opened(through.rig("reference")))
    assert {what for what, value in NEVER_SEEN.items() if value in parent.seen} == set(NEVER_SEEN)


def strip(body: bytes) -> bytes | None:
    return unknown_hello() if name_of(body) == "Hello" else None


@pytest.mark.parametrize("pinned", ["by the configuration", "by memory"])
async def test_a_proxy_that_strips_hello_is_told_no_secret_by_a_vault_that_knows_better(
    pinned: str, through: Through, parent: Parent, opened: Opened
) -> None:
    if pinned == "by memory":
        await (await opened(through.rig())).close()
        parent.asked.clear()
    parent.answer = strip
    family = IntegrityError if pinned == "by memory" else UnavailableError
    rig = through.rig() if pinned == "by memory" else through.rig("extended")
    with pytest.raises(family, match=r"extended protocol|reference protocol only"):
        await rig.open()
    assert parent.names == ["Hello"]


async def test_a_proxy_that_strips_hello_gets_the_reference_protocol_from_a_vault_that_knows_nothing(
    through: Through, parent: Parent, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    # Not defended: nothing tells this proxy from an old enclave. The log says so, and expected_pcrs ends it.
    parent.answer = strip
    await opened(through.rig())
    assert "Initialize" in parent.names
    (told,) = [record for record in caplog.records if "reference protocol is used" in record.getMessage()]
    assert told.levelno == logging.WARNING


async def test_a_running_vault_is_not_led_back_to_the_reference_protocol_by_a_broken_connection(
    through: Through, parent: Parent, opened: Opened
) -> None:
    vault: Any = await opened(through.rig())
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    parent.answer = strip
    parent.asked.clear()
    await vault.reset("the parent hung up")
    with pytest.raises(UnavailableError, match="which this vault spoke before"):
        await vault.sign(key, MESSAGE, LATEST, Call("soon", 1.0))
    assert set(parent.names) == {"Hello"}
    assert not vault.readiness().ready


class Impostor:
    """Answers Hello itself, and Attest by a module of its own, if it has one: with any registers it likes."""

    def __init__(self, module: nsm_device.Device | None = None) -> None:
        self._module = module
        self._key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        self._hello = b""

    def __call__(self, body: bytes) -> bytes | None:
        if name_of(body) == "Hello":
            self._hello = body
            return welcome_of(body, self._key)
        if name_of(body) == "Attest" and self._module is not None:
            nonce = cbor2.loads(body)["call"]["Attest"]["nonce"]
            transcript = transcript_of(self._hello, welcome_of(self._hello, self._key))
            asked = nsm.Attestation(user_data=transcript, nonce=nonce, public_key=self._key)
            document = nsm.decode_reply(asked, self._module.answer(nsm.encode_request(asked)))
            return with_ok(body, {"document": document})
        return None


async def test_a_proxy_that_answers_hello_and_attest_itself_has_no_document_of_the_root(
    through: Through, parent: Parent, short_folder: Path
) -> None:
    registers = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}
    (short_folder / "root").mkdir()
    root = nsm_chain.open_root(short_folder / "root", nsm_device.utc_now())
    name = nsm_device.Identity("us-west-2", "i-0123456789abcdef0", "i-0123456789abcdef0-enc0123456789abcdef")
    parent.answer = Impostor(nsm_device.Device(root, name, registers, nsm_device.utc_now, Faults()))
    expected = {index: value.hex() for index, value in registers.items()}
    with pytest.raises(IntegrityError, match="attestation document: cabundle"):
        await through.rig(expected_pcrs=expected).open()
    assert parent.names == ["Hello", "Attest"]
    assert told_nothing(parent)


async def test_a_proxy_that_answers_hello_itself_and_lets_the_enclave_attest_is_found_out(
    through: Through, parent: Parent
) -> None:
    """The enclave behind it never saw this Hello, and gets a Hello of the proxy's own."""
    impostor = Impostor()
    own = cbor2.dumps({"Hello": {"version": 1, "nonce": bytes(32)}}, canonical=True)
    hellos = []

    def ask(body: bytes) -> bytes | None:
        if name_of(body) == "Hello":
            hellos.append(body)
            return own
        return None

    def reply(body: bytes) -> bytes | None:
        return impostor(hellos[0]) if "Ok" in cbor2.loads(body) else None

    parent.ask, parent.reply = ask, reply
    with pytest.raises(IntegrityError, match="attestation document: user_data: is not the expected one"):
        await through.rig().open()
    assert told_nothing(parent)


async def test_a_relay_that_puts_its_own_session_key_into_the_welcome_is_found_out(
    through: Through, parent: Parent
) -> None:
    own = X25519PrivateKey.generate().public_key().public_bytes_raw()

    def reply(body: bytes) -> bytes | None:
        found = cbor2.loads(body)
        if "Ok" not in found:
            return None
        found["Ok"]["session_key"] = own
        return cbor2.dumps(found, canonical=True)

    parent.reply = reply
    with pytest.raises(IntegrityError, match="attestation document: user_data: is not the expected one"):
        await through.rig().open()
    assert parent.names == ["Hello", "Attest"]


async def test_a_document_of_an_earlier_connection_is_not_taken_for_one_of_this(
    through: Through, parent: Parent, opened: Opened
) -> None:
    await (await opened(through.rig())).close()
    attest = next(index for index, name in enumerate(parent.names) if name == "Attest")
    old = next(
        found["reply"]["Ok"]["document"]
        for found in map(cbor2.loads, parent.replied)
        if "document" in found.get("reply", {}).get("Ok", {})
    )
    assert attest == 1

    def answer(body: bytes) -> bytes | None:
        return with_ok(body, {"document": old}) if name_of(body) == "Attest" else None

    parent.answer = answer
    with pytest.raises(IntegrityError, match="attestation document: nonce: is not the expected one"):
        await through.rig().open()


@pytest.mark.parametrize("kept", [(), ("name", "handle", "blob")])
async def test_an_old_birth_is_not_taken_for_the_birth_of_another_key(
    kept: tuple[str, ...], through: Through, parent: Parent, opened: Opened
) -> None:
    vault: Any = await opened(through.rig())
    first = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    births = [
        found["reply"]["Ok"]
        for found in map(cbor2.loads, parent.replied)
        if "statement" in (found.get("reply", {}).get("Ok") or {})
    ]

    def reply(body: bytes) -> bytes | None:
        found = cbor2.loads(body)
        value = found.get("reply", {}).get("Ok")
        if not isinstance(value, dict) or "statement" not in value:
            return None
        replayed = births[0] | {name: value[name] for name in kept}
        return cbor2.dumps(found | {"reply": {"Ok": replayed}}, canonical=True)

    parent.reply = reply
    words = "nonce: is not the expected one" if not kept else "is not of the key that was asked for"
    with pytest.raises(IntegrityError, match=words):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert [key.id for key in await vault.list()] == [first.id]


async def test_a_parent_that_exchanges_the_public_keys_of_loaded_keys_is_found_out(
    through: Through, parent: Parent, opened: Opened
) -> None:
    vault: Any = await opened(through.rig())
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(2)]
    await vault.close()
    others = {key.public_key.data: other.public_key.data for key, other in zip(keys, keys[::-1], strict=True)}

    def reply(body: bytes) -> bytes | None:
        found = cbor2.loads(body)
        value = found.get("reply", {}).get("Ok")
        if not isinstance(value, dict) or set(value) != {"public_key", "handle"}:
            return None
        value["public_key"] = {name: others[data] for name, data in value["public_key"].items()}
        return cbor2.dumps(found, canonical=True)

    parent.reply = reply
    with pytest.raises(IntegrityError, match="substitution"):
        await through.rig().open()


async def test_a_parent_that_hangs_up_on_hello_gets_no_other_protocol(
    through: Through, parent: Parent
) -> None:
    def answer(_body: bytes) -> bytes | None:
        raise ConnectionAbortedError

    parent.answer = answer
    with pytest.raises(UnavailableError, match=r"closed the connection|broke"):
        await through.rig().open()
    assert parent.names == ["Hello"]
