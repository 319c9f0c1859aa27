"""Changes at random to attestation documents, and what the verifier makes of each.

As a program, in this folder: `PYTHONPATH=../..:../support python nitro_mutations.py COUNT SEED` tries COUNT
changes over all documents that are here and says how long the slowest took.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
from nitro_chain import CHAIN, signed

from signatory.errors import MalformedError
from signatory.nitro import attestation
from signatory.nitro.attestation import AWS_ROOT_SHA256, AttestationError, Document

SLOW = 0.005
"""Seconds; a right document takes less."""

VECTORS = Path(__file__).parents[2] / "../shared/vectors/attestation"


@dataclass(frozen=True)
class Original:
    """A document that verifies."""

    name: str
    data: bytes
    root: bytes


@dataclass
class Outcome:
    """What became of many changes; `slowest` is of one verification, seconds of processor.

    What took long is tried again and its best time counts: the machine has other things to do.
    """

    tried: int = 0
    slowest: float = 0.0


def genuine() -> list[Original]:
    if not VECTORS.exists():
        return []
    index = json.loads((VECTORS / "index.json").read_text())
    return [
        Original(entry["file"], (VECTORS / entry["file"]).read_bytes(), AWS_ROOT_SHA256)
        for entry in index
        if entry["ok"]
    ]


def ours() -> Original:
    data = signed(user_data=b"u" * 64, nonce=b"n" * 32, public_key=b"k" * 294)
    return Original("ours", data, CHAIN.root)


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """One to three bits, bytes or runs of bytes changed, cut, put in or copied."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(max(len(changed), 1))
        match rng.randrange(5):
            case 0 if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at : at + rng.randint(1, 4)]
            case 3:
                changed[at:at] = rng.randbytes(rng.randint(1, 4))
            case _:
                other = rng.randrange(max(len(changed), 1))
                changed[at : at + 8] = changed[other : other + 8]
    return bytes(changed)


def _value(value: Any, rng: random.Random) -> Any:
    """Another value of the same kind, or now and then of another."""
    if rng.randrange(16) == 0 or value in (None, [], {}):
        return rng.choice([None, b"", "", 0, -1, [], {}, True, bytes(48), 1.5])
    if isinstance(value, bytes):
        return scrambled(value, rng)
    if isinstance(value, str):
        return value[: rng.randrange(len(value) + 1)] + rng.choice(["", "x", "\x1b", "é"])
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 1000, -(2**40), 2**63])
    return _items(value, rng) if isinstance(value, list) else _entries(value, rng)


def _items(items: list[Any], rng: random.Random) -> list[Any]:
    """One changed, cut, swapped with another, or put in again elsewhere."""
    at, other = rng.randrange(len(items)), rng.randrange(len(items))
    changed = list(items)
    match rng.randrange(4):
        case 0:
            changed[at] = _value(changed[at], rng)
        case 1:
            del changed[at]
        case 2:
            changed[at], changed[other] = changed[other], changed[at]
        case _:
            changed.insert(at, changed[other])
    return changed


def _entries(entries: dict[Any, Any], rng: random.Random) -> dict[Any, Any]:
    """One changed or left out."""
    name = rng.choice(sorted(entries, key=str))
    if rng.randrange(4) == 0:
        return {key: item for key, item in entries.items() if key != name}
    return {**entries, name: _value(entries[name], rng)}


def _parts(data: bytes, rng: random.Random) -> bytes:
    """A change of one value inside, in CBOR that is well-formed again."""
    message = cbor2.loads(data)
    items: list[Any] = list(message.value if isinstance(message, cbor2.CBORTag) else message)
    at = rng.choice([0, 1, 2, 2, 2, 2, 2, 2, 3])
    items[at] = cbor2.dumps(_value(cbor2.loads(items[2]), rng)) if at == 2 else _value(items[at], rng)
    return cbor2.dumps(items)


def changes(data: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    for _ in range(count):
        yield (scrambled if rng.randrange(2) else _parts)(data, rng)


def try_all(originals: list[Original], count: int, seed: int) -> Outcome:
    """Raises AssertionError for a change that verifies as another document; foreign errors come out."""
    rng = random.Random(seed)  # noqa: S311  the same changes in every run
    outcome = Outcome()
    for original in originals:
        document = attestation.parse(original.data)
        for changed in changes(original.data, count, rng):
            took = _timed(original, document, changed)
            if took > max(outcome.slowest, SLOW):
                took = min(_timed(original, document, changed) for _ in range(5))
            outcome.slowest = max(outcome.slowest, took)
            outcome.tried += 1
    return outcome


def _timed(original: Original, document: Document, changed: bytes) -> float:
    began = time.thread_time()
    try:
        found = attestation.verify(changed, root_sha256=original.root, allow_debug=True)
    except (AttestationError, MalformedError):
        pass
    else:
        # The same values in other bytes, such as a tag put in front, are no forgery.
        assert found == document, f"{original.name}: {changed.hex()}"
    return time.thread_time() - began


def main() -> None:
    count, seed = (int(word) for word in sys.argv[1:])
    originals = [*genuine(), ours()]
    began = time.perf_counter()
    outcome = try_all(originals, count // len(originals), seed)
    sys.stdout.write(
        f"{outcome.tried} changes over {len(originals)} documents in {time.perf_counter() - began:.0f} s, "
        f"none verified as another; the slowest took {outcome.slowest * 1e3:.1f} ms of processor\n"
    )


if __name__ == "__main__":
    main()
