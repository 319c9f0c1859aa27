"""The answers of `approve-list-svc`: may a request from this address be signed? Source: signatory-compat §9.

It decides by the field `source` alone and believes whoever asks: only the daemon should reach it. The message
to be signed is neither kept nor logged.
"""

import asyncio
import binascii
import ipaddress
import json
import logging
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from cli.approval.config import Address, Approval, plain
from signatory.errors import MalformedError, SignatoryError
from signatory.limits import Limits
from signatory.server import golang, requests
from signatory.server.connections import connection_of
from signatory.server.requests import HttpError
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature

logger = logging.getLogger("approve-list-svc")

LIMITS = Limits(connections=256)
"""The daemon's: a question is the longest request in Base64 and fits into a body of its own size."""

MAX_NONCE = 1024
"""Characters; the daemon's has 44."""

_SERVER = {"Server": "approve-list-svc"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a question decides, and what its answer repeats."""

    source: Address | None
    nonce: str
    public_key_hash: str
    """For the log; empty where it is none."""


class Service:
    """Answers every request of the listener, whatever its path, as the reference does."""

    def __init__(self, approval: Approval) -> None:
        self._approval = approval

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request: 200 or 403 signed, 204 or 403 where there is no key, 400 for what is no question."""
        connection = connection_of(request)
        try:
            requests.check_headers(request, LIMITS)
            if request.method != "POST":
                return _empty(405)
            body = await requests.read_body(request, LIMITS)
            connection.request_is_whole()
            return await asyncio.to_thread(self._answer, body)
        except HttpError as error:
            refusal = _empty(error.status)
            refusal.force_close()
            return refusal
        except MalformedError as error:
            logger.warning("Not a question: %s", error)
            return _empty(400)
        except Exception:
            logger.exception("Internal error")
            return _empty(500)
        finally:
            connection.request_is_answered()

    def _answer(self, body: bytes) -> web.Response:
        asked = parse(body, signed=self._approval.key is not None)
        allowed = self._approval.allows(asked.source)
        logger.info(
            "Allowed" if allowed else "Refused",
            extra={"source": _shown(asked.source), "pkh": asked.public_key_hash},
        )
        if self._approval.key is None:
            return _empty(204 if allowed else 403)
        error = "" if allowed else f"address {_shown(asked.source)} is not allowed"
        status = 200 if allowed else 403
        reply = self._signed(status, error, asked.nonce)
        return web.Response(status=status, body=reply, content_type="application/json", headers=_SERVER)

    def _signed(self, status: int, error: str, nonce: str) -> bytes:
        """The reply; the signature is over the very bytes of its payload."""
        key = self._approval.key
        assert key is not None  # noqa: S101 - the caller has looked
        signer = PublicKey(key.type, key.public).hash.text
        payload = golang.encode(
            {"status": status, "error": error, "public_key_hash": signer, "nonce": nonce}
        ).rstrip(b"\n")
        signature = Signature(key.type, key.sign(payload)).text
        return b'{"payload":' + payload + b',"signature":"' + signature.encode() + b'"}\n'


def parse(body: bytes, *, signed: bool) -> Asked:
    """Read a question. Raises MalformedError; a signed answer needs a nonce, else it could be used again."""
    try:
        fields = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise MalformedError("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise MalformedError("the body is not an object")
    _base64(fields, "request")
    nonce = _base64(fields, "nonce")
    if len(nonce) > MAX_NONCE or (signed and not nonce):
        raise MalformedError("the nonce is missing or too long")
    return Asked(_source(_text(fields, "source")), nonce, _hash(_text(fields, "public_key_hash")))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("a name stands in the body twice")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    """A field that may be absent or null, which is the same as empty."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"the field {name} is not text")
    return value


def _base64(fields: dict[str, Any], name: str) -> str:
    text = _text(fields, name)
    try:
        b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"the field {name} is not Base64") from None
    return text


def _source(text: str) -> Address | None:
    if not text:
        return None
    zoned = "%" in text  # a zone may be any text, and an address without its zone is another
    try:
        address = None if zoned else plain(ipaddress.ip_address(text))
    except ValueError:
        address = None
    if address is None:
        raise MalformedError("the field source is not an address")
    return address


def _hash(text: str) -> str:
    try:
        return PublicKeyHash.parse(text).text
    except SignatoryError:
        return ""


def _shown(source: Address | None) -> str:
    return "<nil>" if source is None else str(source)


def _empty(status: int) -> web.Response:
    return web.Response(status=status, headers=_SERVER)
