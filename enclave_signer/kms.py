"""KMS for one session: data keys and Decrypt for an attested recipient; Encrypt as the reference does it.

TLS ends in here, and KMS's answers are believed because of it; those with a secret only when they come as an
envelope for a key that this enclave made for the call.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from enclave_signer import nsm
from enclave_signer.https import DispatchError, HttpsChannel, Response
from enclave_signer.recipients import Recipient
from enclave_signer.route import Route
from signatory.errors import DeniedError, IntegrityError, MalformedError, UnavailableError
from signatory.nitro import cms, kms, sigv4
from signatory.nitro.kms import Arn
from signatory.nitro.kms_errors import KmsDeniedError, KmsError, decode_error

DATA_KEY = 32
"""Bytes of a data key."""

_FIRST_PAUSE = 0.1
"""Seconds. The pause before another try is random, up to twice this and then up to twice the last."""

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})
_OTHER_KEY = "IncorrectKeyException"
_Reply = TypeVar("_Reply")
_Request = kms.Encrypt | kms.Decrypt | kms.GenerateDataKey


class AttestationError(UnavailableError):
    """The NSM gave no attestation document."""


class ClockCorrectedError(KmsError):
    """KMS refused our time and told its own, which counts from now on."""


class CallDeniedError(KmsDeniedError):
    """KMS refuses `operation`. `pcr0`, in hex, is what the key's policy must name; None for Encrypt."""

    def __init__(self, refusal: KmsError, operation: str, pcr0: str | None) -> None:
        super().__init__(refusal.name, refusal.kms_message, refusal.status, hint=refusal.hint)
        self.operation = operation
        self.pcr0 = pcr0


@dataclass(frozen=True, slots=True)
class DataKey:
    """A new data key of KMS: 32 bytes, the same wrapped, and the key that wraps it."""

    plaintext: bytes = field(repr=False)
    wrapped: bytes
    key: Arn


@dataclass(frozen=True, eq=False)
class Rights:
    """The credentials of a session from one renewal to the next; told apart by identity."""

    access: sigv4.AccessKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Means:
    """What one call has, with all its tries."""

    access: sigv4.AccessKey = field(repr=False)
    channel: HttpsChannel


class KmsSession:
    """KMS with one set of credentials at a time and one sealing key, which is one of `allowed`.

    Calls run side by side, as many as there are connections. Every call names its key by the full ARN, and
    that key must have answered.
    """

    def __init__(self, key: Arn, allowed: Sequence[Arn], access: sigv4.AccessKey, route: Route) -> None:
        self.key = key
        self._allowed = (key, *(each for each in allowed if each != key))
        self._rights = Rights(access)
        self._route = route
        self._skew = timedelta(0)
        self.calls = 0
        """Tries of this session."""

    @property
    def rights(self) -> Rights:
        """Those that the next call uses."""
        return self._rights

    def renew(self, access: sigv4.AccessKey) -> None:
        """Use other credentials from the next call on; calls under way end with those they began with."""
        self._rights = Rights(access)

    def allows(self, key: Arn) -> bool:
        """Whether the settings let this key open and seal in this session's region."""
        return key in self._allowed

    def now_ms(self) -> int:
        """Milliseconds since 1970, by this clock as KMS has corrected it."""
        return int((datetime.now(UTC) + self._skew).timestamp() * 1000)

    async def encrypt(self, plaintext: bytes) -> bytes:
        """Wrap 1 to 4,096 bytes under the sealing key, without a context.

        Raises KmsError, DispatchError, IntegrityError, MalformedError (the size, the credentials).
        """
        request = kms.Encrypt(str(self.key), plaintext)
        async with self._means() as means:

            async def attempt() -> bytes:
                body = await self._post(request, means)
                return _read(lambda: kms.decode_reply(request, body)).ciphertext

            return await self._retried(attempt)

    async def generate_data_key(self, context: Mapping[str, str]) -> DataKey:
        """A new data key under the sealing key, bound to the context; nobody else sees it.

        Raises as `decrypt` does.
        """
        async with self._means() as means:
            recipient = await self._route.recipients.take(self._route.timeout)

            async def attempt() -> DataKey:
                document = await self._attest(recipient)
                request = kms.GenerateDataKey(str(self.key), DATA_KEY, context, document)
                body = await self._post(request, means)
                reply = _read(lambda: kms.decode_reply(request, body))
                plaintext = _data_key(_open(reply.secret, recipient))
                return DataKey(plaintext, reply.ciphertext, reply.key_id)

            return await self._retried(attempt)

    async def decrypt(
        self, ciphertext: bytes, *, key: Arn | None = None, context: Mapping[str, str] = _NO_CONTEXT
    ) -> bytes:
        """Unwrap, with a recipient key for this call and an attestation document for each try.

        `key` is the one that wrapped it. Without one the sealing key is tried first, and after it the other
        allowed keys, each only when KMS says that it was not the one before. Raises KmsError, DispatchError,
        AttestationError, UnavailableError (no recipient key), IntegrityError, DeniedError (a key that the
        settings do not allow), MalformedError (size, credentials).
        """
        if key is not None and not self.allows(key):
            raise DeniedError(f"this enclave's settings do not allow the KMS key {key}")
        async with self._means() as means:
            recipient = await self._route.recipients.take(self._route.timeout)
            *first, last = self._allowed if key is None else (key,)
            for candidate in first:
                try:
                    return await self._unwrap(candidate, ciphertext, context, recipient, means)
                except KmsError as error:
                    if error.name != _OTHER_KEY:
                        raise
            return await self._unwrap(last, ciphertext, context, recipient, means)

    def close(self) -> None:
        """Drop the connections at once."""
        self._route.channels.close()

    @asynccontextmanager
    async def _means(self) -> AsyncIterator[_Means]:
        """A call's own: it keeps the credentials it begins with, and has a connection for all its tries."""
        access = self._rights.access
        async with self._route.channels.lend() as channel:
            yield _Means(access, channel)

    async def _unwrap(
        self, key: Arn, ciphertext: bytes, context: Mapping[str, str], recipient: Recipient, means: _Means
    ) -> bytes:
        async def attempt() -> bytes:
            request = kms.Decrypt(ciphertext, str(key), context, await self._attest(recipient))
            body = await self._post(request, means)
            return _open(_read(lambda: kms.decode_reply(request, body)).secret, recipient)

        return await self._retried(attempt)

    async def _attest(self, recipient: Recipient) -> bytes:
        try:
            return await nsm.attest(self._route.module, public_key=recipient.spki)
        except (UnavailableError, IntegrityError) as error:
            raise AttestationError(error.message) from error

    async def _post(self, request: _Request, means: _Means) -> bytes:
        """The body of a 200. Raises KmsError for any other answer."""
        response = await self._send(request, means)
        if response.status == 200:
            return response.body
        failure = decode_error(response.status, response.body)
        if self._corrects_clock(failure, response.date):
            raise ClockCorrectedError(failure.name, failure.kms_message, failure.status, hint=failure.hint)
        if isinstance(failure, KmsDeniedError):
            attested = not isinstance(request, kms.Encrypt)
            pcr0 = await nsm.image_measurement(self._route.module) if attested else None
            raise CallDeniedError(failure, type(request).__name__, pcr0)
        raise failure

    async def _send(self, request: _Request, means: _Means) -> Response:
        self.calls += 1
        self._route.tries.count += 1
        body = kms.encode_request(request)
        headers = {"Content-Type": kms.CONTENT_TYPE, "X-Amz-Target": kms.target_of(request)}
        host, region, now = self._route.host, self.key.region, datetime.now(UTC) + self._skew
        signed = sigv4.sign("POST", host, "/", headers, body, means.access, region, "kms", now)
        return await means.channel.post(signed, body)

    def _corrects_clock(self, failure: KmsError, date: datetime | None) -> bool:
        """Whether KMS refused our time and told a believable one, which is then ours for this session."""
        told = failure.kms_message.startswith(("Signature expired", "Signature not yet current"))
        if not told or date is None:
            return False
        skew = date - datetime.now(UTC)
        if abs(skew) > self._route.max_skew:
            return False
        self._skew = skew
        return True

    async def _retried(self, attempt: Callable[[], Awaitable[_Reply]]) -> _Reply:
        """Try until it works, is refused for good, or the call's time or tries are used up."""
        last: KmsError | DispatchError | None = None
        try:
            async with asyncio.timeout(self._route.timeout):
                for number in range(self._route.attempts):
                    await asyncio.sleep(_pause(number))
                    try:
                        return await _again_by_the_right_clock(attempt)
                    except (KmsError, DispatchError) as error:
                        if not error.retryable:
                            raise
                        last = error
        except TimeoutError:
            last = last or DispatchError(
                f"{self._route.host} did not answer within {self._route.timeout:g} s"
            )
        raise last or DispatchError("no try was allowed")


async def _again_by_the_right_clock(attempt: Callable[[], Awaitable[_Reply]]) -> _Reply:
    """At once and only once: the whole try, with a document of its own."""
    try:
        return await attempt()
    except ClockCorrectedError:
        return await attempt()


def _pause(number: int) -> float:
    """Seconds before a try: none before the first, then random, the range doubling."""
    spread = _FIRST_PAUSE * 2**number if number else 0.0
    return spread * int.from_bytes(os.urandom(4), "big") / 2**32


def _read(decode: Callable[[], _Reply]) -> _Reply:
    try:
        return decode()
    except MalformedError as error:
        raise IntegrityError(f"KMS's answer cannot be read: {error.message}") from error


def _open(secret: kms.Secret, recipient: Recipient) -> bytes:
    """What KMS said to this recipient. Raises IntegrityError, also for what it said in the clear."""
    if secret.for_recipient is None or secret.plaintext is not None:
        raise IntegrityError("KMS answered in the clear though a recipient was named")
    return cms.open(secret.for_recipient, recipient.private)


def _data_key(plaintext: bytes) -> bytes:
    if len(plaintext) != DATA_KEY:
        raise IntegrityError(f"KMS's data key has {len(plaintext)} bytes, not {DATA_KEY}")
    return plaintext
