"""`/reload` on both listeners: begin a reload, or tell how the last one ended; from this machine only."""

import ipaddress
import logging

from aiohttp import web

from signatory.reload import SHOWN, Outcome, Reloader
from signatory.server.answers import Answer, failure, json_answer

logger = logging.getLogger("signatory")

OFF = "reloading by HTTP is not enabled"
NOT_LOCAL = "a reload is taken from this machine only"
FROM_A_PAGE = "a reload is not taken from web pages"
FORWARDED = "a reload is not taken through a proxy"

_OF_PROXIES = ("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip")
_OF_PROXIES_BEGIN = "x-forwarded-"


class Reloading:
    """Answers `GET /reload` and `POST /reload`."""

    def __init__(self, reloader: Reloader, *, enabled: bool) -> None:
        self._reloader = reloader
        self._enabled = enabled

    async def answer(self, request: web.BaseRequest, source: str) -> Answer:
        """The answer to a request, of either method, from the peer with this address."""
        if refusal := self._refusal(request, source):
            return failure(403, refusal)
        reloader = self._reloader
        if request.method != "POST":
            return json_answer(_state(reloader))
        if not reloader.start():
            return json_answer({"reload": "running", "number": reloader.number}, 409)
        logger.info("Reloading, asked by HTTP")
        return json_answer({"reload": "started", "number": reloader.number}, 202)

    def _refusal(self, request: web.BaseRequest, source: str) -> str:
        """Why this request gets nothing; empty where it may."""
        if not self._enabled:
            return OFF
        if not is_loopback(source):
            return NOT_LOCAL
        if "Origin" in request.headers:
            return FROM_A_PAGE
        # A proxy on this machine would let the whole network in.
        names = (name.lower() for name in request.headers)
        if any(name in _OF_PROXIES or name.startswith(_OF_PROXIES_BEGIN) for name in names):
            return FORWARDED
        return ""


def is_loopback(source: str) -> bool:
    """Whether the address of a peer is one of this machine; an IPv4 address may come as an IPv6 one."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _state(reloader: Reloader) -> dict[str, object]:
    return {
        "state": "running" if reloader.running else "idle",
        "number": reloader.number,
        "last": None if reloader.last is None else _told(reloader.last),
    }


def _told(last: Outcome) -> dict[str, object]:
    facts: dict[str, object] = {
        "number": last.number,
        "at": last.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if last.error:
        return facts | {"outcome": "refused", "error": last.error}
    return facts | {
        "outcome": "done",
        "changed": _some(last.changed),
        "keys_found": _some(last.found),
        "keys_gone": _some(last.gone),
        "vaults_not_listed": dict(last.unlisted),
        "needs_restart": _some(last.restart),
    }


def _some(names: tuple[str, ...]) -> list[str]:
    return [*names[:SHOWN], *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])]
