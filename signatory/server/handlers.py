"""The main listener: which path is served how, in Signatory's order. Source: signatory-compat §1."""

import asyncio
import functools
import logging
import re
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from signatory.crypto.curves import SigningVersion
from signatory.errors import NotFoundError, SignatoryError
from signatory.keyring import NOT_FOUND
from signatory.limits import Limits
from signatory.observe import log
from signatory.observe.metrics import UNKNOWN
from signatory.policy import Client
from signatory.server import requests
from signatory.server.answers import (
    Answer,
    failure,
    json_answer,
    method_not_allowed,
    moved,
    not_found,
    refused,
    success,
)
from signatory.server.clients import Clients
from signatory.server.connections import connection_of
from signatory.server.golang import decode_hex_string
from signatory.server.records import Records
from signatory.server.requests import HttpError, Target
from signatory.signer import PolicyHolder, Signer, Story
from signatory.tezos.keys import PublicKeyHash
from signatory.vault import Call

logger = logging.getLogger("signatory")
access = logging.getLogger("signatory.access")

Route = Callable[[web.BaseRequest, Target, str], Awaitable[Answer]]

_KEY_PATH = re.compile(r"/(keys|bls_prove_possession)/([^/]+)")
_RAW_KEY = re.compile(r"mldsa(?:65|87):[0-9a-f]{40}")
_VERSIONS = {"0": SigningVersion.V0, "1": SigningVersion.V1, "2": SigningVersion.V2}


class Handlers:
    """Answers every request of the main listener; nothing it is given makes it raise."""

    def __init__(
        self, signer: Signer, policy: PolicyHolder, records: Records, limits: Limits, *, options: "Options"
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._records = records
        self._limits = limits
        self._options = options
        self._clients = Clients(policy.current)
        self._routes: dict[tuple[str, str], Route] = {
            ("keys", "POST"): self._sign,
            ("keys", "GET"): self._public_key,
            ("bls_prove_possession", "GET"): self._prove,
            ("/authorized_keys", "GET"): self._authorized_keys,
            ("/known_keys", "GET"): self._known_keys,
        }
        self._names = {name for name, _ in self._routes}

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """One request, from its headers to its answer."""
        connection = connection_of(request)
        identifier = requests.request_id(request)
        token = log.request_id.set(identifier)
        try:
            answer = await self._routed(request)
        except HttpError as error:
            answer = failure(error.status, error.message, close=True)
        except SignatoryError as error:
            answer = refused(error)
        except Exception:
            logger.exception("Internal error")
            answer = failure(500, "internal error")
        finally:
            connection.request_is_answered()
            log.request_id.reset(token)
        answer.add(f"X-Request-Id: {identifier}\r\n")
        return answer

    async def _routed(self, request: web.BaseRequest) -> Answer:
        requests.check_headers(request, self._limits)
        if self._options.refuse_origin and requests.is_from_a_page(request):
            return failure(403, requests.FROM_A_PAGE)
        target = requests.parse_target(request.raw_path)
        if not target.clean:
            return moved(requests.cleaned_location(target))
        match = _KEY_PATH.fullmatch(target.path)
        name, argument = (match[1], match[2]) if match else (target.path, "")
        if name not in self._names:
            return not_found()
        route = self._routes.get((name, request.method))
        if route is None:
            return method_not_allowed()
        return await self._logged(request, target, route, argument)

    async def _logged(self, request: web.BaseRequest, target: Target, route: Route, argument: str) -> Answer:
        if not access.isEnabledFor(logging.INFO):
            return await self._answered(request, target, route, argument)
        began, started = time.perf_counter_ns(), log.stamp(time.time())
        answer = await self._answered(request, target, route, argument)
        fields = {
            "start_time": started,
            "duration": log.Duration(time.perf_counter_ns() - began),
            "status": answer.status,
            "hostname": request.headers.get("Host", ""),
            "method": request.method,
            "path": target.path,
        }
        access.info("%s %s", request.method, target.path, extra={"fields": fields})
        return answer

    async def _answered(
        self, request: web.BaseRequest, target: Target, route: Route, argument: str
    ) -> Answer:
        """Errors become answers here, so that the access line has their status."""
        try:
            return await route(request, target, argument)
        except HttpError as error:
            return failure(error.status, error.message, close=True)
        except SignatoryError as error:
            return refused(error)

    async def _sign(self, request: web.BaseRequest, target: Target, argument: str) -> Answer:
        began = time.perf_counter()
        address, status = UNKNOWN, 500
        try:
            pkh = _parse_address(argument)
            address = argument
            answer = await self._signed(request, target, pkh, address)
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

    async def _signed(
        self, request: web.BaseRequest, target: Target, pkh: PublicKeyHash, address: str
    ) -> Answer:
        version = _VERSIONS.get(target.first("version") or "", SigningVersion.LATEST)
        self._records.began(version)
        source = requests.source(request)
        body = await requests.read_body(request, self._limits)
        connection_of(request).request_is_whole()
        message = decode_hex_string(body)
        del body  # it may be long, and so may be the wait for the vault
        client = self._identified(pkh, message, target, source)
        story = Story(pkh, address, message, version, client, self._call())
        try:
            async with asyncio.timeout(self._limits.request):
                signature = await self._signer.sign(story)
        except SignatoryError as error:
            self._records.failed(story, error)
            raise
        except TimeoutError as error:
            self._records.failed(story, error)
            return self._late()
        self._records.signed(story)
        return success("signature", signature.text)

    async def _prove(self, request: web.BaseRequest, target: Target, argument: str) -> Answer:
        pkh = _parse_address(argument)
        connection_of(request).request_is_whole()
        client = self._identified(pkh, b"", target, requests.source(request))
        story = Story(pkh, argument, b"", SigningVersion.LATEST, client, self._call())
        try:
            async with asyncio.timeout(self._limits.request):
                proof = await self._signer.prove(story)
        except SignatoryError as error:
            logger.warning("Proof of possession refused: %s", error, extra={"pkh": argument})
            raise
        except TimeoutError:
            return self._late()
        return success("bls_prove_possession", proof.text)

    async def _public_key(self, request: web.BaseRequest, target: Target, argument: str) -> Answer:  # noqa: ARG002 - a Route
        connection_of(request).request_is_whole()
        _parse_address(argument)
        try:
            async with asyncio.timeout(self._limits.request):
                entry = await self._signer.key(argument)
        except TimeoutError:
            return self._late()
        return success("public_key", entry.key.public_key.text)

    async def _authorized_keys(self, request: web.BaseRequest, target: Target, argument: str) -> Answer:  # noqa: ARG002 - a Route
        connection_of(request).request_is_whole()
        hashes = self._current_clients().hashes()
        return json_answer({"authorized_keys": hashes} if hashes else {})

    async def _known_keys(self, request: web.BaseRequest, target: Target, argument: str) -> Answer:  # noqa: ARG002 - a Route
        connection_of(request).request_is_whole()
        if not self._options.allow_list_known_keys:
            return failure(403, "listing known keys is not allowed")
        return json_answer({"known_keys": list(self._policy.current.keys)})

    def _identified(self, pkh: PublicKeyHash, message: bytes, target: Target, source: str) -> Client:
        try:
            key_hash = self._current_clients().identify(pkh, message, target.first("authentication"))
        except SignatoryError as error:
            self._records.unauthenticated(refused(error).status, source)
            raise
        return Client(source, key_hash)

    def _current_clients(self) -> Clients:
        policy = self._policy.current
        if self._clients.policy is not policy:
            self._clients = Clients(policy)
        return self._clients

    def _call(self) -> Call:
        return Call(log.request_id.get(), self._limits.request)

    def _late(self) -> Answer:
        return failure(503, f"the request was not completed within {self._limits.request:g} s")


class Options:
    """What the configuration says about the main listener."""

    def __init__(self, *, refuse_origin: bool, allow_list_known_keys: bool) -> None:
        self.refuse_origin = refuse_origin
        self.allow_list_known_keys = allow_list_known_keys


@functools.lru_cache(maxsize=4096)
def _parse_address(text: str) -> PublicKeyHash:
    """Raises NotFoundError for the keys that have no Tezos form, MalformedError for what is no key at all."""
    if _RAW_KEY.fullmatch(text):
        raise NotFoundError(NOT_FOUND)
    return PublicKeyHash.parse(text)
