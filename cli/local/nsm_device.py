"""The software NSM: registers, randomness and documents, asked and answering in the device's CBOR.

It refuses what the device refuses, with the device's words. Registers 0 to 15 are locked from the start, 16
to 31 are the application's; a document carries the locked ones only. Source: aws-nitro-enclaves-nsm-api.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args

from cli.local import nsm_chain
from cli.local.faults import Faults
from cli.local.measure import ZERO, extend
from signatory.errors import MalformedError
from signatory.nitro import attestation, cose, nsm

LOCKED_AT_BOOT = 16
MAX_USER_DATA = 512
MAX_NONCE = 512
MAX_PUBLIC_KEY = 1024
MAX_EXTENSION = 512
"""Bytes of one ExtendPCR."""

_RENEW_BEFORE = timedelta(minutes=10)
_CODES: Mapping[str, nsm.ErrorCode] = {code: code for code in get_args(nsm.ErrorCode)}
_NAMES: Mapping[type[nsm.Request], str] = {
    nsm.GetRandom: "GetRandom",
    nsm.DescribeNsm: "DescribeNSM",
    nsm.DescribePcr: "DescribePCR",
    nsm.ExtendPcr: "ExtendPCR",
    nsm.LockPcr: "LockPCR",
    nsm.LockPcrs: "LockPCRs",
    nsm.Attestation: "Attestation",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Where this NSM claims to be: a region, an instance, a module of that instance."""

    region: str
    instance_id: str
    module_id: str


class Device:
    """One module; asked by one caller at a time, as the kernel's driver sees to."""

    def __init__(
        self,
        root: nsm_chain.Signer,
        identity: Identity,
        measured: Mapping[int, bytes],
        clock: Callable[[], datetime],
        faults: Faults,
    ) -> None:
        self._root, self._identity, self._clock, self._faults = root, identity, clock, faults
        self._registers = [measured.get(index, ZERO) for index in range(nsm.PCR_COUNT)]
        self._locked = set(range(LOCKED_AT_BOOT))
        self._chain: nsm_chain.Chain | None = None

    def answer(self, body: bytes) -> bytes:
        """The reply to one request, whatever its bytes."""
        if len(body) > nsm.MAX_REQUEST:
            return nsm.encode_error("InputTooLarge")
        try:
            request = nsm.decode_request(body)
        except MalformedError:
            return nsm.encode_error("InvalidOperation")
        try:
            self._fail_as_told(_NAMES[type(request)])
            return nsm.encode_reply(request, self._do(request))
        except nsm.NsmError as refusal:
            return nsm.encode_error(refusal.code)

    def operation(self, body: bytes) -> str:
        """The name of the operation that `body` asks for; `unreadable` when it asks for none."""
        try:
            return _NAMES[type(nsm.decode_request(body))]
        except MalformedError:
            return "unreadable"

    def _fail_as_told(self, operation: str) -> None:
        if code := self._faults.take("fail", operation):
            raise nsm.NsmError(_CODES.get(code, "InternalError"), operation)

    def _do(self, request: nsm.Request) -> nsm.Reply:  # noqa: PLR0911  one for each request
        match request:
            case nsm.GetRandom():
                return os.urandom(self._faults.take("short", "GetRandom") or nsm.MAX_RANDOM)
            case nsm.DescribeNsm():
                return nsm.Description(self._identity.module_id, locked_pcrs=tuple(sorted(self._locked)))
            case nsm.DescribePcr(index):
                return nsm.Register(self._checked(index) in self._locked, self._registers[index])
            case nsm.ExtendPcr(index, data):
                return self._extend(self._unlocked(index), data)
            case nsm.LockPcr(index):
                self._locked.add(self._unlocked(index))
                return None
            case nsm.LockPcrs(count):
                self._lock_below(count)
                return None
            case nsm.Attestation():
                return self._document(request)

    def _checked(self, index: int) -> int:
        if index >= nsm.PCR_COUNT:
            raise nsm.NsmError("InvalidIndex")
        return index

    def _unlocked(self, index: int) -> int:
        if self._checked(index) in self._locked:
            raise nsm.NsmError("ReadOnlyIndex")
        return index

    def _extend(self, index: int, data: bytes) -> bytes:
        if len(data) > MAX_EXTENSION:
            raise nsm.NsmError("InputTooLarge")
        self._registers[index] = extend(self._registers[index], data)
        return self._registers[index]

    def _lock_below(self, count: int) -> None:
        if count > nsm.PCR_COUNT:
            raise nsm.NsmError("InvalidIndex")
        self._locked.update(range(count))

    def _document(self, request: nsm.Attestation) -> bytes:
        sizes = (
            (request.user_data, MAX_USER_DATA),
            (request.nonce, MAX_NONCE),
            (request.public_key, MAX_PUBLIC_KEY),
        )
        if any(value is not None and len(value) > limit for value, limit in sizes):
            raise nsm.NsmError("InputTooLarge")
        now = self._clock()
        chain = self._chain_at(now)
        document = attestation.Document(
            module_id=self._identity.module_id,
            timestamp_ms=int(now.timestamp() * 1000),
            pcrs={index: self._registers[index] for index in sorted(self._locked)},
            certificate=chain.leaf.der,
            cabundle=chain.bundle,
            public_key=request.public_key,
            user_data=request.user_data,
            nonce=request.nonce,
        )
        return cose.sign1(attestation.encode_payload(document), chain.leaf.key)

    def _chain_at(self, now: datetime) -> nsm_chain.Chain:
        if self._chain is None or not self._chain.outlasts(now + _RENEW_BEFORE):
            identity = self._identity
            self._chain = nsm_chain.issue(
                self._root, identity.region, identity.instance_id, identity.module_id, now
            )
        return self._chain


def utc_now() -> datetime:
    return datetime.now(UTC)
