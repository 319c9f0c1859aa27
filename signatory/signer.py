"""The story of one signature: what happens, in which order, and what never happens out of order."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol
from weakref import WeakValueDictionary

from signatory.audit.sink import AuditSink, Intent
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import check_version, verify_possession
from signatory.errors import (
    DeniedError,
    IntegrityError,
    MalformedError,
    NotFoundError,
    SignatoryError,
    WatermarkError,
)
from signatory.hook.seam import Hook, Question
from signatory.keyring import NOT_FOUND, Entry, Keyring
from signatory.pace import Pace
from signatory.policy.counters import level_step
from signatory.policy.rules import admitted, evaluate
from signatory.policy.values import NO_LIMITS, Client, Decision, Outcome, Policy
from signatory.tezos import requests
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature
from signatory.tezos.requests import SignRequest
from signatory.vault import AggregateProver, Call, KeyBirth, Prover, Resettable
from signatory.watermark.rules import Mark, slot_of
from signatory.watermark.store import WatermarkStore

NOT_VERIFIED = "the vault answered with a signature that does not verify"
NO_PROOF = "proof of possession is not supported"
PROOF_REFUSED = "proof of possession is not allowed"
AGGREGATE_REFUSED = "proof of possession over this public key is not allowed"


class PolicyError(DeniedError):
    """The policy says no. `violation` is the word for the metrics; empty where nothing is counted."""

    def __init__(self, message: str, violation: str = "") -> None:
        super().__init__(message)
        self.violation = violation


@dataclass(slots=True)
class Story:
    """One request to sign, and what became known of it on the way; the observer reads it whatever the end."""

    pkh: PublicKeyHash
    address: str
    message: bytes = field(repr=False)
    version: SigningVersion
    client: Client
    call: Call
    request: SignRequest | None = None
    entry: Entry | None = None
    log_payload: bool = False
    stage: str = "policy"
    """How far it came: `policy`, `hook`, `lock`, `watermark`, `vault`."""
    counted_at: float | None = None
    """When it was counted towards the rate of its key; None where there is no rate."""
    requested_at: float = 0.0
    """For the observer: when every check but the watermark had passed."""


class SignObserver(Protocol):
    """Told what is about to happen; decides nothing and never raises."""

    def requesting(self, story: Story) -> None:
        """Every check but the watermark has passed."""
        ...


class PolicyHolder:
    """The policy in force. It is replaced whole, never changed; whoever waited meanwhile reads it again."""

    def __init__(self, policy: Policy) -> None:
        self.current = policy


class Signer:
    """Signs what may be signed. Every seam it needs is handed in."""

    def __init__(
        self,
        keyring: Keyring,
        policy: PolicyHolder,
        watermark: WatermarkStore,
        *,
        hook: Hook,
        audit: AuditSink,
        observer: SignObserver,
        pace: Pace | None = None,
    ) -> None:
        self._keyring = keyring
        self._policy = policy
        self._watermark = watermark
        self._hook = hook
        self._audit = audit
        self._observer = observer
        self._pace = pace or Pace()
        self._locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def sign(self, story: Story) -> Signature:
        """The signature: verified, its mark durable. Raises errors of every family but ConfigError."""
        policy = self._policy.current
        request = _understood(policy, story)
        story.entry = await self.key(story.address)
        _check_allowed(policy, story, request)
        await self._ask_hook(story, story.message)
        story.stage = "lock"
        async with self._lock(story.address, request):
            entry = await self._still_allowed(story, policy)
            await self._check_limits(story, request)
            self._observer.requesting(story)
            await self._advance(story, request)
            policy = self._check_again(story, policy)
            async with self._audited(story, request.kind):
                signature = await entry.vault.sign(entry.key, story.message, story.version, story.call)
                if not entry.verifier.verify(story.message, signature, story.version):
                    raise await _not_verified(entry)
                self._check_again(story, policy)
        return Signature(story.pkh.type, signature)

    async def prove(self, story: Story, aggregate: PublicKey | None = None) -> Signature:
        """The verified proof that a BLS key is possessed. Raises as `sign` does, but no WatermarkError.

        `aggregate` is another public key to prove it over: only one that is listed for this key, as a free
        choice would let the client pass keys off as its own.
        """
        _must(admitted(self._policy.current, story.address, story.client))
        story.entry = await self.key(story.address)
        self._check_provable(story, aggregate)
        await self._ask_hook(story, None)
        story.stage = "vault"
        entry = story.entry = await self.key(story.address)
        self._check_provable(story, aggregate)
        async with self._audited(story, "proof_of_possession"):
            proof = await _proof(entry, aggregate, story.call)
            over = None if aggregate is None else aggregate.data
            if not verify_possession(entry.key.public_key.data, proof, over):
                raise await _not_verified(entry)
            self._check_provable(story, aggregate)
        return Signature(story.pkh.type, proof)

    async def key(self, address: str) -> Entry:
        """The key of a Tezos address. Raises NotFoundError (also for a raw key), UnavailableError."""
        entry = self._keyring.get(address) or await self._keyring.find(address)
        if entry.key.purpose is not Purpose.TEZOS:
            raise NotFoundError(NOT_FOUND)
        return entry

    async def birth(self, identifier: str) -> KeyBirth:
        """As Keyring.find_birth; a key of any purpose."""
        return await self._keyring.find_birth(identifier)

    async def _still_allowed(self, story: Story, judged_by: Policy) -> Entry:
        """The key as it is now; a reload while the request waited may have taken it, or the right to it.

        Nothing is awaited between the last look at the policy and the limits.
        """
        entry = story.entry = await self.key(story.address)
        self._check_again(story, judged_by)
        return entry

    def _check_again(self, story: Story, judged_by: Policy) -> Policy:
        """After every wait: what a reload took away must not leave once the reload is over."""
        policy = self._policy.current
        if policy is not judged_by:
            _check_allowed(policy, story, _understood(policy, story))
        if self._keyring.get(story.address) is None:
            raise NotFoundError(NOT_FOUND)
        return policy

    def _check_provable(self, story: Story, aggregate: PublicKey | None) -> None:
        """The same for a proof."""
        policy = self._policy.current
        _must(admitted(policy, story.address, story.client))
        if (entry := self._keyring.get(story.address)) is None:
            raise NotFoundError(NOT_FOUND)
        _check_provable(policy, story, entry, aggregate)

    async def _check_limits(self, story: Story, request: SignRequest) -> None:
        """What needs the past: how far above the mark, and how many requests in which time."""
        limits = self._policy.current.keys[story.address].limits
        if limits is NO_LIMITS:
            return
        if limits.max_level_step is not None and request.chain_id is not None:
            mark = await self._watermark.current(request.chain_id, story.address, request.kind)
            _must_pass(level_step(limits, mark.level if mark else None, request.level))
        outcome, story.counted_at = self._pace.take(story.address, limits)
        _must_pass(outcome)

    async def _ask_hook(self, story: Story, message: bytes | None) -> None:
        story.stage = "hook"
        client = story.client
        await self._hook.ask(Question(story.address, client.source, client.key_hash, message), story.call)

    async def _advance(self, story: Story, request: SignRequest) -> None:
        if slot_of(request.kind):
            story.stage = "watermark"
            chain, level, level_round = request.chain_id, request.level, request.round
            if chain is None or level is None or level_round is None:
                raise MalformedError(f"a {request.kind} without chain, level and round")
            mark = Mark(level, level_round, _digest(story.message))
            try:
                await self._watermark.advance(chain, story.address, request.kind, mark)
            except WatermarkError:
                self._pace.give_back(story.address, story.counted_at)
                raise
        story.stage = "vault"

    def _lock(
        self, address: str, request: SignRequest
    ) -> asyncio.Lock | contextlib.AbstractAsyncContextManager[None]:
        """One lock per key, chain and slot, gone when nobody holds or awaits it; none without a watermark."""
        slot = slot_of(request.kind)
        if slot is None:
            return _NOBODY_ELSE
        place = (address, request.chain_id or "", slot)
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        return lock

    def _audited(self, story: Story, kind: str) -> "_Audited":
        vault = story.entry.vault_name if story.entry else ""
        client = story.client
        return _Audited(
            self._audit,
            Intent(
                request_id=story.call.request_id,
                public_key_hash=story.address,
                vault=vault,
                kind=kind,
                source=client.source,
                client_key_hash=client.key_hash,
                message=story.message,
            ),
        )


async def _not_verified(entry: Entry) -> IntegrityError:
    """The error to raise; the next answer must not come over the connection that brought this one."""
    if isinstance(entry.vault, Resettable):
        await entry.vault.reset(NOT_VERIFIED)
    return IntegrityError(NOT_VERIFIED)


def _must(decision: Decision) -> None:
    if not decision.allowed:
        raise PolicyError(decision.message, decision.violation)


def _must_pass(outcome: Outcome) -> None:
    if outcome.refused:
        raise PolicyError(outcome.text, outcome.violation)


def _understood(policy: Policy, story: Story) -> SignRequest:
    """What is asked of a key that this client may use at all."""
    _must(admitted(policy, story.address, story.client))
    lax = policy.keys[story.address].allow_trailing_bytes
    request = story.request = requests.understood(story.message, story.version, allow_trailing=lax)
    check_version(story.pkh.type, story.version)
    return request


def _check_allowed(policy: Policy, story: Story, request: SignRequest) -> None:
    _must(evaluate(policy, story.address, request, story.client))
    story.log_payload = policy.keys[story.address].log_payloads


def _check_provable(policy: Policy, story: Story, entry: Entry, aggregate: PublicKey | None) -> None:
    settings = policy.keys[story.address]
    if aggregate is not None and not (
        settings.allow_proof_of_possession and aggregate.text in settings.prove_possession_for
    ):
        raise PolicyError(AGGREGATE_REFUSED)
    vault = entry.vault
    able = isinstance(vault, Prover) if aggregate is None else isinstance(vault, AggregateProver)
    if story.pkh.type is not KeyType.BLS or not able:
        raise MalformedError(NO_PROOF)
    if not settings.allow_proof_of_possession:
        raise MalformedError(PROOF_REFUSED)


async def _proof(entry: Entry, aggregate: PublicKey | None, call: Call) -> bytes:
    vault = entry.vault
    if aggregate is not None and isinstance(vault, AggregateProver):
        return await vault.prove_possession_of(entry.key, aggregate.data, call)
    if aggregate is None and isinstance(vault, Prover):
        return await vault.prove_possession(entry.key, call)
    raise MalformedError(NO_PROOF)


def _digest(message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=32).digest()


_NOBODY_ELSE: contextlib.AbstractAsyncContextManager[None] = contextlib.nullcontext()


class _Audited:
    """The intent is durable before what is inside begins, the outcome before anything leaves."""

    __slots__ = ("_audit", "_intent")

    def __init__(self, audit: AuditSink, intent: Intent) -> None:
        self._audit = audit
        self._intent = intent

    async def __aenter__(self) -> None:
        await self._audit.intent(self._intent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            outcome = "signed"
        else:
            outcome = error.kind if isinstance(error, SignatoryError) else "internal"
        await self._audit.outcome(self._intent, outcome)
