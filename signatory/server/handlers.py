"""The main listener: which path is served how, in Signatory's order. Source: signatory-compat §1."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from signatory.errors import SignatoryError
from signatory.limits import Limits
from signatory.observe import log
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
from signatory.server.births import certificate
from signatory.server.connections import connection_of
from signatory.server.login import Logins, RefusedError
from signatory.server.records import Records
from signatory.server.requests import HttpError, Visit
from signatory.server.signing import Signing, check_key_id, late, parse_address
from signatory.signer import PolicyHolder, Signer

logger = logging.getLogger("signatory")
access = logging.getLogger("signatory.access")

Route = Callable[[Visit], Awaitable[Answer]]

LOGIN, RELOAD = "/login", "/reload"

_KEY_PATH = re.compile(r"/(keys|bls_prove_possession)/([^/]+)(/attestation)?")


class Reload(Protocol):
    """Answers `/reload`."""

    async def answer(self, request: web.BaseRequest, source: str) -> Answer:
        """The answer to a request from this address."""
        ...


class Handlers:
    """Answers every request of the main listener; nothing it is given makes it raise."""

    def __init__(
        self,
        signer: Signer,
        policy: PolicyHolder,
        records: Records,
        limits: Limits,
        *,
        options: "Options",
        reloading: Reload | None = None,
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._limits = limits
        self._options = options
        self._reloading = reloading
        self._logins = Logins(policy, records, limits)
        self._signing = Signing(signer, policy, records, limits, allow_dry_run=options.allow_dry_run)
        self._routes: dict[tuple[str, str], Route] = {
            ("keys", "POST"): self._signing.sign,
            ("keys", "GET"): self._public_key,
            ("keys/attestation", "GET"): self._certificate,
            ("bls_prove_possession", "GET"): self._signing.prove,
            ("/authorized_keys", "GET"): self._authorized_keys,
            ("/known_keys", "GET"): self._known_keys,
            (LOGIN, "POST"): self._login,
            (RELOAD, "GET"): self._reload,
            (RELOAD, "POST"): self._reload,
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
        name, argument = (match[1] + (match[3] or ""), match[2]) if match else (target.path, "")
        if not self._serves(name):
            return not_found()
        route = self._routes.get((name, request.method))
        if route is None:
            return method_not_allowed()
        return await self._logged(Visit(request, target, argument), route)

    def _serves(self, name: str) -> bool:
        """Whether there is such a path; `/login` is there only where clients log in."""
        if name == LOGIN:
            return self._logins.required
        return name in self._names and (name != RELOAD or self._reloading is not None)

    async def _logged(self, visit: Visit, route: Route) -> Answer:
        if not access.isEnabledFor(logging.INFO):
            return await self._answered(visit, route)
        began, started = time.perf_counter_ns(), log.stamp(time.time())
        answer = await self._answered(visit, route)
        method, path = visit.request.method, visit.target.path
        fields = {
            "start_time": started,
            "duration": log.Duration(time.perf_counter_ns() - began),
            "status": answer.status,
            "hostname": visit.request.headers.get("Host", ""),
            "method": method,
            "path": path,
        }
        access.info("%s %s", method, path, extra={"fields": fields})
        return answer

    async def _answered(self, visit: Visit, route: Route) -> Answer:
        """Errors become answers here, so that the access line has their status."""
        try:
            if self._logins.required and visit.target.path != LOGIN:
                user = self._logins.user_of(visit.request)
                visit = Visit(visit.request, visit.target, visit.argument, user)
            return await route(visit)
        except RefusedError as error:
            return error.answer
        except HttpError as error:
            return failure(error.status, error.message, close=True)
        except SignatoryError as error:
            return refused(error)

    async def _public_key(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        parse_address(visit.argument)
        logger.debug("Fetching public key for: %s", visit.argument)
        try:
            async with asyncio.timeout(self._limits.request):
                entry = await self._signer.key(visit.argument)
        except TimeoutError:
            return late(self._limits)
        return success("public_key", entry.key.public_key.text)

    async def _certificate(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        check_key_id(visit.argument)
        try:
            async with asyncio.timeout(self._limits.request):
                stored = await self._signer.birth(visit.argument)
        except TimeoutError:
            return late(self._limits)
        return json_answer(certificate(visit.argument, stored))

    async def _authorized_keys(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        hashes = self._signing.clients().hashes()
        return json_answer({"authorized_keys": hashes} if hashes else {})

    async def _known_keys(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        if not self._options.allow_list_known_keys:
            return failure(403, "listing known keys is not allowed")
        return json_answer({"known_keys": list(self._policy.current.keys)})

    async def _login(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        return self._logins.login(visit.request)

    async def _reload(self, visit: Visit) -> Answer:
        connection_of(visit.request).request_is_whole()
        if self._reloading is None:
            return not_found()
        return await self._reloading.answer(visit.request, requests.source(visit.request))


class Options:
    """What the configuration says about the main listener."""

    def __init__(
        self, *, refuse_origin: bool, allow_list_known_keys: bool, allow_dry_run: bool = False
    ) -> None:
        self.refuse_origin = refuse_origin
        self.allow_list_known_keys = allow_list_known_keys
        self.allow_dry_run = allow_dry_run
