"""The listener: a bounded number of connections, each one session; its first frame chooses the protocol."""

import asyncio
import logging
from collections.abc import Callable

from enclave_signer import extended
from enclave_signer.enclave import Enclave
from enclave_signer.frames import Frames
from enclave_signer.session import Session
from signatory.net.vsock import listen
from signatory.rpc.hello import is_hello
from signatory.rpc.messages import encode_error
from signatory.rpc.wire import FrameTooLongError

EXTENDED_ONLY = "this enclave serves the extended protocol only; the first frame must be Hello"

_log = logging.getLogger("enclave_signer")


class Server:
    """Serves from `start` to `close`."""

    def __init__(self, enclave: Enclave) -> None:
        self._enclave = enclave
        self._listener: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; the address, with the port that was really bound. Raises UnavailableError."""
        address = self._enclave.settings.listen
        self._listener = await listen(self._connected, address)
        if address.family == "tcp":
            return f"tcp://{address.host}:{self._listener.sockets[0].getsockname()[1]}"
        return str(address)

    async def close(self) -> None:
        """Stop listening and end every session; keys are forgotten, nothing is stored here."""
        if self._listener is not None:
            self._listener.close()
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._sessions) >= self._enclave.settings.limits.connections:
            _log.warning("a connection too many was closed")
            writer.transport.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)
        await self._run(Frames(reader, writer, self._enclave.settings.limits.read_timeout))

    async def _run(self, frames: Frames) -> None:
        self._enclave.sessions += 1
        try:
            await self._converse(frames)
            await frames.hang_up()
        except TimeoutError:
            _log.warning("a connection was closed: its host was too slow")
        except (FrameTooLongError, extended.StrayFrameError) as error:
            _log.warning("a connection was closed: %s", error.message)
        except (OSError, EOFError):
            _log.info("a connection broke")
        except asyncio.CancelledError:
            _log.info("a session was ended")
        except Exception as error:  # noqa: BLE001 - the text or the traceback of a bug could hold a secret
            _log.error("a session failed by %s", type(error).__name__)
        finally:
            self._enclave.sessions -= 1
            frames.cut()

    async def _converse(self, frames: Frames) -> None:
        """Until the host hangs up; its first frame chooses the protocol."""
        settings = self._enclave.settings
        first = await _take(frames, settings.limits.frame_before, lambda: False)
        if first is None:
            return
        if is_hello(first):
            await extended.serve(self._enclave, frames, first)
        elif settings.reference_protocol:
            await _serve_reference(Session(self._enclave), frames, first)
        else:
            await frames.put(encode_error((EXTENDED_ONLY,)))


async def _serve_reference(session: Session, frames: Frames, first: bytes) -> None:
    """One request at a time, in order."""
    body: bytes | None = first
    try:
        while body is not None:
            await frames.put(await session.answer(body))
            body = await _take(frames, session.frame_limit, lambda: session.is_initialized)
    finally:
        session.close()


async def _take(frames: Frames, limit: int, may_idle: Callable[[], bool]) -> bytes | None:
    """The next frame; None at the end of the stream, and after one too long, of which the host is told."""
    try:
        return await frames.take(limit, may_idle)
    except FrameTooLongError as error:
        await frames.put(encode_error((error.message,)))
        return None
