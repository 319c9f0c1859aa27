"""What must never leave: a signature that does not verify, or without a durable mark, or past the policy."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from serving import EVERYTHING, PAIRS, TRANSACTION, TZ1, TZ4, ScriptedVault, attestation, serving, settings

from signatory.audit.sink import Intent
from signatory.config.load import policy_of
from signatory.crypto.curves import KeyType
from signatory.errors import DeniedError, IntegrityError, SignatoryError, UnavailableError
from signatory.hook.seam import Question
from signatory.limits import Limits
from signatory.vault import Call
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark


def flipped(signature: bytes) -> bytes:
    return bytes([signature[0] ^ 1]) + signature[1:]


@pytest.mark.parametrize(
    "lie",
    [flipped, lambda _: b"", lambda _: bytes(64), lambda signature: signature + b"\0", lambda _: bytes(5000)],
)
@pytest.mark.parametrize("pkh", [TZ1, TZ4])
async def test_a_lying_vault_is_500_and_nothing_of_its_answer_leaves(lie: Any, pkh: str) -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.tamper = lie
    async with serving(vault) as running:
        reply = await running.sign(pkh, TRANSACTION)
    assert (reply.status, reply.message) == (500, "the vault answered with a signature that does not verify")


async def test_a_lying_proof_of_possession_is_500() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.tamper = flipped
    async with serving(vault, tezos=f"  {TZ4}: {{allow_proof_of_possession: true}}") as running:
        assert (await running.ask("GET", f"/bls_prove_possession/{TZ4}")).status == 500


async def test_a_vault_that_signs_another_message_is_found_out() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.tamper = lambda _: PAIRS[KeyType.ED25519].sign(b"another")
    async with serving(vault) as running:
        assert (await running.sign(TZ1, TRANSACTION)).status == 500


class ResettableVault(ScriptedVault):
    """A vault over a connection that can be dropped."""

    dropped: tuple[str, ...] = ()

    async def reset(self, reason: str) -> None:
        self.dropped += (reason,)


async def test_a_vault_whose_answer_does_not_verify_is_told_to_drop_its_connection() -> None:
    vault = ResettableVault(*PAIRS.values())
    policy = f"  {TZ1}: {EVERYTHING}\n  {TZ4}: {{allow_proof_of_possession: true}}"
    async with serving(vault, tezos=policy) as running:
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        assert not vault.dropped
        vault.tamper = flipped
        assert (await running.sign(TZ1, TRANSACTION)).status == 500
        assert (await running.ask("GET", f"/bls_prove_possession/{TZ4}")).status == 500
    assert vault.dropped == 2 * ("the vault answered with a signature that does not verify",)


@pytest.mark.parametrize(("error", "status"), [(UnavailableError("down"), 503), (IntegrityError("odd"), 500)])
async def test_errors_of_a_vault_keep_their_status_and_text(error: SignatoryError, status: int) -> None:
    vault = ScriptedVault(*PAIRS.values())

    def fail() -> None:
        raise error

    vault.before_sign = fail
    async with serving(vault) as running:
        reply = await running.sign(TZ1, TRANSACTION)
    assert (reply.status, reply.message) == (status, str(error))


async def test_a_bug_in_a_vault_is_500_without_its_words() -> None:
    vault = ScriptedVault(*PAIRS.values())

    def fail() -> None:
        raise KeyError("a secret")

    vault.before_sign = fail
    async with serving(vault) as running:
        reply = await running.sign(TZ1, TRANSACTION)
    assert (reply.status, reply.message) == (500, "internal error")


class BrokenDisk(MemoryStore):
    """Marks that cannot be made durable."""

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:  # noqa: ARG002 - the seam's shape
        raise UnavailableError("cannot write the mark: No space left on device")


async def test_without_a_durable_mark_the_vault_is_not_asked_and_the_answer_is_503_not_409() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, watermark=BrokenDisk()) as running:
        reply = await running.sign(TZ1, attestation(1))
    assert (reply.status, vault.calls) == (503, [])


class FullDisk(BrokenDisk):
    """The same, until there is room again."""

    full = True

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        if self.full:
            await super().advance(chain, pkh, kind, mark)
        await MemoryStore.advance(self, chain, pkh, kind, mark)


async def test_a_daemon_that_cannot_write_marks_is_not_ready_until_it_can() -> None:
    disk = FullDisk()
    async with serving(watermark=disk) as running:
        assert (await running.ask("GET", "/healthz", utility=True)).status == 200
        await running.sign(TZ1, attestation(1))
        reply = await running.ask("GET", "/healthz?verbose", utility=True)
        assert (reply.status, reply.value["ready"]) == (503, False)
        reason = "cannot write the mark: No space left on device"
        assert reply.value["watermark"] == {"ready": False, "reason": reason}
        disk.full = False
        assert (await running.sign(TZ1, attestation(1))).status == 200
        assert (await running.ask("GET", "/healthz", utility=True)).status == 200


async def test_a_mark_that_cannot_be_written_is_counted_as_a_failed_write_and_not_as_a_rejection(
    tmp_path: Path,
) -> None:
    async with serving(watermark=FileStore(tmp_path)) as running:
        assert (await running.sign(TZ1, attestation(1))).status == 200
        shutil.rmtree(tmp_path / "watermark_journal")
        assert (await running.sign(TZ1, attestation(2))).status == 503
        assert (await running.sign(TZ1, attestation(1, payload=1))).status == 409
        metrics = await running.metrics()
    labels = 'backend="file",error_type="ESTALE",operation="write",table_name=""'
    assert f"watermark_io_errors_total{{{labels}}} 1\n" in metrics
    for result in ("success", "rejected"):
        labels = f'backend="file",request_type="attestation",result="{result}"'
        assert f"watermark_operations_total{{{labels}}} 1\n" in metrics
    assert 'watermark_operation_duration_seconds_count{backend="file"} 3\n' in metrics


async def test_a_daemon_that_nobody_asks_any_more_is_given_another_chance_to_write_marks() -> None:
    async with serving(watermark=FullDisk(), limits=Limits(trouble=0)) as running:
        assert (await running.sign(TZ1, attestation(1))).status == 503
        assert (await running.ask("GET", "/healthz", utility=True)).status == 200


async def test_the_mark_is_set_before_the_vault_is_asked_and_stays_when_it_fails() -> None:
    vault, store = ScriptedVault(*PAIRS.values()), MemoryStore()
    seen: list[int] = []

    def look() -> None:
        seen.append(store._chains["NetXdQprcVkpaWU"][TZ1]["attestation"].level)
        if len(seen) == 1:
            raise UnavailableError("lost")

    vault.before_sign = look
    async with serving(vault, watermark=store) as running:
        assert (await running.sign(TZ1, attestation(8, payload=1))).status == 503
        assert (await running.sign(TZ1, attestation(8, payload=2))).status == 409
        assert (await running.sign(TZ1, attestation(8, payload=1))).status == 200
    assert seen == [8, 8]


async def test_a_policy_swapped_while_a_request_waits_is_the_one_that_decides() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault) as running:

        class Swap:
            async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
                running.daemon.policy.current = policy_of(settings(f"  {TZ4}: {EVERYTHING}"))

        running.daemon._signer._hook = Swap()
        reply = await running.sign(TZ1, attestation(1))
    assert (reply.status, reply.message, vault.calls) == (403, f"{TZ1} is not listed in config", [])


class Refusing:
    """A hook that says no and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
        self.asked.append(question)
        raise DeniedError("policy hook: 403 Forbidden")


async def test_the_hook_is_asked_after_the_policy_and_before_the_mark() -> None:
    vault, hook = ScriptedVault(*PAIRS.values()), Refusing()
    async with serving(vault, hook=hook) as running:
        refused = await running.sign(TZ1, attestation(1))
        await running.sign(TZ1, b"\x03")
        metrics = await running.metrics()
    assert (refused.status, refused.message, vault.calls) == (403, "policy hook: 403 Forbidden", [])
    (question,) = hook.asked
    assert (question.public_key_hash, question.source, question.message) == (TZ1, "127.0.0.1", attestation(1))
    assert (
        f'policy_violation_total{{address="{TZ1}",operation_type="request",violation_type="policy_hook"}} 1\n'
        in metrics
    )
    assert "watermark_operations_total{" not in metrics


class Ledger:
    """An audit sink that keeps the order of things, and fails where it is told to."""

    def __init__(self, fail: str = "") -> None:
        self.rows: list[tuple[str, str]] = []
        self.fail = fail

    async def intent(self, intent: Intent) -> None:
        self.rows.append(("intent", intent.kind))
        if self.fail == "intent":
            raise UnavailableError("the audit disk is full")

    async def outcome(self, intent: Intent, outcome: str) -> None:
        self.rows.append((outcome, intent.kind))
        if self.fail == "outcome":
            raise UnavailableError("the audit disk is full")


async def test_audit_has_an_intent_and_an_outcome_for_every_end() -> None:
    vault, ledger = ScriptedVault(*PAIRS.values()), Ledger()
    async with serving(vault, audit=ledger) as running:
        await running.sign(TZ1, TRANSACTION)
        vault.tamper = flipped
        await running.sign(TZ1, TRANSACTION)
    assert ledger.rows == [
        ("intent", "generic"),
        ("signed", "generic"),
        ("intent", "generic"),
        ("integrity", "generic"),
    ]


@pytest.mark.parametrize(("fail", "asked"), [("intent", 0), ("outcome", 1)])
async def test_without_a_durable_audit_record_no_signature_leaves(fail: str, asked: int) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, audit=Ledger(fail)) as running:
        reply = await running.sign(TZ1, TRANSACTION)
    assert (reply.status, len(vault.calls)) == (503, asked)
