"""The utility listener: is the daemon ready, what has it counted, how did the last reload end.

Source: signatory-compat §1.8; `/reload` is ours.
"""

import asyncio
import gzip
import logging
from collections.abc import Callable

from aiohttp import web

from signatory.keyring import Keyring
from signatory.limits import Limits
from signatory.observe.metrics import Metrics
from signatory.server import requests
from signatory.server.answers import Answer, failure, json_answer, method_not_allowed, not_found
from signatory.server.connections import connection_of
from signatory.server.reloading import Reloading
from signatory.server.requests import HttpError

logger = logging.getLogger("signatory")

HEALTHZ, METRICS, RELOAD = "/healthz", "/metrics", "/reload"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = {HEALTHZ: {"GET"}, METRICS: {"GET"}, RELOAD: {"GET", "POST"}}


class Utility:
    """Answers every request of the utility listener."""

    def __init__(
        self,
        keyring: Keyring,
        metrics: Metrics,
        limits: Limits,
        *,
        stopping: Callable[[], bool],
        trouble: Callable[[], str],
        refuse_origin: bool,
        reloading: Reloading,
    ) -> None:
        """`trouble` says why marks cannot be written; empty where they can."""
        self._trouble = trouble
        self._keyring = keyring
        self._metrics = metrics
        self._limits = limits
        self._stopping = stopping
        self._refuse_origin = refuse_origin
        self._reloading = reloading

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """One request."""
        connection = connection_of(request)
        identifier = requests.request_id(request)
        try:
            requests.check_headers(request, self._limits)
            connection.request_is_whole()
            answer = await self._routed(request)
        except HttpError as error:
            answer = failure(error.status, error.message, close=True)
        except Exception:
            logger.exception("Internal error")
            answer = failure(500, "internal error")
        finally:
            connection.request_is_answered()
        answer.add(f"X-Request-Id: {identifier}\r\n")
        return answer

    async def _routed(self, request: web.BaseRequest) -> Answer:
        if self._refuse_origin and requests.is_from_a_page(request):
            return failure(403, requests.FROM_A_PAGE)
        target = requests.parse_target(request.raw_path)
        methods = _METHODS.get(target.path)
        if methods is None:
            return not_found()
        if request.method not in methods:
            return method_not_allowed()
        if target.path == RELOAD:
            return await self._reloading.answer(request, requests.source(request))
        if target.path == METRICS:
            return await self._metrics_page(request)
        return self._healthz(verbose=target.first("verbose") is not None)

    def _healthz(self, *, verbose: bool) -> Answer:
        """Ready when every configured vault is, marks can be written and the daemon is not stopping.

        `?verbose` says why not.
        """
        states, trouble = self._keyring.readiness(), self._trouble()
        ready = all(state.ready for state in states.values()) and not trouble and not self._stopping()
        body: dict[str, object] = {"ready": ready}
        if verbose:
            body["vaults"] = {
                name: {"ready": state.ready, "reason": state.reason} for name, state in states.items()
            }
            body["watermark"] = {"ready": not trouble, "reason": trouble}
            body["stopping"] = self._stopping()
        return json_answer(body, 200 if ready else 503)

    async def _metrics_page(self, request: web.BaseRequest) -> Answer:
        accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        body = await asyncio.to_thread(_page, self._metrics, accepts_gzip)
        return Answer(200, body, EXPOSITION, headers="Content-Encoding: gzip\r\n" if accepts_gzip else "")


def _page(metrics: Metrics, compressed: bool) -> bytes:
    page = metrics.exposition()
    return gzip.compress(page, compresslevel=3) if compressed else page
