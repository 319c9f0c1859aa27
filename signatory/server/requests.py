"""What a client sent, read within the limits: target, request id, source, body."""

import asyncio
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote_plus, unquote_to_bytes, urlsplit

from aiohttp import web

from signatory.errors import MalformedError
from signatory.limits import Limits
from signatory.server.connections import Connection, connection_of, new_request_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_DRY_RUN = re.compile(r"(?i)dry[\W_]*run")
_DRY_RUN_ANYWHERE = re.compile(r"(?i)dry[\W_]+run")
"""In a value too; no Base58 has it, which may well hold the six letters."""
_ESCAPES = 3
"""How often a query may have been escaped by those who passed it on."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

FROM_A_PAGE = "requests from web pages are refused"


class HttpError(Exception):
    """A request that ends in the HTTP layer, before anything of ours is asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Target:
    """Path and query of a request; `clean` is False for a path that a router should first straighten."""

    path: str
    query: str
    clean: bool = True

    def first(self, name: str) -> str | None:
        """The first value of a query parameter, None where there is none."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for key, value in self.pairs() if key == name]

    def pairs(self) -> list[tuple[str, str]]:
        """Every name and value of the query."""
        return parse_qsl(self.query, keep_blank_values=True, errors="replace") if self.query else []


@dataclass(frozen=True, slots=True)
class Visit:
    """A request on its way to its route: where it goes, what stands in the path, and who logged in."""

    request: web.BaseRequest
    target: Target
    argument: str = ""
    user: str | None = None


def parse_target(raw: str) -> Target:
    """Read a request target, `/path?query` or with scheme and host before it. Raises HttpError 400.

    There are no fragments in one: a `#` is a character like any other, as in Go.
    """
    if not raw.startswith("/"):
        parts = _absolute(raw)
        raw = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    path, _, query = raw.partition("?")
    if "%" in path:
        path = unquote_to_bytes(path).decode("utf-8", "replace")
    clean = ("//" not in path and "/." not in path) or _cleaned(path) == path
    return Target(path, query, clean)


def cleaned_location(target: Target) -> str:
    """Where to send a client whose path has `//`, `/./` or `/../` in it; safe to stand in a header."""
    # A browser takes a backslash for a slash: "/\\host" would lead to another host.
    path = "".join(
        one if one.isascii() and one.isprintable() and one not in ' ?#%\\"<>' else _percent(one)
        for one in _cleaned(target.path)
    )
    query = "".join(one if one.isascii() and one.isprintable() else _percent(one) for one in target.query)
    return f"{path}?{query}" if query else path


def check_headers(request: web.BaseRequest, limits: Limits) -> None:
    """What came in one piece with its end was not measured before. Raises HttpError 431."""
    if connection_of(request).unread <= limits.headers:
        return
    # A name, a colon, a value, a CRLF: the spaces around the value are gone and cannot be counted.
    size = len(request.raw_path) + sum(len(name) + len(value) + 3 for name, value in request.raw_headers)
    if size > limits.headers:
        raise HttpError(431, f"the headers are longer than {limits.headers} bytes")


def is_from_a_page(request: web.BaseRequest) -> bool:
    """Whether a browser sent it for a page: only those name an origin."""
    return "Origin" in request.headers


def request_id(request: web.BaseRequest) -> str:
    """The id the client chose, where it is short and harmless, else a new one."""
    given = request.headers.get("X-Request-Id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return new_request_id()


def mentions_dry_run(target: Target) -> bool:
    """Whether the query speaks of a dry run, in whatever spelling: such a request must never sign.

    It does so too where that stands in a value: behind a separator that we do not know, or escaped twice.
    """
    if not target.query:
        return False
    text = target.query
    for _ in range(_ESCAPES):
        text = unquote_plus(text)
    names = (name for query in {target.query, text} for name, _ in Target("", query).pairs())
    return bool(_DRY_RUN_ANYWHERE.search(text)) or any(_DRY_RUN.search(name) for name in names)


def check_dry_run(target: Target) -> None:
    """Raise MalformedError unless the query asks for a dry run in the one way there is."""
    named = [pair for pair in target.pairs() if _DRY_RUN.search(pair[0])]
    if named not in ([("dry_run", "1")], [("dry_run", "true")]):
        raise MalformedError("dry_run takes 1 or true, once; nothing was signed")


def source(request: web.BaseRequest) -> str:
    """The address of the peer without its port; empty on a unix socket."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


async def read_body(request: web.BaseRequest, limits: Limits) -> bytes:
    """The whole body. Raises HttpError: 413 too long, 415 compressed, 408 too slow, 400 broken off, 417."""
    headers, connection = request.headers, connection_of(request)
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HttpError(415, "compressed request bodies are not supported")
    length = request.content_length
    if length is not None and length > limits.body:
        raise HttpError(413, f"the request body is longer than {limits.body} bytes")
    content = request.content
    if not content.is_eof():
        _answer_expectation(request)
        return await _read_slowly(request, connection, limits)
    body = content.read_nowait(-1)
    if len(body) > limits.body:
        raise HttpError(413, f"the request body is longer than {limits.body} bytes")
    _hold(connection, len(body))
    return body


def _hold(connection: Connection, count: int) -> None:
    if not connection.hold(count):
        raise HttpError(503, "too many long requests at once")


def _answer_expectation(request: web.BaseRequest) -> None:
    expectation = request.headers.get("Expect")
    if expectation is None or request.version < (1, 1):
        return
    if expectation.lower() != "100-continue":
        raise HttpError(417, "only the expectation 100-continue is known")
    if request.transport is not None:
        request.transport.write(_CONTINUE)


async def _read_slowly(request: web.BaseRequest, connection: Connection, limits: Limits) -> bytes:
    loop, since = asyncio.get_running_loop(), connection.reading_since
    parts, size = [], 0
    connection.reading_body = True
    try:
        async with asyncio.timeout_at((loop.time() if since is None else since) + limits.read):
            while part := await request.content.readany():
                parts.append(part)
                size += len(part)
                if size > limits.body:
                    raise HttpError(413, f"the request body is longer than {limits.body} bytes")
                _hold(connection, len(part))
    except TimeoutError:
        raise HttpError(408, f"the request did not arrive within {limits.read:g} s") from None
    except (web.RequestPayloadError, ConnectionError, RuntimeError):  # RuntimeError: we closed it ourselves
        raise HttpError(400, "the request body was broken off or is not well formed") from None
    finally:
        connection.reading_body = False
    return b"".join(parts)


def _absolute(raw: str) -> SplitResult:
    try:
        parts = urlsplit(raw, allow_fragments=False)
    except ValueError:
        raise HttpError(400, "the request target is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise HttpError(400, "the request target is not a URL")
    return parts


def _cleaned(path: str) -> str:
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
