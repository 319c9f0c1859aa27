"""`?dry_run=1`: what the policy decides, as JSON; whatever the query says of a dry run, nothing is signed."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from people import ALICE, BOB, carries, token, users
from serving import (
    EVERYTHING,
    PAIRS,
    TRANSACTION,
    TZ1,
    TZ2,
    TZ4,
    Reply,
    Running,
    ScriptedVault,
    attestation,
    serving,
)

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, SigningVersion
from signatory.policy.explain import explain
from signatory.policy.values import Client
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature
from signatory.watermark.memory import MemoryStore

ALLOWED = "  allow_dry_run: true\n"
REFUSES = f"  {TZ1}: {{allow: {{generic: [reveal]}}}}\n"
CLIENT = keypair.from_secret(KeyType.ED25519, bytes([9]) * 32)
CLIENT_KEY = PublicKey(CLIENT.type, CLIENT.public)


async def dry(
    running: Running,
    message: bytes = TRANSACTION,
    query: str = "dry_run=1",
    headers: str = "",
    pkh: str = TZ1,
) -> Reply:
    body = json.dumps(message.hex()).encode()
    return await running.ask("POST", f"/keys/{pkh}?{query}", body, headers)


async def test_what_would_be_allowed_is_said_and_nothing_is_signed() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, server=ALLOWED) as running:
        replies = [await dry(running, query=f"dry_run={value}") for value in ("1", "true")]
        metrics = await running.metrics()
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].headers["content-type"] == "application/json; charset=utf-8"
    assert replies[0].value["allowed"] is True
    assert replies[0].value["request"]["kind"] == "generic"
    assert (vault.signed, vault.calls) == ([], [])
    for name in ("sign_handler_requests_total{", "signing_ops_total{", "vault_sign_request"):
        assert f"\n{name}" not in metrics.replace("_total 0", "")


async def test_what_would_be_refused_is_said_with_its_rule_and_counted_nowhere() -> None:
    async with serving(tezos=REFUSES, server=ALLOWED) as running:
        reply = await dry(running)
        signed = await running.sign(TZ1, TRANSACTION)
        metrics = await running.metrics()
    assert (reply.status, reply.value["allowed"]) == (200, False)
    assert reply.value["rule"] == "allow.generic"
    assert reply.value["message"] == signed.message == "operation `transaction' is not allowed"
    assert 'violation_type="transaction"} 1\n' in metrics  # of the second request


async def test_the_answer_is_the_explanation_that_the_command_prints() -> None:
    async with serving(server=ALLOWED) as running:
        reply = await dry(running)
        policy = running.daemon.policy.current
    told = explain(policy, TZ1, TRANSACTION, SigningVersion.LATEST, Client("127.0.0.1")).as_json()
    assert reply.value == json.loads(json.dumps(told))


async def test_no_mark_is_taken_and_no_lock_waited_for() -> None:
    vault, store = ScriptedVault(*PAIRS.values()), MemoryStore()
    vault.gate.clear()
    async with serving(vault, server=ALLOWED, watermark=store) as running:
        first = asyncio.create_task(running.sign(TZ1, attestation(10)))
        await vault.begun.wait()
        while_locked = await dry(running, attestation(10, payload=1))
        vault.gate.set()
        assert (await first).status == 200
        for level in (11, 12):
            assert (await dry(running, attestation(level))).value["allowed"] is True
        assert (await running.sign(TZ1, attestation(11))).status == 200
    assert while_locked.status == 200


async def test_the_vault_is_not_even_asked_for_the_key() -> None:
    vault = ScriptedVault()
    async with serving(vault, tezos=f"  {TZ1}: {EVERYTHING}\n", server=ALLOWED) as running:
        reply = await dry(running)
    assert (reply.status, vault.listed) == (200, 1)


async def test_it_is_403_where_it_is_not_allowed() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault) as running:
        reply = await dry(running)
    assert (reply.status, reply.message, vault.signed) == (403, "dry runs are not allowed", [])


@pytest.mark.parametrize("allowed", [ALLOWED, ""])
@pytest.mark.parametrize(
    "query",
    ["dry_run", "dry_run=", "dry_run=0", "dry_run=false", "dry_run=True", "dry_run=1&dry_run=0",
     "dry_run=1&dry_run=1", "dry_run=0&dry_run=1", "dry%5Frun=0", "Dry_Run=1", "dry-run=1", "dryrun=1",
     "DRY_RUN=true", "dry_run%20=1", "%20dry_run=1", "dry_run[]=1", "a=b;dry_run=1&dry_run", "dry_run=1%20",
     "version=1&dry_run=no", "dry_run=1&dryRun=1", "version=1;dry_run=1", "authentication=edsig;dry_run=1",
     "version=1%26dry_run=1", "version=1%3Bdry_run=1", "a=1?dry_run=1", "version=dry_run", "=dry_run",
     "dry%255Frun=1", "%2564ry_run=1", "%252564ry_run=1", "%2564ryrun=1", "version=1#dry_run=1",
     "dry_run=1#"],
)  # fmt: skip
async def test_a_query_that_speaks_of_a_dry_run_in_any_other_way_is_400_and_signs_nothing(
    query: str, allowed: str
) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, server=allowed) as running:
        reply = await dry(running, query=query)
    assert (reply.status, vault.signed) == (400, [])
    assert reply.message == "dry_run takes 1 or true, once; nothing was signed"


@pytest.mark.parametrize("path", [f"/keys/{TZ1}#dry_run=1", f"http://t/keys/{TZ1}#dry_run=1"])
async def test_behind_a_hash_sign_it_is_part_of_the_key_s_name(path: str) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, server=ALLOWED) as running:
        reply = await running.ask("POST", path, json.dumps(TRANSACTION.hex()).encode())
    assert (reply.status, vault.signed) == (400, [])


async def test_a_signature_with_the_letters_in_it_speaks_of_no_dry_run() -> None:
    async with serving() as running:
        assert (await running.sign(TZ1, TRANSACTION, "?authentication=edsigDryRunxdRYrUN")).status == 200


async def test_a_proof_of_possession_is_not_made_for_a_dry_run() -> None:
    vault = ScriptedVault(*PAIRS.values())
    tezos = f"  {TZ4}: {{allow_proof_of_possession: true}}\n"
    async with serving(vault, tezos=tezos, server=ALLOWED) as running:
        reply = await running.ask("GET", f"/bls_prove_possession/{TZ4}?dry_run=1")
    assert (reply.status, vault.calls) == (400, [])


async def test_a_request_that_cannot_be_read_is_400_as_ever() -> None:
    async with serving(server=ALLOWED) as running:
        assert (await dry(running, b"\x01")).message == "gotez: unknown tag 1"
        assert (await running.ask("POST", f"/keys/{TZ1}?dry_run=1", b"{")).status == 400
        assert (await running.ask("POST", "/keys/tz1x?dry_run=1", b'"03"')).status == 400
        version = await dry(running, query="dry_run=1&version=0", pkh=TZ4)
    assert (version.status, version.message) == (400, "SigningVersion0 is not supported for BLS keys")


async def test_a_key_that_is_not_listed_is_403_as_ever() -> None:
    async with serving(tezos=REFUSES, server=ALLOWED) as running:
        reply = await dry(running, pkh=TZ2)
    assert (reply.status, reply.message) == (403, f"{TZ2} is not listed in config")


async def test_who_asks_must_say_so_as_for_a_signature() -> None:
    server = f"{ALLOWED}  authorized_keys: [{CLIENT_KEY.text}]\n"
    proof = CLIENT.sign(client_bytes(PublicKeyHash.parse(TZ1), TRANSACTION))
    text = Signature(CLIENT.type, proof).text
    async with serving(server=server) as running:
        refused = await dry(running)
        told = await dry(running, query=f"dry_run=1&authentication={text}")
    assert (refused.status, refused.message) == (401, "missing authentication signature field")
    assert (told.status, told.value["client"]["key"]) == (200, CLIENT_KEY.id)


async def test_a_user_is_told_of_the_keys_he_may_use() -> None:
    tezos = f"  {TZ1}: {EVERYTHING[:-1]}, jwt_users: [{BOB}]}}\n"
    async with serving(tezos=tezos, server=ALLOWED + users()) as running:
        nobody = await dry(running)
        alice = await dry(running, headers=carries(token()))
        bob = await dry(running, headers=carries(token(BOB), BOB))
    assert (nobody.status, alice.status, bob.status) == (401, 403, 200)
    assert alice.message == f"user `{ALICE}' is not authorized to access {TZ1}"
    assert (bob.value["allowed"], bob.value["client"]["user"]) == (True, BOB)


async def test_a_dry_run_has_a_line_of_its_own_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "signatory")
    async with serving(server=ALLOWED) as running:
        await dry(running)
    assert "Dry run" in caplog.messages
    assert not any("Requesting signing" in one or "Signed" in one for one in caplog.messages)


def test_the_page_has_the_text_that_refuses_other_values() -> None:
    page = Path(__file__).parents[2] / "docs" / "http-api.md"
    assert "`dry_run takes 1 or true, once; nothing was signed`" in page.read_text()
