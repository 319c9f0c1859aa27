"""What one request leaves behind: its lines in the log and its rows in the metrics, each by its own name."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from dynamodb import SLOW_MACHINE, Emulated, emulated
from serving import CHAIN, EVERYTHING, PAIRS, TRANSACTION, TZ1, ScriptedVault, attestation, serving

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature
from signatory.watermark.dynamodb import DynamoStore

CLIENT = keypair.from_secret(KeyType.ED25519, bytes([7]) * 32, purpose=Purpose.TEZOS)
CLIENT_KEY = PublicKey(CLIENT.type, CLIENT.public)
STRANGER = PublicKey(KeyType.ED25519, PAIRS[KeyType.ED25519].public)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Emulated]:
    with emulated() as running:
        yield running


def signed_by_client(message: bytes) -> str:
    signature = CLIENT.sign(client_bytes(PublicKeyHash.parse(TZ1), message))
    return f"?authentication={Signature(CLIENT.type, signature).text}"


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[dict[str, Any]]:
    return [vars(record)["fields"] for record in caplog.records if record.getMessage() == text]


async def test_the_lines_of_a_signature_have_the_fields_of_the_reference(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(server=f"  authorized_keys: [{CLIENT_KEY.text}]") as running:
        for message in (attestation(9, 2), TRANSACTION):
            assert (await running.sign(TZ1, message, signed_by_client(message))).status == 200
    who = {"pkh": TZ1, "client_pkh": CLIENT_KEY.id, "vault": "Scripted"}
    consensus = {**who, "request": "attestation", "chain_id": CHAIN, "lvl": 9, "round": 2}
    batch = {**who, "request": "generic", "ops": {"transaction": 1}, "ops_total": 1}
    assert lines(caplog, "Requesting signing operation") == [consensus, batch]
    assert lines(caplog, "Signed attestation successfully") == [consensus]
    assert lines(caplog, "Signed generic successfully") == [batch]


async def test_a_double_signing_is_counted_as_a_rejection_with_one_reason() -> None:
    async with serving() as running:
        await running.sign(TZ1, attestation(9))
        assert (await running.sign(TZ1, attestation(9, payload=1))).status == 409
        metrics = await running.metrics()
    where = f'address="{TZ1}",chain_id="{CHAIN}",operation_type="attestation"'
    for line in (
        f'watermark_rejection_total{{{where},reason="watermark validation failed"}} 1',
        f'vault_sign_request_error_total{{chain_id="{CHAIN}",code="409",vault="Scripted"}} 1',
        'watermark_operations_total{backend="mem",request_type="attestation",result="rejected"} 1',
        f'consensus_round_total{{{where},round="0"}} 1',
    ):
        assert f"{line}\n" in metrics


async def test_a_client_who_may_not_use_the_key_is_counted_by_the_list_that_refused_it() -> None:
    tezos = f"  {TZ1}: {EVERYTHING[:-1]}, authorized_keys: [{STRANGER.text}]}}\n"
    async with serving(tezos=tezos, server=f"  authorized_keys: [{CLIENT_KEY.text}]") as running:
        reply = await running.sign(TZ1, TRANSACTION, signed_by_client(TRANSACTION))
        metrics = await running.metrics()
    assert (reply.status, reply.message) == (403, f"client `{CLIENT_KEY.id}' is not allowed")
    refused = 'auth_method="authorized_keys",client_ip="127.0.0.1",status="403"'
    assert f"authentication_failure_total{{{refused}}} 1\n" in metrics
    violation = f'address="{TZ1}",operation_type="request",violation_type="authentication"'
    assert f"policy_violation_total{{{violation}}} 1\n" in metrics


async def test_the_duration_of_a_signature_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = ScriptedVault(*PAIRS.values())
    now = 100.0
    monkeypatch.setattr("signatory.server.records.time.perf_counter", lambda: now)

    def takes_a_second_and_a_half() -> None:
        nonlocal now
        now += 1.5

    vault.before_sign = takes_a_second_and_a_half
    async with serving(vault) as running:
        await running.sign(TZ1, attestation(9))
        metrics = await running.metrics()
    labels = f'address="{TZ1}",chain_id="{CHAIN}",op="attestation",vault="Scripted"'
    assert f"vault_sign_request_duration_milliseconds_sum{{{labels}}} 1500\n" in metrics


async def test_the_calls_of_a_table_are_counted_under_its_name(dynamodb: Emulated) -> None:
    where = dynamodb.settings()
    async with serving(watermark=DynamoStore(where, patience=SLOW_MACHINE)) as running:
        assert (await running.sign(TZ1, attestation(9))).status == 200
        metrics = await running.metrics()
    labels = f'backend="aws",operation="write",result="success",table_name="{where.table}"'
    assert f"watermark_io_operations_total{{{labels}}} 1\n" in metrics
