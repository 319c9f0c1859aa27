"""What an emulator was told to do wrong, and the control socket on which it is told.

The control socket is a unix stream: one JSON object a line, one JSON object back. Both emulators know

    {"do": "fail", "operation": "Decrypt", "error": "ThrottlingException", "times": 3}
    {"do": "delay", "operation": "*", "seconds": 2.5, "times": 1}
    {"do": "clear"}
    {"do": "status"}          -> {"calls": {operation: count}, "faults": [...]}

and each adds its own. `operation` is `*` (the default) for any, `times` defaults to 1.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from signatory.errors import MalformedError, SignatoryError
from signatory.net.vsock import Address, listen

MAX_LINE = 65536
MAX_FAULTS = 100
MAX_TIMES = 1_000_000
MAX_DELAY = 600.0

Extra = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]


@dataclass(slots=True)
class Fault:
    """One thing to do wrong, `left` more times."""

    kind: str
    operation: str
    value: Any
    left: int


class Faults:
    """The faults that wait for their calls, and how many calls there were."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._waiting: list[Fault] = []

    def add(self, kind: str, operation: str, value: Any, times: int) -> None:
        """Raises MalformedError when too many wait already."""
        if len(self._waiting) >= MAX_FAULTS:
            raise MalformedError(f"{MAX_FAULTS} faults wait already")
        self._waiting.append(Fault(kind, operation, value, times))

    def take(self, kind: str, operation: str) -> Any:
        """Use up one occurrence of the oldest fault of this kind; its value, or None when there is none."""
        for fault in self._waiting:
            if fault.kind == kind and fault.operation in {"*", operation}:
                fault.left -= 1
                if not fault.left:
                    self._waiting.remove(fault)
                return fault.value
        return None

    async def pause(self, operation: str) -> None:
        """Count the call and wait out its delay, if one was ordered."""
        self.calls[operation] += 1
        if seconds := self.take("delay", operation):
            await asyncio.sleep(seconds)

    def obey(self, command: Mapping[str, Any], extra: Extra) -> Mapping[str, Any]:
        """Do one command of the control socket. Raises MalformedError."""
        match command.get("do"):
            case "fail":
                self.add("fail", operation(command), _text(command, "error"), times(command))
            case "delay":
                self.add("delay", operation(command), _seconds(command), times(command))
            case "clear":
                self._waiting.clear()
            case "status":
                return {"calls": dict(self.calls), "faults": [_shown(fault) for fault in self._waiting]}
            case str(name) if (answer := extra(name, command)) is not None:
                return answer
            case other:
                raise MalformedError(f"unknown command {other!r}")
        return {"ok": True}


def _shown(fault: Fault) -> Mapping[str, Any]:
    """As JSON can say it."""
    return asdict(fault) | ({} if isinstance(fault.value, str | int | float) else {"value": "..."})


def times(command: Mapping[str, Any]) -> int:
    """How often; 1 by default. Raises MalformedError."""
    value = command.get("times", 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TIMES:
        raise MalformedError(f"times is 1 to {MAX_TIMES}")
    return value


def operation(command: Mapping[str, Any]) -> str:
    """Which one; any by default. Raises MalformedError."""
    return _text(command, "operation") if "operation" in command else "*"


def no_extra(_name: str, _command: Mapping[str, Any]) -> None:
    """For an emulator without commands of its own."""


async def serve_control(address: Address, faults: Faults, extra: Extra = no_extra) -> asyncio.Server:
    """Listen on the control socket. Raises UnavailableError."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(_answer(line, faults, extra)).encode() + b"\n")
                await writer.drain()
        writer.close()

    return await listen(handle, address)


def _answer(line: bytes, faults: Faults, extra: Extra) -> Mapping[str, Any]:
    try:
        command = json.loads(line[:MAX_LINE])
        if not isinstance(command, dict):
            return {"error": "a command is a JSON object"}
        return faults.obey(command, extra)
    except (ValueError, RecursionError):
        return {"error": "a command is a JSON object"}
    except SignatoryError as error:
        return {"error": error.message}


def _text(command: Mapping[str, Any], name: str) -> str:
    value = command.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 100:
        raise MalformedError(f"{name} is a text of 1 to 100 characters")
    return value


def _seconds(command: Mapping[str, Any]) -> float:
    value = command.get("seconds")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= MAX_DELAY:
        raise MalformedError(f"seconds is above 0 and at most {MAX_DELAY:g}")
    return float(value)
