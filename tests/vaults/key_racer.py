"""A second writer for the contract suite: `key_racer.py PATH|ENDPOINT,TABLE,TABLE SEED...`.

Adds the tz1 keys of these seeds, each with a blob of its own, and prints those that it added. Starts on a
line of input.
"""

import asyncio
import sys
from pathlib import Path

from dynamodb import SLOW_MACHINE, Emulated
from sealed_samples import record, reference

from signatory.errors import MalformedError
from vaults.nitro.storage.dynamodb import DynamoStore
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.store import FilesInThreads, Store


async def opened(where: str) -> Store:
    if "," not in where:
        return FilesInThreads(FileStore(Path(where)))
    endpoint, *tables = where.split(",")
    first, second = (Emulated(endpoint).settings(table) for table in tables)
    return await DynamoStore.open(first, second, patience=SLOW_MACHINE)


async def main(where: str, *seeds: str) -> None:
    store = await opened(where)
    print("ready", flush=True)  # noqa: T201 - how it is heard
    await asyncio.to_thread(sys.stdin.readline)
    for seed in map(int, seeds):
        key = record(seed) if seed % 2 else reference(seed, born=seed % 4 == 0)
        try:
            await store.add(key)
        except MalformedError:
            continue
        print(seed, key.blob.hex(), flush=True)  # noqa: T201 - same
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
