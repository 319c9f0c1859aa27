"""Log lines as the Go program writes them: text or JSON on standard error, fields beside the message.

Fields travel in `extra=`, faster in its one key `fields`; the request id comes by itself.
"""

import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task serves; empty outside one."""

TRACE = 5

LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
"""The names that `--log` takes."""

_NAMES = {
    TRACE: "trace",
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
_BARE = re.compile(r"[A-Za-z0-9\-._/@^+]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields"}
_USUAL = len(vars(logging.makeLogRecord({})))
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def configure(level: str, *, as_json: bool = False, stream: Any = None) -> None:
    """Send every line of this process to standard error. Raises KeyError for a level not in LEVELS."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.root.handlers[:] = [handler]
    set_level(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # its debug lines carry request bodies
    logging.getLogger("boto3").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    # Nobody reads these, and finding them out costs more than the rest of a record.
    logging._srcfile = None  # noqa: SLF001 - the documented switch for the caller's name
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def set_level(level: str) -> None:
    """From now on so much is logged. Raises KeyError for a level not in LEVELS."""
    logging.root.setLevel(LEVELS[level.lower()])


class Duration(int):
    """Nanoseconds. In text as Go prints them (`75.232µs`, `1.5ms`, `1m10.003s`), in JSON a number."""

    def __str__(self) -> str:
        if self < 1_000_000_000:
            size, unit = next(row for row in _UNITS if self >= row[0] or row[0] == 1)
            return _decimal(int(self), size) + (unit if self else "s")
        minutes, rest = divmod(int(self), 60_000_000_000)
        hours, minutes = divmod(minutes, 60)
        head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{head}{_decimal(rest, 1_000_000_000)}s"


_UNITS = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def _decimal(value: int, size: int) -> str:
    """`value / size` without an error of rounding and without zeros at the end; `size` is a power of ten."""
    whole, rest = divmod(value, size)
    fraction = str(size + rest)[1:].rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


class TextFormatter(logging.Formatter):
    """`time="..." level=info msg="..." key=value`, keys sorted, values quoted where they need it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        head = f'time="{stamp(record.created)}" level={_level(record)} msg={_value(record.getMessage())}'
        return " ".join([head, *[f"{key}={_value(_text(fields[key]))}" for key in sorted(fields)]])


class JsonFormatter(logging.Formatter):
    """One JSON object per line, keys sorted."""

    def format(self, record: logging.LogRecord) -> str:
        line = fields_of(record)
        line |= {"level": _level(record), "msg": record.getMessage(), "time": stamp(record.created)}
        # Escaped to ASCII: a client's control characters (C1 too) are not for the terminal of who reads this.
        return json.dumps(line, sort_keys=True, separators=(",", ":"), default=str)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra=` brought, the request id, and the place of an exception (never its values)."""
    given = vars(record)
    fields = dict(given.get("fields", ()))
    if len(given) > _USUAL + ("fields" in given):
        fields |= {key: value for key, value in given.items() if key not in _STANDARD}
    if current := request_id.get():
        fields["request_id"] = current
    if record.exc_info and record.exc_info[0]:
        fields["error_type"] = record.exc_info[0].__name__
        fields["error_at"] = place_of(record.exc_info[1])
    return fields


def place_of(error: BaseException | None) -> str:
    """Where an exception was raised: `file:line` of the innermost frames, none of the values in them."""
    frames = traceback.extract_tb(error.__traceback__)[-4:] if error else []
    return " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno) or record.levelname.lower()


def _text(value: Any) -> str:
    """A field as Go prints it: maps as `map[a:1 b:2]`, booleans lower case."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{value[key]}' for key in sorted(value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _value(text: str) -> str:
    if not text or _BARE.fullmatch(text):
        return text
    return f'"{"".join(_escape(character) for character in text)}"' if _unusual(text) else f'"{text}"'


def _unusual(text: str) -> bool:
    return not text.isprintable() or '"' in text or "\\" in text


def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_cached_second = (-1, "")


def stamp(seconds: float) -> str:
    """RFC 3339 in local time, to the second."""
    global _cached_second  # noqa: PLW0603 - one line per second computes it, the others read it
    whole = int(seconds)
    cached, text = _cached_second
    if cached != whole:
        local = time.localtime(whole)
        zone = time.strftime("%z", local)
        zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
        text = time.strftime("%Y-%m-%dT%H:%M:%S", local) + zone
        _cached_second = (whole, text)
    return text
