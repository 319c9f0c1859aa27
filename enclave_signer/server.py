"""The listener: a bounded number of connections, each one session, one request at a time, in order."""

import asyncio
import logging

from enclave_signer.session import Enclave, Session
from signatory.net.vsock import listen
from signatory.rpc.messages import encode_error
from signatory.rpc.wire import HEADER, FrameTooLongError, body_length, put_frame

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
        await self._run(reader, writer)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self._enclave)
        timeout = self._enclave.settings.limits.read_timeout
        try:
            await _converse(session, reader, writer, timeout)
            async with asyncio.timeout(timeout):
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            _log.warning("a connection was closed: its host was too slow")
        except (OSError, EOFError):
            _log.info("a connection broke")
        except asyncio.CancelledError:
            _log.info("a session was ended")
        except Exception as error:  # noqa: BLE001 - the text or the traceback of a bug could hold a secret
            _log.error("a session failed by %s", type(error).__name__)
        finally:
            session.close()
            writer.transport.abort()


async def _converse(
    session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Until the host hangs up. A begun request, and a reply, have `seconds` each.

    Before Initialize, the wait for a request too: connections are few, and idle ones would keep others out.
    """
    while start := await _first_bytes(session, reader, seconds):
        try:
            async with asyncio.timeout(seconds):
                body = await _read_body(start, reader, session.frame_limit)
        except FrameTooLongError as error:
            # The rest of the stream is of no use; the host learns why before it is hung up on.
            await _send(writer, encode_error((error.message,)), seconds)
            return
        if body is None:
            return
        await _send(writer, await session.answer(body), seconds)


async def _first_bytes(session: Session, reader: asyncio.StreamReader, seconds: float) -> bytes:
    async with asyncio.timeout(None if session.is_initialized else seconds):
        return await reader.read(HEADER)


async def _read_body(start: bytes, reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """The body of the frame that begins with `start`; None where the stream ends inside the header."""
    try:
        header = start + await reader.readexactly(HEADER - len(start))
    except asyncio.IncompleteReadError:
        return None
    return await reader.readexactly(body_length(header, limit))


async def _send(writer: asyncio.StreamWriter, body: bytes, seconds: float) -> None:
    writer.write(put_frame(body))
    async with asyncio.timeout(seconds):
        await writer.drain()
