"""Answers as bytes: Signatory's bodies, headers and status codes, written to the connection in one piece."""

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, StreamResponse

from signatory.errors import SignatoryError
from signatory.server import golang
from signatory.watermark.store import REFUSED

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

STATUSES = {
    "malformed": 400,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "watermark": 409,
    "integrity": 500,
    "config": 500,
    "internal": 500,
    "unavailable": 503,
}
"""Kind of error to status. Signatory answers 500 where we answer 503."""

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
}


class Answer(StreamResponse):
    """A whole answer. It writes itself; the base class is what aiohttp's protocol asks for.

    aiohttp's own Response looks up, merges and copies headers for longer than a signature takes.
    """

    def __init__(  # the base class's constructor makes what this class does without
        self, status: int, body: bytes, content_type: str, *, headers: str = "", close: bool = False
    ) -> None:
        """`headers` are more lines, each with its CRLF. `close` ends the connection after this answer."""
        self._state: dict[Any, Any] = {}
        self._status = status
        self._content = body
        self._content_line = f"Content-Type: {content_type}\r\n" if content_type else ""
        self._more = headers
        self._keep_alive = False if close else None

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Write everything to the connection of the request."""
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        body = b"" if request.method == "HEAD" else self._content
        head = (
            f"HTTP/1.1 {self._status} {_REASONS.get(self._status, 'Unknown')}\r\n"
            f"{self._content_line}{self._more}Date: {_date()}\r\n"
            f"Content-Length: {len(self._content)}\r\n{_connection(request, self._keep_alive)}\r\n"
        )
        await request.writer.write(head.encode("latin-1") + body)
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything was written before."""

    def add(self, header: str) -> None:
        """One more header line, with its CRLF."""
        self._more += header

    @property
    def status(self) -> int:
        return self._status


def json_answer(value: dict[str, Any], status: int = 200) -> Answer:
    """A JSON object."""
    return Answer(status, golang.encode(value), JSON)


def success(name: str, text: str) -> Answer:
    """200 with one field whose text needs no escaping: Base58."""
    return Answer(200, f'{{"{name}":"{text}"}}\n'.encode(), JSON)


def failure(status: int, message: str, *, close: bool = False) -> Answer:
    """An error as Octez clients expect it: one element in an array."""
    body = {"id": "failure", "kind": "temporary"}
    if message:
        body["msg"] = message
    return Answer(status, golang.encode([body]), JSON, close=close)


def refused(error: SignatoryError) -> Answer:
    """The answer to an error of ours."""
    return failure(STATUSES[error.kind], public_message(error))


def public_message(error: SignatoryError) -> str:
    """What the client may read: for a watermark Signatory's one text, for the rest the error itself."""
    return REFUSED if error.kind == "watermark" else str(error)


def not_found() -> Answer:
    """A path that nobody serves."""
    return Answer(404, b"404 page not found\n", TEXT, headers="X-Content-Type-Options: nosniff\r\n")


def method_not_allowed() -> Answer:
    """A path with another method."""
    return Answer(405, b"", "")


def moved(location: str) -> Answer:
    """A path that was not clean, to where it is."""
    return Answer(301, b"", "", headers=f"Location: {location}\r\n")


def _connection(request: BaseRequest, keep_alive: bool | None) -> str:
    if not keep_alive:
        return "Connection: close\r\n"
    return "Connection: keep-alive\r\n" if request.version < (1, 1) else ""


_cached_date = (-1, "")


def _date() -> str:
    global _cached_date  # noqa: PLW0603 - formatted once a second
    now = int(time.time())
    if _cached_date[0] != now:
        _cached_date = (now, formatdate(now, usegmt=True))
    return _cached_date[1]
