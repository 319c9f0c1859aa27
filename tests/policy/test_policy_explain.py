"""The explanation: what was read of the bytes, what the rules say, and that it is what the signer decides."""

import json

import pytest
from policy_samples import (
    DRAIN,
    KT1_TEXT,
    MAINNET,
    TZ1_TEXT,
    TZ2_TEXT,
    block,
    delegation,
    generic,
    limited,
    transaction,
)
from policy_samples import KEY as TZ1

from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import MalformedError
from signatory.policy import explain as module
from signatory.policy.explain import Explanation, explain
from signatory.policy.rules import evaluate
from signatory.policy.values import Client, KeyPolicy, Policy
from signatory.tezos import requests
from signatory.tezos.keys import PublicKeyHash

TZ4 = "tz4XXtsYav3fZz2FSDa7hcx4F8sh8SaDWNME"
NOBODY = Client("192.0.2.1")
LATEST = SigningVersion.LATEST
BLOCKS = KeyPolicy(requests=frozenset({"block"}))


def asked(
    message: bytes, key: KeyPolicy | None, version: SigningVersion = LATEST, pkh: str = TZ1
) -> Explanation:
    return explain(Policy({} if key is None else {pkh: key}), pkh, message, version, NOBODY)


def test_a_batch_is_told_operation_by_operation() -> None:
    found = asked(generic(transaction(5, 400), delegation(), DRAIN), limited(max_amount=4)).as_json()
    assert (found["allowed"], found["rule"]) == (False, "limits.max_amount")
    assert found["message"] == "operation `drain_delegate' moves an amount that cannot be read"
    first, second, third = found["request"]["operations"]
    assert first == {
        "kind": "transaction",
        "source": TZ1_TEXT,
        "fee": 400,
        "amount": 5,
        "amount_unknown": False,
        "destinations": [KT1_TEXT],
    }
    assert (second["kind"], second["destinations"], second["fee"]) == ("delegation", [TZ2_TEXT], 500)
    assert third["amount_unknown"]
    assert TZ2_TEXT in third["destinations"]


def test_a_block_is_told_with_its_place_and_the_rules_with_their_verdicts() -> None:
    found = asked(block(7, 3), BLOCKS).as_json()
    assert found["allowed"]
    assert found["request"] == {
        "kind": "block",
        "chain_id": MAINNET,
        "level": 7,
        "round": 3,
        "operation_count": 0,
        "operations": [],
    }
    assert found["key"] == TZ1
    assert found["version"] == "latest"
    assert found["client"] == {"source": "192.0.2.1", "key": None, "user": None}
    assert {"rule": "allow", "outcome": "passed", "text": ""} in found["rules"]
    assert {"rule": "limits.rate", "outcome": "not set", "text": ""} in found["rules"]


@pytest.mark.parametrize("key", [None, KeyPolicy(), BLOCKS, limited(max_amount=0), limited(max_fee=10**6)])
@pytest.mark.parametrize("message", [block(1), generic(transaction()), generic()])
def test_it_decides_what_the_signer_decides(key: KeyPolicy | None, message: bytes) -> None:
    policy = Policy({} if key is None else {TZ1: key})
    decision = evaluate(policy, TZ1, requests.parse(message), NOBODY)
    assert asked(message, key).decision == decision


def test_the_explanation_is_json_with_every_refusal_in_order() -> None:
    found = json.loads(json.dumps(asked(generic(transaction()), KeyPolicy()).as_json()))
    refusals = [rule["rule"] for rule in found["rules"] if rule["outcome"] == "refused"]
    assert refusals == ["allow", "allow.generic"]
    assert found["rule"] == "allow"
    assert found["message"] == "request kind `generic' is not allowed"


@pytest.mark.parametrize("message", [b"", b"\x01", b"\x03", generic(b"\x6c"), block(1) + b"\x00"])
def test_bytes_that_are_no_request_are_malformed_as_when_they_are_to_be_signed(message: bytes) -> None:
    with pytest.raises(MalformedError):
        asked(message, BLOCKS)


def test_bytes_after_the_end_are_let_pass_where_the_key_lets_them() -> None:
    lax = KeyPolicy(requests=frozenset({"block"}), allow_trailing_bytes=True)
    assert asked(block(1) + b"\x00", lax).allowed
    with pytest.raises(MalformedError):
        asked(generic(transaction()) + b"\x00", lax)


@pytest.mark.parametrize(("version", "name"), [(0, "0"), (1, "1"), (2, "2"), (255, "latest")])
def test_the_version_is_told_and_one_that_the_key_cannot_sign_with_is_malformed(
    version: int, name: str
) -> None:
    assert asked(block(1), BLOCKS, SigningVersion(version)).as_json()["version"] == name
    if version == 0:
        with pytest.raises(MalformedError, match="SigningVersion0 is not supported"):
            asked(block(1), BLOCKS, SigningVersion.V0, TZ4)


def test_two_readings_are_told_before_a_version_that_the_key_cannot_sign_with_as_to_the_signer() -> None:
    tz5 = PublicKeyHash(KeyType.MLDSA44, b"\xa5" * 20).text
    attestation = b"\x17" + bytes(2) + bytes(8) + bytes(32) + b"\x05"
    message = b"\x13" + bytes(4) + bytes(32) + attestation
    found = asked(message, KeyPolicy(), SigningVersion.V1, tz5)
    assert (found.allowed, found.decision.rule) == (False, "version")
    with pytest.raises(MalformedError):
        asked(message.replace(b"\x17", b"\x15", 1)[:-1], KeyPolicy(), SigningVersion.V1, tz5)


def test_a_request_that_reads_otherwise_in_the_other_grammar_is_refused_as_the_signer_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No bytes are known that both grammars take and read differently, so a reading is put in its place."""
    key = KeyPolicy(requests=frozenset({"generic"}), operations=frozenset({"transaction"}))
    message = generic(transaction())
    agreed = asked(message, key, SigningVersion.V1)
    assert agreed.allowed

    def conflicting(*_: object, **__: object) -> None:
        raise requests.GrammarConflictError("reveal", "transaction")

    monkeypatch.setattr(requests, "understood", conflicting)
    assert asked(message, key).allowed
    found = asked(message, key, SigningVersion.V1)
    assert (found.allowed, found.decision.rule) == (False, "version")
    assert found.decision.message == (
        "the request reads differently under protocol 025: `transaction', not `reveal'"
    )
    assert asked(message, None, SigningVersion.V1).decision.rule == "tezos"


def test_long_batches_are_counted_and_told_in_part() -> None:
    count = module.SHOWN + 5
    found = asked(generic(*[transaction(1)] * count), limited()).as_json()
    assert found["allowed"]
    assert found["request"]["operation_count"] == count
    assert len(found["request"]["operations"]) == module.SHOWN


def test_numbers_that_no_amount_can_be_are_told_as_text() -> None:
    assert module._number(2**63 - 1) == 2**63 - 1
    assert module._number(2**63) == "0x8000000000000000"
    assert module._number(None) is None
    assert len(str(module._number(10**5000))) < 5000
