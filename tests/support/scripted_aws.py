"""An HTTP endpoint on loopback that answers AWS JSON calls by a script, and keeps what was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fields = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Status and body; a body that is bytes goes out as it is."""

    body: Fields | bytes
    status: int = 200

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


LOST = Answer(b"", 0)
"""The connection ends without a byte."""
SILENT = Answer(b"", -1)
"""Nothing comes until the test is over."""

Step = Answer | Callable[[Fields], Answer]


def failed(code: str, status: int = 400, message: str = "as scripted", **more: Any) -> Answer:
    """An error as DynamoDB writes it."""
    name = f"com.amazonaws.dynamodb.v20120810#{code}"
    return Answer({"__type": name, "message": message, **more}, status)


def cancelled(*reasons: Fields | str) -> Answer:
    """A refused transaction, with the code or the whole reason of each item."""
    rows = [{"Code": reason} if isinstance(reason, str) else reason for reason in reasons]
    return failed("TransactionCanceledException", CancellationReasons=rows)


@dataclass
class Scripted:
    """The next step answers the next call; the last one answers all that follow."""

    steps: list[Step] = field(default_factory=list)
    asked: list[tuple[str, Fields]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, *steps: Step) -> None:
        """From now on these, and forget what was asked."""
        self.steps, self.asked, self.headers = list(steps), [], []

    @property
    def names(self) -> list[str]:
        """The operations asked for, in order."""
        return [name for name, _ in self.asked]

    def answer(self, headers: dict[str, str], body: Fields) -> Answer:
        with self.lock:
            self.asked.append((headers.get("X-Amz-Target", "").rpartition(".")[2], body))
            self.headers.append(headers)
            step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step(body) if callable(step) else step


@contextmanager
def scripted() -> Iterator[Scripted]:
    """The endpoint, until the end of the block."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = script.answer(dict(self.headers), body)
            if answer is SILENT:
                script.over.wait(60)
            if answer is SILENT or answer is LOST:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
