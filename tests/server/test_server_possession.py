"""Proofs of possession over another public key: for the aggregates that are listed, and for nothing else."""

import base58
import py_arkworks_bls12381 as ark
import pytest
from serving import PAIRS, TZ1, TZ4, Reply, Running, ScriptedVault, serving, settings

from signatory.config.load import policy_of
from signatory.crypto import keypair
from signatory.crypto.curves import KeyType
from signatory.errors import DeniedError, SignatoryError
from signatory.hook.seam import Question
from signatory.tezos.keys import PublicKey
from signatory.vault import Call, VaultKey

OTHERS = [keypair.from_secret(KeyType.BLS, bytes([number]) * 32) for number in (3, 4)]
LISTED, UNLISTED = (PublicKey(pair.type, pair.public) for pair in OTHERS)
OWN = PublicKey(KeyType.BLS, PAIRS[KeyType.BLS].public)
TEZOS = f"  {TZ4}: {{allow_proof_of_possession: true, prove_possession_for: [{LISTED.text}]}}\n"
REFUSED = "proof of possession over this public key is not allowed"


class Prover(ScriptedVault):
    """A vault that makes both kinds of proofs, and remembers over what."""

    def __init__(self) -> None:
        super().__init__(*PAIRS.values())
        self.proved: list[bytes] = []

    async def prove_possession_of(self, key: VaultKey, public_key: bytes, call: Call) -> bytes:
        self.calls.append(call)
        self.proved.append(public_key)
        return self.tamper(self.pairs[key.id].prove(public_key))


def proves_over(public: bytes, over: bytes, proof: bytes) -> bool:
    """Of the scheme of the BLS draft, by a library that signs nothing here."""
    point = ark.G2Point.hash_to_curve(over, b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_")
    left = ark.GT.pairing(ark.G1Point(), ark.G2Point.from_compressed_bytes(proof))
    return bool(left == ark.GT.pairing(ark.G1Point.from_compressed_bytes(public), point))


async def prove(running: Running, query: str, pkh: str = TZ4) -> Reply:
    return await running.ask("GET", f"/bls_prove_possession/{pkh}{query}")


@pytest.mark.parametrize("name", ["bls_pk", "override_pk"])
async def test_a_proof_over_a_listed_aggregate_verifies_with_an_independent_library(name: str) -> None:
    vault = Prover()
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, f"?{name}={LISTED.text}")
        both = await prove(running, f"?bls_pk={LISTED.text}&override_pk={LISTED.text}")
    assert reply.status == 200
    assert reply.body == both.body
    proof = base58.b58decode_check(reply.value["bls_prove_possession"])[4:]
    assert proves_over(OWN.data, LISTED.data, proof)
    assert not proves_over(OWN.data, OWN.data, proof)
    assert vault.proved == [LISTED.data] * 2


async def test_a_proof_over_the_key_itself_is_made_as_ever() -> None:
    vault = Prover()
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, "")
    proof = base58.b58decode_check(reply.value["bls_prove_possession"])[4:]
    assert proves_over(OWN.data, OWN.data, proof)
    assert vault.proved == []


@pytest.mark.parametrize("key", [UNLISTED, OWN], ids=["another key", "the key itself"])
@pytest.mark.parametrize(
    "tezos",
    [
        TEZOS,
        f"  {TZ4}: {{allow_proof_of_possession: true}}\n",
        f"  {TZ4}: {{prove_possession_for: [{UNLISTED.text}, {OWN.text}]}}\n",
        f"  {TZ4}: {{allow_proof_of_possession: true, prove_possession_for: []}}\n",
        f"  {TZ4}:\n",
    ],
)
async def test_a_proof_over_any_other_key_is_403_and_never_made(key: PublicKey, tezos: str) -> None:
    vault = Prover()
    async with serving(vault, tezos=tezos) as running:
        reply = await prove(running, f"?bls_pk={key.text}")
    assert (reply.status, reply.message) == (403, REFUSED)
    assert (vault.proved, vault.calls) == ([], [])


async def test_a_key_that_is_not_listed_is_said_to_be_so_first() -> None:
    async with serving(Prover(), tezos=f"  {TZ1}:\n") as running:
        reply = await prove(running, f"?bls_pk={LISTED.text}")
    assert (reply.status, reply.message) == (403, f"{TZ4} is not listed in config")


@pytest.mark.parametrize(
    "query",
    [
        f"?bls_pk={LISTED.text}&override_pk={UNLISTED.text}",
        f"?override_pk={UNLISTED.text}&bls_pk={LISTED.text}",
        f"?bls_pk={LISTED.text}&bls_pk={UNLISTED.text}",
        f"?bls_pk={LISTED.text}&bls_pk=",
        "?bls_pk=",
        "?override_pk",
        "?bls_pk=BLpk",
        f"?bls_pk={TZ4}",
        f"?bls_pk={LISTED.text[:-1]}",
        f"?bls_pk={LISTED.data.hex()}",
        f"?bls_pk={PublicKey(KeyType.ED25519, PAIRS[KeyType.ED25519].public).text}",
        f"?bls_pk={PublicKey(KeyType.BLS, bytes([0xC0]) + bytes(47)).text}",
        f"?bls_pk={PublicKey(KeyType.BLS, bytes([0x80]) + bytes(46) + bytes([4])).text}",
        f"?bls_pk={PublicKey(KeyType.BLS, b'x' * 48).text}",
    ],
)
async def test_what_is_not_one_bls_public_key_is_400_and_no_proof_is_made(query: str) -> None:
    vault = Prover()
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, query)
    assert (reply.status, vault.calls) == (400, [])
    assert reply.message


async def test_a_vault_that_proves_only_its_own_keys_is_400_for_a_listed_aggregate() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, f"?bls_pk={LISTED.text}")
    assert (reply.status, reply.message, vault.calls) == (400, "proof of possession is not supported", [])


async def test_a_proof_over_the_wrong_key_does_not_leave() -> None:
    vault = Prover()
    vault.tamper = lambda _: PAIRS[KeyType.BLS].prove(UNLISTED.data)
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, f"?bls_pk={LISTED.text}")
        own = await prove(running, "")
    assert (reply.status, own.status) == (500, 500)
    assert reply.message == "the vault answered with a signature that does not verify"


async def test_an_aggregate_that_is_taken_off_the_list_while_the_hook_is_asked_is_not_proved() -> None:
    vault = Prover()

    class Removes:
        async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
            running.daemon.policy.current = policy_of(settings(f"  {TZ4}: {{}}\n"))

    async with serving(vault, tezos=TEZOS, hook=Removes()) as running:
        reply = await prove(running, f"?bls_pk={LISTED.text}")
    assert (reply.status, vault.calls) == (403, [])


class Acting:
    """A hook that does something while it is asked."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.vault: Prover | None = None
        self.error: SignatoryError | None = None

    async def ask(self, question: Question, call: Call) -> None:  # noqa: ARG002 - the seam's shape
        if self.error:
            raise self.error
        if self.running and self.vault:
            del self.vault.pairs[TZ4]
            await self.running.keyring.refresh()


async def test_a_key_that_its_vault_lost_while_the_hook_thought_proves_nothing() -> None:
    vault, hook = Prover(), Acting()
    async with serving(vault, tezos=TEZOS, hook=hook) as running:
        hook.running, hook.vault = running, vault
        reply = await prove(running, "")
    assert reply.status == 404
    assert not vault.calls


@pytest.mark.parametrize(
    ("tezos", "query", "status"),
    [
        (f"  {TZ1}:\n", "", 403),
        (f"  {TZ4}:\n", "", 400),
        (f"  {TZ4}: {{allow_proof_of_possession: true}}\n", f"?bls_pk={LISTED.text}", 403),
    ],
    ids=["the key", "the right to prove", "the aggregate"],
)
async def test_what_a_reload_takes_while_the_vault_proves_keeps_the_proof_in(
    tezos: str, query: str, status: int
) -> None:
    vault = Prover()

    def taken(proof: bytes) -> bytes:
        running.daemon.policy.current = policy_of(settings(tezos))
        return proof

    vault.tamper = taken
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, query)
    assert (reply.status, len(vault.calls)) == (status, 1)


async def test_a_key_that_its_vault_lost_while_it_proved_keeps_the_proof_in() -> None:
    class Losing(Prover):
        async def prove_possession(self, key: VaultKey, call: Call) -> bytes:
            proof = await super().prove_possession(key, call)
            del self.pairs[key.id]
            await running.keyring.refresh()
            return proof

    vault = Losing()
    async with serving(vault, tezos=TEZOS) as running:
        reply = await prove(running, "")
    assert (reply.status, len(vault.calls)) == (404, 1)


async def test_a_hook_that_refuses_a_proof_is_counted_and_a_vault_that_fails_is_not() -> None:
    vault, hook = Prover(), Acting()
    hook.error = DeniedError("policy hook: 403 Forbidden")
    async with serving(vault, tezos=TEZOS, hook=hook) as running:
        refused = await prove(running, "")
        hook.error = None
        vault.tamper = lambda proof: proof[:-1] + bytes([proof[-1] ^ 1])
        failed = await prove(running, "")
        page = await running.metrics()
    assert (refused.status, failed.status) == (403, 500)
    (line,) = [line for line in page.splitlines() if line.startswith("policy_violation_total{")]
    assert 'violation_type="policy_hook"' in line
    assert line.endswith(" 1")
