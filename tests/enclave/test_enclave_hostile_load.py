"""A greedy host: what one frame, one connection or a storm of calls costs the enclave, and what others notice."""

import os
import time
from typing import Any

import cbor2
import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import Host, refused

MIB = 1 << 20


async def test_probe_maps(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    other = await Host.ready(enclave)
    before = enclave.memory()
    n = MIB - 60
    body = b"\xa3\x62id\x01\x66within\xf6\x64call" 
    host.last += 5
    body = b"\xa3\x62id\x18\x20\x66within\xf6\x64call\x9a" + n.to_bytes(4, "big") + b"\xa0" * n
    t = time.perf_counter()
    host.line.writer.write(len(body).to_bytes(4, "big") + body)
    await host.line.writer.drain()
    r = await other.ask("Status")
    print("other status after", time.perf_counter() - t)
    print(cbor2.loads(await host.line.read()))
    print("reply", time.perf_counter() - t, "memory", (enclave.memory() - before) // MIB)


async def test_probe_blobs(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    before = enclave.memory()
    name = {"key_id": "tz1burnburnburnburnburnburnburjAYjjX", "key_type": "Ed25519", "purpose": "tezos", "public_key": b"", "version": 1, "user_id": None}
    t = time.perf_counter()
    peak = 0
    ids = []
    for _ in range(64):
        ids.append(host.call("LoadSealed", name=name, scheme="kms-encrypt-v0", blob=bytes(MIB - 300)))
        await host.line.writer.drain()
    for i in ids:
        peak = max(peak, enclave.memory() - before)
        last = await refused(host.reply(i))
    print(last, time.perf_counter() - t, "peak", peak // MIB)


async def test_probe_tiny(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    before = enclave.memory()
    t = time.perf_counter()
    for _ in range(100):
        bodies = [host.envelope("Status") for _ in range(1000)]
        host.line.writer.write(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
        for _ in bodies:
            await host.next()
    print("1e5", time.perf_counter() - t, (enclave.memory() - before) // MIB)


async def test_probe_cancel(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make(scheme="kms-envelope-v1")
    host = await Host.ready(enclave)
    before = enclave.memory()
    t = time.perf_counter()
    out: dict[Any, int] = {}
    for _ in range(100):
        ids = []
        for _ in range(32):
            i = host.call("LoadSealed", name=born["name"], scheme="kms-envelope-v1", blob=born["blob"])
            host.last += 1
            host.send(cbor2.dumps({"id": host.last, "within": None, "call": {"Cancel": {"id": i}}}))
            ids.append(i)
        for i in ids:
            try:
                await host.reply(i); k = "ok"
            except Exception as e:
                k = str(e)
            out[k] = out.get(k, 0) + 1
    print(out, time.perf_counter() - t, (enclave.memory() - before) // MIB)
    print(await host.ask("Status"))
    assert await host.load(born, "kms-envelope-v1")
