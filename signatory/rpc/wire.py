"""Frames: four bytes of big-endian length, then that many bytes of one CBOR item; in both directions.

A frame has no upper limit in the reference; here every reader names one, and a length above it is refused
before the body is awaited. Source: reference RPC, framing.
"""

from signatory.errors import MalformedError

HEADER = 4
"""Bytes of the length in front of a body."""

LIMIT_BEFORE = 64 * 1024
"""Longest body, in bytes, that a session takes before it is initialised."""

LIMIT_AFTER = 1024 * 1024
"""Longest body, in bytes, once it is, and of a reply."""

LONGEST = 2 ** (8 * HEADER) - 1


class FrameTooLongError(MalformedError):
    """A length that no honest peer announces; the stream cannot be used any further."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a frame of {size} bytes is longer than the limit of {limit}")
        self.size, self.limit = size, limit


def body_length(header: bytes, limit: int) -> int:
    """The length that the four bytes of a header announce. Raises FrameTooLongError above `limit` bytes."""
    size = int.from_bytes(header, "big")
    if size > limit:
        raise FrameTooLongError(size, limit)
    return size


def take_frame(buffer: bytes, limit: int = LIMIT_AFTER) -> tuple[bytes | None, bytes]:
    """Split the first frame off: (body, rest); body is None while bytes are missing.

    Raises FrameTooLongError above `limit` bytes, as soon as the length itself is there.
    """
    if len(buffer) < HEADER:
        return None, buffer
    end = HEADER + body_length(buffer[:HEADER], limit)
    return (None, buffer) if len(buffer) < end else (buffer[HEADER:end], buffer[end:])


def put_frame(body: bytes) -> bytes:
    """The body with its length in front. Raises MalformedError when four bytes cannot say the length."""
    if len(body) > LONGEST:
        raise MalformedError(f"a body of {len(body)} bytes does not fit a frame")
    return len(body).to_bytes(HEADER, "big") + body
