"""What a key may do at most, over real sockets: amounts, rate, steps, grammars, and bytes after the end."""

import asyncio

import pytest
from serving import CHAIN_BYTES, PAIRS, TRANSACTION, TZ1, TZ2, TZ4, ScriptedVault, attestation, serving

from signatory.hook.seam import Question
from signatory.vault import Call
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark

OTHER = bytes.fromhex("6c" + "00" * 21 + "e807b960e852ac02c096b102" + "0000" + "07" * 20 + "00")
"""The operation of TRANSACTION again: a fee of 1,000 mutez, an amount of 5,000,000."""


def limited(limits: str, allow: str = "{generic: [transaction], attestation: , block: }") -> str:
    return f"  {TZ1}: {{allow: {allow}, limits: {limits}}}\n"


def trailing(data: bytes) -> bytes:
    return data + b"\x00"


async def test_amounts_are_summed_over_the_batch() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, tezos=limited("{max_amount: 9999999}")) as running:
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        refused = await running.sign(TZ1, TRANSACTION + OTHER)
        page = await running.metrics()

    assert refused.status == 403
    assert "10000000" in refused.message.replace(",", "")
    assert vault.signed == [TRANSACTION]
    (line,) = [line for line in page.splitlines() if line.startswith("policy_violation_total{")]
    assert 'violation_type="max_amount"' in line
    assert line.endswith(" 1")


async def test_only_so_many_requests_pass_in_the_time_and_refused_ones_do_not_count() -> None:
    vault = ScriptedVault(*PAIRS.values())
    limits = "{max_amount: 9999999, rate: {requests: 2, seconds: 3600}}"
    async with serving(vault, tezos=limited(limits)) as running:
        too_much = [(await running.sign(TZ1, TRANSACTION + OTHER)).status for _ in range(3)]
        found = [await running.sign(TZ1, TRANSACTION) for _ in range(4)]

    assert too_much == [403, 403, 403]
    assert [one.status for one in found] == [200, 200, 403, 403]
    assert found[2].message == "more than 2 requests within 3600 s are not allowed"
    assert vault.signed == [TRANSACTION] * 2


async def test_no_more_pass_when_they_all_come_at_once() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, tezos=limited("{rate: {requests: 3, seconds: 3600}}")) as running:
        asking = [asyncio.create_task(running.sign(TZ1, TRANSACTION)) for _ in range(10)]
        await vault.begun.wait()
        vault.gate.set()
        statuses = sorted([(await one).status for one in asking])

    assert statuses == [200] * 3 + [403] * 7
    assert len(vault.signed) == 3


async def test_a_level_far_above_the_mark_is_refused_and_the_mark_stays() -> None:
    store = MemoryStore()
    async with serving(tezos=limited("{max_level_step: 10}"), watermark=store) as running:
        first = await running.sign(TZ1, attestation(1_000))
        far = await running.sign(TZ1, attestation(1_011))
        near = await running.sign(TZ1, attestation(1_010))

    assert (first.status, far.status, near.status) == (200, 403, 200)
    assert far.message == "level 1011 is more than 10 above the mark 1000"


async def test_the_step_counts_from_the_mark_of_the_slot_not_of_the_kind() -> None:
    allow = "{attestation: , attestation_with_dal: }"
    async with serving(tezos=limited("{max_level_step: 10}", allow)) as running:
        await running.sign(TZ1, attestation(1_000))
        far = await running.sign(TZ1, attestation(2_000, dal=True))
        near = await running.sign(TZ1, attestation(1_001, dal=True))

    assert (far.status, near.status) == (403, 200)


@pytest.mark.parametrize("message", [trailing(attestation(5)), trailing(bytes.fromhex("050002"))])
async def test_bytes_after_the_end_are_signed_only_where_the_key_says_so(message: bytes) -> None:
    allow = "allow: {attestation: , pack: }"
    tezos = f"  {TZ1}: {{{allow}}}\n  {TZ4}: {{{allow}, allow_trailing_bytes: true}}\n"
    async with serving(tezos=tezos) as running:
        strict, lax = await running.sign(TZ1, message), await running.sign(TZ4, message)
        generic = await running.sign(TZ4, TRANSACTION + b"\x00")

    assert (strict.status, lax.status, generic.status) == (400, 200, 400)


async def test_a_client_cannot_choose_the_grammar_that_policy_reads() -> None:
    """Tag 23 is an attestation under 022, and an attestation with DAL under 025."""
    vault = ScriptedVault(*PAIRS.values())
    tezos = f"  {TZ1}: {{allow: {{attestation: }}}}\n"
    async with serving(vault, tezos=tezos) as running:
        plain = await running.sign(TZ1, attestation(5, dal=True))
        older = await running.sign(TZ1, attestation(5, dal=True), "?version=1")
        same = await running.sign(TZ1, attestation(5), "?version=1")

    assert (plain.status, older.status, same.status) == (403, 403, 200)
    assert vault.signed == [attestation(5)]


async def test_the_chain_is_part_of_the_mark_that_the_step_counts_from() -> None:
    elsewhere = attestation(5_000).replace(CHAIN_BYTES, bytes.fromhex("af1864d9"))
    async with serving(tezos=limited("{max_level_step: 10}")) as running:
        statuses = [(await running.sign(TZ1, one)).status for one in (attestation(5), elsewhere)]

    assert statuses == [200, 200]


async def test_what_the_mark_refuses_does_not_count_towards_the_rate() -> None:
    async with serving(tezos=limited("{rate: {requests: 2, seconds: 3600}}")) as running:
        messages = [attestation(5), *(attestation(5, payload=one) for one in (1, 2, 3)), attestation(6)]
        statuses = [(await running.sign(TZ1, one)).status for one in messages]
        last = await running.sign(TZ1, attestation(7))

    assert statuses == [200, 409, 409, 409, 200]
    assert last.status == 403


class Crowded(MemoryStore):
    """Remembers who was inside `advance` together, and lets nobody out before the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.most: list[str] = []
        self.gate = asyncio.Event()

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        self.inside.append(pkh)
        self.most = max(self.most, self.inside[:], key=len)
        await self.gate.wait()
        try:
            await super().advance(chain, pkh, kind, mark)
        finally:
            self.inside.remove(pkh)


class Counting:
    """A hook that says when so many were asked; whoever it allows goes on to the lock at once."""

    def __init__(self, many: int) -> None:
        self.left = many
        self.all_asked = asyncio.Event()

    async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
        self.left -= 1
        if not self.left:
            self.all_asked.set()


async def test_both_forms_of_an_attestation_wait_for_one_lock_and_other_keys_do_not() -> None:
    store, hook = Crowded(), Counting(5)
    async with serving(watermark=store, hook=hook) as running:
        forms = [attestation(5), attestation(5, dal=True), attestation(6), attestation(6, dal=True)]
        asking = [asyncio.create_task(running.sign(TZ1, one)) for one in forms]
        asking.append(asyncio.create_task(running.sign(TZ2, attestation(5))))
        await hook.all_asked.wait()
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(*asking)

    assert sorted(store.most) == sorted([TZ1, TZ2])


async def test_a_refused_limit_is_no_requested_signature_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="signatory")
    async with serving(tezos=limited("{rate: {requests: 1, seconds: 3600}}")) as running:
        for _ in range(2):
            await running.sign(TZ1, TRANSACTION)

    assert [record.message for record in caplog.records].count("Requesting signing operation") == 1
