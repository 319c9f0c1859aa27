"""KMS for one session: Encrypt as the reference does it, and Decrypt for an attested recipient only.

TLS ends in here, and KMS's answers are believed because of it; those with a secret only when they come as an
envelope for a key that this enclave made for the call.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from enclave_signer import nsm
from enclave_signer.https import DispatchError, HttpsChannel, Response
from enclave_signer.recipients import Recipient, Recipients
from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.nitro import cms, kms, sigv4
from signatory.nitro.kms import Arn
from signatory.nitro.kms_errors import KmsDeniedError, KmsError, decode_error

MAX_SKEW = timedelta(hours=1)
"""How wrong this clock may be and still be corrected by KMS's own; an enclave has no other source of time."""

_FIRST_PAUSE = 0.1
"""Seconds. The pause before another try is random, up to this and then up to twice the last."""


_Reply = TypeVar("_Reply")


class AttestationError(UnavailableError):
    """The NSM gave no attestation document."""


class DecryptDeniedError(KmsDeniedError):
    """KMS does not open for this enclave. `pcr0` is what the key's policy would have to name, in hex."""

    def __init__(self, refusal: KmsError, pcr0: str) -> None:
        super().__init__(refusal.name, refusal.kms_message, refusal.status, hint=refusal.hint)
        self.pcr0 = pcr0


@dataclass(frozen=True, slots=True)
class Route:
    """What a session reaches KMS with."""

    host: str
    channel: HttpsChannel
    module: nsm.Nsm
    recipients: Recipients
    timeout: float
    """Seconds for a call with all its tries."""
    attempts: int


class KmsSession:
    """KMS with one set of credentials and one sealing key, which is one of `allowed`."""

    def __init__(self, key: Arn, allowed: Sequence[Arn], access: sigv4.AccessKey, route: Route) -> None:
        self._key = key
        self._allowed = frozenset(allowed)
        self._access = access
        self._route = route
        self._skew = timedelta(0)

    async def encrypt(self, plaintext: bytes) -> bytes:
        """Wrap 1 to 4,096 bytes under the sealing key, without a context.

        Raises KmsError, DispatchError, IntegrityError, MalformedError (the size, the credentials).
        """
        request = kms.Encrypt(str(self._key), plaintext)

        async def attempt() -> bytes:
            reply = _read(lambda body: kms.decode_reply(request, body), await self._post(request))
            self._check_key(reply.key_id)
            return reply.ciphertext

        return await self._retried(attempt)

    async def decrypt(self, ciphertext: bytes) -> bytes:
        """Unwrap, with a recipient key for this call and an attestation document for each try.

        Raises KmsError, DispatchError, AttestationError, UnavailableError (no recipient key), IntegrityError,
        MalformedError (size, credentials).
        """
        recipient = await self._route.recipients.take(self._route.timeout)

        async def attempt() -> bytes:
            request = kms.Decrypt(ciphertext, self._named_key(), recipient=await self._attest(recipient))
            reply = _read(lambda body: kms.decode_reply(request, body), await self._post(request))
            self._check_key(reply.key_id)
            if reply.secret.for_recipient is None or reply.secret.plaintext is not None:
                raise IntegrityError("KMS answered in the clear though a recipient was named")
            return cms.open(reply.secret.for_recipient, recipient.private)

        return await self._retried(attempt)

    def close(self) -> None:
        self._route.channel.close()

    def _named_key(self) -> str | None:
        """Named where there is one; else KMS finds which allowed key it was, and we check what it says."""
        return str(self._key) if len(self._allowed) == 1 else None

    def _check_key(self, answered: Arn) -> None:
        if answered not in self._allowed:
            raise IntegrityError(f"KMS used the key {answered}, which this enclave does not allow")

    async def _attest(self, recipient: Recipient) -> bytes:
        try:
            return await nsm.attest(self._route.module, recipient.spki)
        except (UnavailableError, IntegrityError) as error:
            raise AttestationError(error.message) from error

    async def _post(self, request: kms.Encrypt | kms.Decrypt) -> bytes:
        """The body of a 200. Raises KmsError for any other answer."""
        response = await self._send(request)
        if response.status != 200 and self._corrects_clock(response):
            response = await self._send(request)
        if response.status == 200:
            return response.body
        failure = decode_error(response.status, response.body)
        if isinstance(failure, KmsDeniedError) and isinstance(request, kms.Decrypt):
            raise DecryptDeniedError(failure, await nsm.image_measurement(self._route.module))
        raise failure

    async def _send(self, request: kms.Encrypt | kms.Decrypt) -> Response:
        body = kms.encode_request(request)
        headers = {"Content-Type": kms.CONTENT_TYPE, "X-Amz-Target": kms.target_of(request)}
        host, region, now = self._route.host, self._key.region, datetime.now(UTC) + self._skew
        signed = sigv4.sign("POST", host, "/", headers, body, self._access, region, "kms", now)
        return await self._route.channel.post(signed, body)

    def _corrects_clock(self, response: Response) -> bool:
        """Whether KMS refused our time and told a believable one, which is then ours for this session."""
        failure = decode_error(response.status, response.body)
        told = failure.kms_message.startswith(("Signature expired", "Signature not yet current"))
        if not told or response.date is None:
            return False
        skew = response.date - datetime.now(UTC)
        if abs(skew) > MAX_SKEW:
            return False
        self._skew = skew
        return True

    async def _retried(self, attempt: Callable[[], Awaitable[bytes]]) -> bytes:
        """Try until it works, is refused for good, or the call's time or tries are used up."""
        last: KmsError | DispatchError | None = None
        try:
            async with asyncio.timeout(self._route.timeout):
                for number in range(self._route.attempts):
                    await asyncio.sleep(_pause(number))
                    try:
                        return await attempt()
                    except (KmsError, DispatchError) as error:
                        if not error.retryable:
                            raise
                        last = error
        except TimeoutError:
            last = last or DispatchError(
                f"{self._route.host} did not answer within {self._route.timeout:g} s"
            )
        raise last or DispatchError("no try was allowed")


def _pause(number: int) -> float:
    """Seconds before a try: none before the first, then random, the range doubling."""
    spread = _FIRST_PAUSE * 2**number if number else 0.0
    return spread * int.from_bytes(os.urandom(4), "big") / 2**32


def _read(decode: Callable[[bytes], _Reply], body: bytes) -> _Reply:
    try:
        return decode(body)
    except MalformedError as error:
        raise IntegrityError(f"KMS's answer cannot be read: {error.message}") from error
