"""A daemon in a race for marks, for the contract suite: `racer.py ENDPOINT TABLE CHAIN PKH DIGIT LEVELS`.

Tries each level once, with a hash of its own, and prints those that passed. Starts on a line of input.
"""

import asyncio
import sys

from dynamodb import SLOW_MACHINE, Emulated

from signatory.errors import WatermarkError
from signatory.watermark.dynamodb import DynamoStore
from signatory.watermark.rules import Mark


async def main(endpoint: str, table: str, chain: str, pkh: str, digit: str, levels: str) -> None:
    store = DynamoStore(Emulated(endpoint).settings(table), patience=SLOW_MACHINE)
    await store.open()
    print("ready", flush=True)  # noqa: T201 - how it is heard
    await asyncio.to_thread(sys.stdin.readline)
    kind = ("attestation", "attestation_with_dal")[int(digit) % 2]
    for level in range(1, int(levels) + 1):
        try:
            await store.advance(chain, pkh, kind, Mark(level, 0, bytes([int(digit)]) * 32))
        except WatermarkError:
            continue
        print(level, flush=True)  # noqa: T201 - same
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
