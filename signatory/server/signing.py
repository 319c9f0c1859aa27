"""What is done with a key: signatures, answers to what a signature would meet, proofs of possession.

Source: signatory-compat §1.3 and §1.5.
"""

import asyncio
import functools
import logging
import re
import time

from signatory.crypto.curves import KeyType, SigningVersion
from signatory.crypto.keypair import check_public
from signatory.errors import DeniedError, MalformedError, NotFoundError, SignatoryError, UnavailableError
from signatory.keyring import NOT_FOUND
from signatory.limits import Limits
from signatory.observe import log
from signatory.observe.metrics import UNKNOWN
from signatory.policy.explain import explain
from signatory.policy.rules import admitted
from signatory.policy.values import Client
from signatory.server import requests
from signatory.server.answers import Answer, failure, json_answer, refused, success
from signatory.server.clients import Clients
from signatory.server.connections import connection_of
from signatory.server.golang import decode_hex_string
from signatory.server.records import Records
from signatory.server.requests import HttpError, Target, Visit
from signatory.signer import PolicyHolder, Signer, Story
from signatory.tezos.keys import PublicKey, PublicKeyHash
from signatory.vault import Call

logger = logging.getLogger("signatory")

_RAW_KEY = re.compile(r"mldsa(?:65|87):[0-9a-f]{40}")
_VERSIONS = {"0": SigningVersion.V0, "1": SigningVersion.V1, "2": SigningVersion.V2}
_AGGREGATE = ("bls_pk", "override_pk")
"""What the public key to prove over is called, here and by Octez."""


class Signing:
    """Answers the requests that use a key."""

    def __init__(
        self, signer: Signer, policy: PolicyHolder, records: Records, limits: Limits, *, allow_dry_run: bool
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._records = records
        self._limits = limits
        self._allow_dry_run = allow_dry_run
        self._clients = Clients(policy.current)

    async def sign(self, visit: Visit) -> Answer:
        """POST /keys/{pkh}."""
        if requests.mentions_dry_run(visit.target):
            return await self._dry_run(visit)
        began = time.perf_counter()
        address, status = UNKNOWN, 500
        try:
            pkh = parse_address(visit.argument)
            address = visit.argument
            answer = await self._signed(visit, pkh, address)
            status = answer.status
        except HttpError as error:
            status = error.status
            raise
        except SignatoryError as error:
            answer = refused(error)
            status = answer.status
        finally:
            self._records.answered(address, status, time.perf_counter() - began)
        return answer

    async def prove(self, visit: Visit) -> Answer:
        """GET /bls_prove_possession/{pkh}."""
        if requests.mentions_dry_run(visit.target):
            raise MalformedError("dry_run is known for POST /keys only")
        pkh = parse_address(visit.argument)
        aggregate = _aggregate(visit.target)
        _begin(visit)
        client = self._identified(pkh, b"", visit)
        proved = b"" if aggregate is None else aggregate.data
        story = Story(pkh, visit.argument, proved, SigningVersion.LATEST, client, self._call())
        try:
            async with asyncio.timeout(self._limits.request):
                proof = await self._signer.prove(story, aggregate)
        except SignatoryError as error:
            self._records.unproved(story, error)
            raise
        except TimeoutError as error:
            self._records.unproved(story, error)
            return late(self._limits)
        return success("bls_prove_possession", proof.text)

    async def _dry_run(self, visit: Visit) -> Answer:
        """What the policy decides, with the reasons: no lock, no mark, no vault, no signature."""
        requests.check_dry_run(visit.target)
        if not self._allow_dry_run:
            raise DeniedError("dry runs are not allowed")
        pkh = parse_address(visit.argument)
        version = _version(visit.target)
        message, client = await self._asked(visit, pkh)
        policy = self._policy.current
        decision = admitted(policy, visit.argument, client)
        if not decision.allowed:
            raise DeniedError(decision.message)
        explanation = explain(policy, visit.argument, message, version, client)
        self._records.explained(visit.argument, client, allowed=explanation.allowed)
        return json_answer(explanation.as_json())

    def clients(self) -> Clients:
        """The client keys of the policy in force."""
        policy = self._policy.current
        if self._clients.policy is not policy:
            self._clients = Clients(policy)
        return self._clients

    async def _signed(self, visit: Visit, pkh: PublicKeyHash, address: str) -> Answer:
        version = _version(visit.target)
        self._records.began(version)
        message, client = await self._asked(visit, pkh)
        story = Story(pkh, address, message, version, client, self._call())
        try:
            async with asyncio.timeout(self._limits.request):
                signature = await self._signer.sign(story)
        except SignatoryError as error:
            self._records.failed(story, error)
            raise
        except TimeoutError as error:
            self._records.failed(story, error)
            return late(self._limits)
        self._records.signed(story)
        logger.debug("Encoded signature: %s", signature.text)
        return success("signature", signature.text)

    async def _asked(self, visit: Visit, pkh: PublicKeyHash) -> tuple[bytes, Client]:
        """The bytes to sign, and who asks."""
        body = await requests.read_body(visit.request, self._limits)
        _begin(visit)
        message = decode_hex_string(body)
        del body  # it may be long, and so may be the wait for the vault
        return message, self._identified(pkh, message, visit)

    def _identified(self, pkh: PublicKeyHash, message: bytes, visit: Visit) -> Client:
        source = requests.source(visit.request)
        try:
            key_hash = self.clients().identify(pkh, message, visit.target.first("authentication"))
        except SignatoryError as error:
            self._records.unidentified(error, source)
            raise
        return Client(source, key_hash, visit.user)

    def _call(self) -> Call:
        return Call(log.request_id.get(), self._limits.request)


def _begin(visit: Visit) -> None:
    """Raise UnavailableError where the answer could not leave any more, and a mark would be for nothing."""
    connection = connection_of(visit.request)
    connection.request_is_whole()
    if connection.is_stopping:
        raise UnavailableError("the daemon is stopping")


def late(limits: Limits) -> Answer:
    """The answer that comes instead of one that takes too long."""
    return failure(503, f"the request was not completed within {limits.request:g} s")


@functools.lru_cache(maxsize=4096)
def parse_address(text: str) -> PublicKeyHash:
    """Raises NotFoundError for the keys that have no Tezos form, MalformedError for what is no key at all."""
    if _RAW_KEY.fullmatch(text):
        raise NotFoundError(NOT_FOUND)
    return PublicKeyHash.parse(text)


def check_key_id(text: str) -> None:
    """Raise MalformedError for what is the id of no key, with or without a Tezos form."""
    if not _RAW_KEY.fullmatch(text):
        PublicKeyHash.parse(text)


def _version(target: Target) -> SigningVersion:
    return _VERSIONS.get(target.first("version") or "", SigningVersion.LATEST)


def _aggregate(target: Target) -> PublicKey | None:
    """The public key to prove over; None where the request names none. Raises MalformedError."""
    named = {value for name in _AGGREGATE for value in target.all(name)}
    if not named:
        return None
    if len(named) > 1:
        raise MalformedError("bls_pk and override_pk name different public keys")
    key = PublicKey.parse(named.pop())
    if key.type is not KeyType.BLS:
        raise MalformedError("bls_pk takes a BLS public key (`BLpk...`)")
    check_public(key.type, key.data)
    return key
