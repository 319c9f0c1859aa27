"""Marks, stores and folders that the suites of the file store share."""

import json
from pathlib import Path

from signatory.tezos import base58
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark
from signatory.watermark.v2 import AHEAD

CHAIN = "NetXdQprcVkpaWU"
OTHER_CHAIN = "NetXm8tYqnMWky1"
TZ1 = "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf"
TZ2 = "tz2BFTyPeYRzxd5aiBchbXN3WCZhx7BqbMBq"

SAMPLE = b"""{
    "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf": {
        "block": {
            "level": 2,
            "round": 0,
            "hash": "vh2THNfr1pU3TjJyJkw7BKq19suqMX1W9PXRVAgpueELhGTAuhSx"
        }
    }
}"""
HASH = "vh2THNfr1pU3TjJyJkw7BKq19suqMX1W9PXRVAgpueELhGTAuhSx"


def pkh(number: int) -> str:
    """One of many public key hashes."""
    return base58.encode(bytes.fromhex("06a19f"), number.to_bytes(20, "big"))


def mark(level: int, round_: int = 0, digit: int = 1) -> Mark:
    return Mark(level, round_, bytes([digit]) * 32)


async def opened(base: Path, **options: object) -> FileStore:
    store = FileStore(base, **options)  # type: ignore[arg-type]  # the test knows
    await store.open()
    return store


def written(base: Path, chain: str = CHAIN) -> Path:
    return base / "watermark_v2" / f"{chain}.json"


def ahead(base: Path) -> Path:
    return base / "watermark_v2" / AHEAD


def journal_of(base: Path) -> Path:
    return base / "watermark_journal" / "marks.journal"


def put_v2(base: Path, data: bytes = SAMPLE) -> None:
    written(base).parent.mkdir()
    written(base).write_bytes(data)


def put_older(base: Path) -> None:
    """An attestation at level 6 round 1 in `watermark_v1/`, a block at level 7 in `watermark/`."""
    (base / "watermark_v1").mkdir()
    (base / "watermark_v1" / f"{CHAIN}.json").write_text(
        json.dumps({TZ1: {"level": 6, "round": 1, "order": 2, "hash": HASH}})
    )
    (base / "watermark").mkdir()
    (base / "watermark" / f"{CHAIN}.json").write_text(
        json.dumps({"block": {TZ1: {"level": 7, "round": 0, "hash": HASH}}})
    )
