"""DynamoDB by moto on a free port of loopback, as a process of its own; ends when its standard input does.

Requests are answered one after the other. moto takes back a refused transaction by putting an old copy of the
whole table in place, so that two at once would lose writes; DynamoDB's transactions are serializable.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    backend = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: Any, start_response: Any) -> Iterable[bytes]:
        with lock:
            return list(backend(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - how it is found
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
