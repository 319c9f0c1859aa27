"""What a reload puts in force, and that a request which waits meanwhile meets the new rules."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from people import ALICE, BOB, PASSWORD, carries, login, users
from reloads import ON, Written, ended, reloaded, until
from serving import (
    CHAIN,
    EVERYTHING,
    PAIRS,
    TRANSACTION,
    TZ1,
    TZ2,
    TZ3,
    Client,
    Reply,
    Running,
    ScriptedVault,
    attestation,
    serving,
)
from tls_files import Authority, trusting

from signatory.crypto.curves import KeyType
from signatory.errors import UnavailableError
from signatory.hook.seam import Question
from signatory.observe import bounded
from signatory.tezos.keys import PublicKey, Signature
from signatory.vault import Call
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark

ONE, TWO, BOTH = (
    "".join(f"  {key}: {EVERYTHING}\n" for key in keys) for keys in ((TZ1,), (TZ2,), (TZ1, TZ2))
)


async def test_the_next_request_meets_the_new_policy() -> None:
    written = Written(TWO)
    async with serving(tezos=ONE, server=ON, source=written) as running:
        client = await running.client()

        async def statuses() -> list[int]:
            body = json.dumps(TRANSACTION.hex()).encode()
            return [(await client.ask("POST", f"/keys/{key}", body)).status for key in (TZ1, TZ2)]

        assert await statuses() == [200, 403]
        last = await reloaded(running)
        assert sorted(last["changed"]) == sorted([f"tezos.{TZ1}", f"tezos.{TZ2}"])
        assert await statuses() == [403, 200]
        written.tezos = f"  {TZ1}: {{allow: {{generic: [reveal]}}}}\n"
        await reloaded(running)
        reply = await running.sign(TZ1, TRANSACTION)
        assert reply.message == "operation `transaction' is not allowed"


async def test_a_client_key_that_was_removed_lets_nobody_in() -> None:
    first, second = PAIRS[KeyType.ED25519], PAIRS[KeyType.P256]
    names = [PublicKey(pair.type, pair.public).text for pair in (first, second)]
    written = Written(server=f"{ON}  authorized_keys: [{names[1]}]\n")
    async with serving(
        server=f"{ON}  authorized_keys: [{names[0]}, {names[1]}]\n", source=written
    ) as running:

        async def signed_by_first() -> Reply:
            asked = b"\x04\x01\x01" + PublicKey(KeyType.SECP256K1, PAIRS[KeyType.SECP256K1].public).hash.data
            signature = Signature(first.type, first.sign(asked + TRANSACTION)).text
            return await running.sign(TZ2, TRANSACTION, f"?authentication={signature}")

        assert (await signed_by_first()).status == 200
        assert (await reloaded(running))["changed"] == ["server.authorized_keys"]
        assert (await signed_by_first()).message == "invalid authentication signature"
        shown = await running.ask("GET", "/authorized_keys")
        assert shown.value == {"authorized_keys": [PublicKey(second.type, second.public).id]}


async def test_a_user_that_was_removed_is_let_in_no_more_with_a_token_of_before() -> None:
    whole = users()
    written = Written(
        server=ON + "".join(line for line in whole.splitlines(True) if f" {ALICE}:" not in line)
    )
    async with serving(server=ON + whole, source=written) as running:
        tokens = {name: (await login(running, PASSWORD[name], name)).body.decode() for name in (ALICE, BOB)}

        async def status(name: str) -> int:
            return (await running.ask("GET", "/authorized_keys", None, carries(tokens[name], name))).status

        assert [await status(ALICE), await status(BOB)] == [200, 200]
        assert (await running.ask("POST", "/reload", b"")).status == 401  # the main listener asks who it is
        last = await reloaded(running)
        assert last["changed"] == [f"server.jwt.users.{ALICE}"]
        assert [await status(ALICE), await status(BOB)] == [401, 200]
        assert (await login(running)).status == 401


class Waiting:
    """A hook that says yes when a test lets it."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
        self.asked.set()
        await self.answer.wait()


async def test_a_request_that_waits_for_the_hook_while_its_key_is_removed_is_not_signed() -> None:
    vault, hook = ScriptedVault(*PAIRS.values()), Waiting()
    async with serving(vault, server=ON, source=Written(TWO), hook=hook) as running:
        request = asyncio.create_task(running.sign(TZ1, TRANSACTION))
        await hook.asked.wait()
        await reloaded(running)
        hook.answer.set()
        reply = await request
        assert (reply.status, reply.message) == (403, f"{TZ1} is not listed in config")
    assert vault.signed == []


async def _second_in_the_lock(running: Running, vault: ScriptedVault) -> tuple[asyncio.Task[Reply], ...]:
    """Two attestations of one key: the first is at the vault, the second waits for it."""
    vault.gate.clear()
    first = asyncio.create_task(running.sign(TZ1, attestation(1)))
    await vault.begun.wait()
    second = asyncio.create_task(running.sign(TZ1, attestation(2)))
    signer = running.daemon._signer
    lock = signer._locks[TZ1, CHAIN, "attestation"]
    await until(lambda: bool(lock._waiters))
    return first, second


async def test_a_request_that_waits_in_the_lock_while_its_key_is_removed_leaves_no_mark() -> None:
    vault, marks = ScriptedVault(*PAIRS.values()), MemoryStore()
    async with serving(vault, server=ON, source=Written(TWO), watermark=marks) as running:
        first, second = await _second_in_the_lock(running, vault)
        await reloaded(running)
        vault.gate.set()
        assert (await first).status == 403  # the vault had it already: it signs, and nothing leaves
        assert (await second).message == f"{TZ1} is not listed in config"
        mark = await marks.current(CHAIN, TZ1, "attestation")
    assert vault.signed == [attestation(1)]
    assert mark is not None
    assert mark.level == 1


async def test_a_request_that_waits_in_the_lock_while_its_key_leaves_the_vault_is_not_signed() -> None:
    vault, marks = ScriptedVault(*PAIRS.values()), MemoryStore()
    async with serving(vault, server=ON, source=Written(), watermark=marks) as running:
        pair = vault.pairs[TZ1]
        first, second = await _second_in_the_lock(running, vault)
        del vault.pairs[TZ1]
        assert (await reloaded(running))["keys_gone"] == [TZ1]
        vault.pairs[TZ1] = pair  # the vault itself would still sign
        vault.gate.set()
        assert (await first).status == 404
        assert (await second).status == 404
        mark = await marks.current(CHAIN, TZ1, "attestation")
    assert vault.signed == [attestation(1)]
    assert mark is not None
    assert mark.level == 1


class SlowMarks(MemoryStore):
    """Says when a mark is being written, and waits."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.written = asyncio.Event(), asyncio.Event()

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        await super().advance(chain, pkh, kind, mark)
        self.writing.set()
        await self.written.wait()


async def test_a_request_whose_key_is_removed_while_its_mark_is_written_never_reaches_the_vault() -> None:
    vault, marks = ScriptedVault(*PAIRS.values()), SlowMarks()
    async with serving(vault, server=ON, source=Written(TWO), watermark=marks) as running:
        request = asyncio.create_task(running.sign(TZ1, attestation(1)))
        await marks.writing.wait()
        await reloaded(running)
        marks.written.set()
        assert (await request).message == f"{TZ1} is not listed in config"
    assert vault.calls == []


async def test_keys_that_came_and_went_are_told_and_used_no_more() -> None:
    vault = ScriptedVault(PAIRS[KeyType.ED25519])
    async with serving(vault, server=ON, source=Written()) as running:
        vault.pairs = {TZ2: PAIRS[KeyType.SECP256K1]}
        last = await reloaded(running)
        assert (last["keys_found"], last["keys_gone"]) == ([TZ2], [TZ1])
        assert (await running.sign(TZ1, TRANSACTION)).status == 404
        assert (await running.sign(TZ2, TRANSACTION)).status == 200


async def test_a_vault_that_cannot_list_keeps_its_keys_and_is_named() -> None:
    broken, working = ScriptedVault(PAIRS[KeyType.ED25519]), ScriptedVault()
    async with serving(broken, working, server=ON, source=Written()) as running:
        broken.listing_error = UnavailableError("storage is away", hint="mount it")
        working.pairs[TZ2] = PAIRS[KeyType.SECP256K1]
        last = await reloaded(running)
        assert last["vaults_not_listed"] == {"vault0": "storage is away; mount it"}
        assert (last["outcome"], last["keys_found"]) == ("done", [TZ2])
        assert (await running.sign(TZ1, TRANSACTION)).status == 200


async def test_a_listing_that_began_before_the_hangup_does_not_count() -> None:
    vault, written = ScriptedVault(PAIRS[KeyType.ED25519]), Written()
    async with serving(vault, server=ON, source=written) as running:
        before, listing = vault.listed, vault.list

        async def as_it_was() -> object:
            found = await listing()
            vault.pairs.pop(TZ1, None)
            return found

        vault.list = as_it_was  # type: ignore[assignment,method-assign]
        vault.listing_gate.clear()
        old = asyncio.create_task(running.keyring.refresh())
        await until(lambda: vault.listed > before)
        reply = await running.ask("POST", "/reload", b"")
        assert reply.status == 202
        await until(lambda: bool(written.in_force))  # from here on it lists
        vault.listing_gate.set()
        await old
        await ended(running)
        assert vault.listed == before + 2
        assert running.keyring.get(TZ1) is None


async def test_a_key_is_tied_to_a_vault_and_let_go_again() -> None:
    first, second = (ScriptedVault(PAIRS[KeyType.ED25519]) for _ in range(2))
    written = Written(ONE)
    named = "vaults: {vault0: {driver: any}, vault1: {driver: any}}\n"
    async with serving(first, second, tezos=ONE, server=ON, source=written) as running:
        for tie, counts in (("vault: vault1, ", (0, 1)), ("", (1, 1)), ("vault: vault1, ", (1, 2))):
            written.tezos = ONE.replace("{allow:", f"{{{tie}allow:") + named
            await reloaded(running)
            assert (await running.sign(TZ1, TRANSACTION)).status == 200
            assert (len(first.signed), len(second.signed)) == counts


async def test_other_pins_hold_before_any_vault_has_listed_again() -> None:
    first, second = (ScriptedVault(PAIRS[KeyType.ED25519]) for _ in range(2))
    async with serving(first, second) as running:
        for pins, name in (({TZ1: "vault1"}, "vault1"), ({}, "vault0"), ({TZ1: "vault2"}, None)):
            running.keyring.repin(pins)
            entry = running.keyring.get(TZ1)
            assert (entry.vault_name if entry else None) == name
    assert (first.listed, second.listed) == (1, 1)


async def test_64_clients_lose_no_request_while_reloads_follow_each_other() -> None:
    written = Written(BOTH)
    async with serving(tezos=BOTH, server=ON, source=written) as running:
        clients = [await running.client() for _ in range(64)]
        stop = asyncio.Event()

        async def asks(client: Client, number: int) -> list[int]:
            body = json.dumps(TRANSACTION.hex()).encode()
            found = []
            while not stop.is_set() or len(found) < 5:
                found.append((await client.ask("POST", f"/keys/{(TZ1, TZ2)[number % 2]}", body)).status)
            return found

        asking = [asyncio.create_task(asks(client, number)) for number, client in enumerate(clients)]
        for turn in range(10):
            written.tezos = f"{BOTH}  {TZ3}:\n" if turn % 2 == 0 else BOTH
            assert (await reloaded(running))["changed"] == [f"tezos.{TZ3}"]
        stop.set()
        statuses = [status for found in await asyncio.gather(*asking) for status in found]
    assert len(statuses) >= 5 * 64
    assert set(statuses) == {200}


async def test_a_key_that_came_by_a_reload_has_its_own_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_VALUES", 0)  # what is not configured is `other`
    async with serving(tezos=ONE, server=ON, source=Written(BOTH)) as running:
        await running.sign(TZ2, TRANSACTION)
        await reloaded(running)
        await running.sign(TZ2, TRANSACTION)
        page = await running.metrics()
    assert 'sign_handler_requests_total{address="other"' in page
    assert f'sign_handler_requests_total{{address="{TZ2}"' in page


async def test_certificates_are_read_again_and_bad_ones_leave_everything_as_it_was(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")
    certificate, key = old.issue("server", "server").write(tmp_path, "server")
    server = f"{ON}  tls: {{certificate: {certificate}, key: {key}}}\n"
    written = Written(TWO, server)
    async with serving(tezos=ONE, server=server, source=written) as running:
        place = running.daemon.addresses[0]

        async def client(trusted: Authority) -> Client:
            found = Client(*await asyncio.open_connection(place.host, place.port, ssl=trusting(trusted)))
            running.clients.append(found)
            return found

        standing = await client(old)
        (tmp_path / "server.pem").write_bytes(b"nonsense")
        last = await reloaded(running)
        assert last["error"].startswith(f"{certificate} has no certificate")
        assert list(running.daemon.policy.current.keys) == [TZ1]  # nothing is taken over by half
        assert (await (await client(old)).ask("GET", f"/keys/{TZ1}")).status == 200
        new.issue("server", "server").write(tmp_path, "server")
        assert (await reloaded(running))["outcome"] == "done"
        assert (await (await client(new)).ask("GET", f"/keys/{TZ1}")).status == 200
        assert (await standing.ask("GET", f"/keys/{TZ1}")).status == 200


async def test_tls_is_neither_switched_on_nor_off_by_a_reload(tmp_path: Path) -> None:
    certificate, key = Authority("ours").issue("server", "server").write(tmp_path, "server")
    written = Written(server=f"{ON}  tls: {{certificate: {certificate}, key: {key}}}\n")
    async with serving(server=ON, source=written) as running:
        assert (await reloaded(running))["needs_restart"] == ["server.tls"]
        assert (await running.sign(TZ1, TRANSACTION)).status == 200


async def test_warnings_about_the_new_file_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    written = Written(f"  {TZ1}: {{allow: {{endorsement: }}}}\n")
    async with serving(server=ON, source=written) as running:
        await reloaded(running)
    assert "`endorsement` is an old name, write `attestation`" in caplog.text
