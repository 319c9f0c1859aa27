"""A daemon with a policy hook: what its clients see, and what is never done without an answer."""

import asyncio

from hook_server import Approver, Asked, always, hook, http, signing
from serving import PAIRS, TRANSACTION, TZ1, TZ4, ScriptedVault, attestation, serving

from signatory.hook.client import HttpHook
from signatory.tezos.keys import PublicKey

APPROVER = Approver(1)
KEYS = (PublicKey.parse(APPROVER.public_key),)
PROVING = f"  {TZ4}: {{allow_proof_of_possession: true, allow: {{attestation: }}}}\n"
REFUSED = (
    f'policy_violation_total{{address="{TZ1}",operation_type="request",violation_type="policy_hook"}} 1\n'
)


async def test_a_signed_yes_lets_a_request_through_and_tells_the_hook_what_it_is() -> None:
    async with hook(signing(APPROVER)) as fake, serving(hook=HttpHook(fake.address, KEYS)) as running:
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        await running.daemon._signer._hook.close()  # type: ignore[attr-defined]  # the one given above
    (asked,) = fake.asked
    assert list(asked.question) == ["request", "source", "public_key_hash", "nonce"]
    assert (asked.question["source"], asked.question["public_key_hash"]) == ("127.0.0.1", TZ1)


async def test_a_no_is_403_and_neither_the_vault_nor_the_mark_is_touched() -> None:
    vault = ScriptedVault(*PAIRS.values())
    answers = [http("403 Forbidden"), http("200 OK")]

    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with hook(script) as fake:
        client = HttpHook(fake.address, None)
        async with serving(vault, hook=client) as running:
            reply = await running.sign(TZ1, attestation(9))
            assert (reply.status, reply.message) == (403, "policy hook: 403 Forbidden")
            assert vault.calls == []
            assert REFUSED in await running.metrics()
            assert (await running.sign(TZ1, attestation(8))).status == 200
        await client.close()


async def test_no_answer_is_503_and_a_wrong_one_500() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with hook(always(http("200 OK"))) as fake:
        client = HttpHook(fake.address, KEYS)
        async with serving(vault, hook=client) as running:
            unsigned = await running.sign(TZ1, TRANSACTION)
            assert (unsigned.status, unsigned.message) == (
                500,
                "policy hook: the reply is not well-formed JSON",
            )
        await client.close()
    client = HttpHook(fake.address, KEYS)
    async with serving(vault, hook=client) as running:
        away = await running.sign(TZ1, TRANSACTION)
        assert (away.status, away.message) == (503, "policy hook: connection refused")
    await client.close()
    assert vault.calls == []


async def test_a_proof_is_asked_for_too_without_bytes() -> None:
    async with hook(always(http("403 Forbidden"))) as fake:
        client = HttpHook(fake.address, None)
        async with serving(tezos=PROVING, hook=client) as running:
            assert (await running.ask("GET", f"/bls_prove_possession/{TZ4}")).status == 403
        await client.close()
    assert fake.asked[0].body.startswith(b'{"request":null,"source":"127.0.0.1","public_key_hash":"tz4')


async def test_a_request_that_the_policy_refuses_is_not_asked_about() -> None:
    async with hook(always(http("200 OK"))) as fake:
        client = HttpHook(fake.address, None)
        async with serving(tezos=f"  {TZ1}: {{allow: {{block: }}}}\n", hook=client) as running:
            assert (await running.sign(TZ1, TRANSACTION)).status == 403
        await client.close()
    assert fake.asked == []


async def test_the_hook_of_the_configuration_is_asked() -> None:
    async with hook(signing(APPROVER, "403 Forbidden", error="not today")) as fake:
        section = f"policy_hook: {{address: '{fake.address}', authorized_keys: {APPROVER.public_key}}}\n"
        # The section stands before `tezos:`, at the left margin.
        async with serving(server=section) as running:
            reply = await running.sign(TZ1, TRANSACTION)
    assert (reply.status, reply.message) == (403, "policy hook: not today")
