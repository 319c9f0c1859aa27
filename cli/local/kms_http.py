"""The KMS emulator's HTTP side: who asks (SigV4), for what, the answer or AWS's refusal; all is bounded."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from cli.local import kms_decided
from cli.local.faults import Faults
from cli.local.kms_decided import Decided
from cli.local.kms_operations import Operations
from cli.local.kms_state import Credential, KmsState
from signatory.errors import MalformedError, SignatoryError
from signatory.nitro import kms, sigv4
from signatory.nitro.kms_errors import KmsError, encode_error, error

MAX_BODY = 1 << 20
BODY_TIMEOUT = 10.0
"""Seconds for a whole body to arrive."""

_log = logging.getLogger("kms")
_PREFIX = "TrentService."


class Api:
    """One region's KMS for the credentials it knows."""

    def __init__(
        self,
        state: KmsState,
        region: str,
        operations: Operations,
        clock: Callable[[], datetime],
        faults: Faults,
    ) -> None:
        self._state, self._region, self._operations = state, region, operations
        self._clock, self._faults = clock, faults

    def application(self) -> web.Application:
        """The server's application: every path and method end in one handler."""
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.Response:
        request_id = str(uuid.uuid4())
        target = request.headers.get("X-Amz-Target", "")
        try:
            answer, status, outcome = await self._serve(request, target), 200, "ok"
        except KmsError as refusal:
            answer, status, outcome = encode_error(refusal), refusal.status, refusal.name
        _log.info("%s %s %s", request_id, target.removeprefix(_PREFIX)[:64], outcome)
        headers = {"x-amzn-RequestId": request_id}
        return web.Response(body=answer, status=status, content_type=kms.CONTENT_TYPE, headers=headers)

    async def _serve(self, request: web.Request, target: str) -> bytes:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
            return await self._answer(target, body, self._caller(request, body))
        except TimeoutError:
            raise error("RequestTimeoutException", "The body did not arrive in time.", 408) from None
        except KmsError:
            raise
        except SignatoryError as failure:
            _log.exception("cannot answer")
            raise error("KMSInternalException", "The emulator's state is damaged; see its log.") from failure

    def _caller(self, request: web.Request, body: bytes) -> Credential:
        """Whoever signed the request, now and with a key that has not expired. Raises KmsError."""
        headers = {name: ",".join(request.headers.getall(name)) for name in request.headers}
        now = self._clock()
        try:
            named = sigv4.parse_authorization(request.headers.get("Authorization"))
            caller = self._state.credential(named.access_key_id)
            if caller is None:
                raise error(
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid.",
                )
            sigv4.verify(
                request.method, request.raw_path, headers, body, caller.key, self._region, "kms", now
            )
        except sigv4.SignatureRefusedError as refusal:
            raise error(refusal.name, refusal.message) from None
        if caller.expires_at is not None and caller.expires_at <= now:
            raise error("ExpiredTokenException", "The security token included in the request is expired")
        return caller

    async def _answer(self, target: str, body: bytes, caller: Credential) -> bytes:
        operation = target.removeprefix(_PREFIX)
        if target not in kms.TARGETS and (target == operation or not kms_decided.knows(operation)):
            raise error("UnknownOperationException", "")
        await self._faults.pause(operation)
        if name := self._faults.take("fail", operation):
            raise error(name, "The emulator was told to fail.")
        request = _read(target, body)
        if isinstance(request, Decided):
            self._operations.decide(request, caller)
        return _body(self._operations.do(request, caller))


def _read(target: str, body: bytes) -> kms.Request | Decided:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        raise error("SerializationException", "") from None
    try:
        if target in kms.TARGETS:
            return kms.decode_request(target, body)
        return kms_decided.read(target.removeprefix(_PREFIX), body)
    except MalformedError as failure:
        raise error("ValidationException", f"1 validation error detected: {failure}") from None


def _body(reply: kms.Reply) -> bytes:
    """The reply's JSON; beside an envelope, Plaintext is there and null, as KMS sends it."""
    encoded = kms.encode_reply(reply)
    members = json.loads(encoded)
    if "CiphertextForRecipient" not in members:
        return encoded
    return json.dumps({**members, "Plaintext": None}, separators=(",", ":")).encode()
