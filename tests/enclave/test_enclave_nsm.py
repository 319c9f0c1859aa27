"""The Nitro security module from inside: every request, the device's ioctl, and answers that are none."""

import asyncio
import ctypes
import errno
import fcntl
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cbor2
import pytest
from enclave_cloud import Cloud
from hypothesis import given
from hypothesis import strategies as st

from enclave_signer import nsm
from signatory.errors import IntegrityError, MalformedError, UnavailableError

Driver = Callable[[bytes], bytes]


@contextmanager
def driver(monkeypatch: pytest.MonkeyPatch, answer: Driver, *, says: int | None = None) -> Iterator[nsm.Nsm]:
    """A device whose driver is this function, reached as the real one is: one ioctl with two iovecs.

    It writes no more than the buffer holds, and tells `says` as the length where that is given.
    """

    def ioctl(descriptor: int, request: int, argument: bytearray, mutate: bool) -> int:
        assert descriptor >= 0
        assert (request, mutate, len(argument)) == (0xC0200A00, True, 32)
        asked_at, asked, answer_at, room = struct.unpack("<QQQQ", argument)
        assert (asked <= 0x1000, room) == (True, 0x3000)
        said = answer(ctypes.string_at(asked_at, asked))
        ctypes.memmove(answer_at, said[:room], min(len(said), room))
        argument[24:] = struct.pack("<Q", min(len(said), room) if says is None else says)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    yield nsm.open_nsm("/dev/null")


EXCHANGES = {
    "describe": (
        nsm.describe,
        "DescribeNSM",
        {
            "DescribeNSM": {
                "version_major": 1,
                "version_minor": 0,
                "version_patch": 0,
                "module_id": "i-0",
                "max_pcrs": 32,
                "locked_pcrs": [0, 1],
                "digest": "SHA384",
            }
        },
    ),
    "pcr": (
        lambda module: nsm.pcr(module, 3),
        {"DescribePCR": {"index": 3}},
        {"DescribePCR": {"lock": True, "data": b"\x05" * 48}},
    ),
    "extend": (
        lambda module: nsm.extend(module, 16, b"more"),
        {"ExtendPCR": {"index": 16, "data": b"more"}},
        {"ExtendPCR": {"data": b"\x06" * 48}},
    ),
    "lock": (lambda module: nsm.lock(module, 16), {"LockPCR": {"index": 16}}, "LockPCR"),
    "lock below": (lambda module: nsm.lock_below(module, 20), {"LockPCRs": {"range": 20}}, "LockPCRs"),
    "attest": (
        lambda module: nsm.attest(module, user_data=b"u", nonce=b"n", public_key=b"p"),
        {"Attestation": {"user_data": b"u", "nonce": b"n", "public_key": b"p"}},
        {"Attestation": {"document": b"document"}},
    ),
    "attest nothing": (
        nsm.attest,
        {"Attestation": {"user_data": None, "nonce": None, "public_key": None}},
        {"Attestation": {"document": b"document"}},
    ),
    "random": (
        lambda module: nsm.random(module, 256),
        "GetRandom",
        {"GetRandom": {"random": bytes(range(256))}},
    ),
}


@pytest.mark.parametrize("name", EXCHANGES)
async def test_every_request_reaches_the_device_in_the_device_s_own_form(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    call, request, reply = EXCHANGES[name]
    seen: list[bytes] = []

    def answer(asked: bytes) -> bytes:
        seen.append(asked)
        return cbor2.dumps(reply)

    with driver(monkeypatch, answer) as module:
        said = await call(module)
    assert seen == [cbor2.dumps(request)]
    match said:
        case bytes():
            assert said in next(iter(reply.values())).values()
        case None:
            assert isinstance(reply, str)
        case nsm.nsm.Register():
            assert (said.lock, said.data) == (True, b"\x05" * 48)
        case nsm.nsm.Description():
            assert (said.module_id, said.version, said.locked_pcrs) == ("i-0", (1, 0, 0), (0, 1))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_an_answer_cut_anywhere_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    call, _, reply = EXCHANGES[name]
    whole = cbor2.dumps(reply)
    for size in {0, 1, 2, len(whole) // 2, len(whole) - 1} - {len(whole)}:
        with (
            driver(monkeypatch, lambda _, size=size: whole[:size]) as module,
            pytest.raises(IntegrityError, match="cannot be read"),
        ):
            await call(module)


@pytest.mark.parametrize("name", EXCHANGES)
async def test_the_answer_to_another_request_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    call, _, own = EXCHANGES[name]
    for reply in [each for _, _, each in EXCHANGES.values()] + ["Nothing", {"Nothing": {}}, {"Error": "New"}]:
        same = reply == own or (isinstance(reply, dict) and isinstance(own, dict) and set(reply) == set(own))
        if not same:
            with (
                driver(monkeypatch, lambda _, reply=reply: cbor2.dumps(reply)) as module,
                pytest.raises(IntegrityError, match="cannot be read"),
            ):
                await call(module)


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("code", ["InvalidArgument", "ReadOnlyIndex", "InputTooLarge", "InternalError"])
async def test_a_refusal_of_the_module_keeps_its_code(
    monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    with (
        driver(monkeypatch, lambda _: cbor2.dumps({"Error": code})) as module,
        pytest.raises(UnavailableError, match=f": {code}$"),
    ):
        await EXCHANGES[name][0](module)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ETIMEDOUT, errno.EMSGSIZE, errno.EIO, errno.ENOTTY])
async def test_a_failure_of_the_driver_is_unavailable(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_: bytes) -> bytes:
        raise OSError(number, "the words of the system")

    with (
        driver(monkeypatch, fail) as module,
        pytest.raises(UnavailableError, match=r"^the NSM driver failed: the words of the system$"),
    ):
        await nsm.attest(module)


async def test_a_length_beyond_the_buffer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        driver(monkeypatch, lambda _: b"\x00", says=0x3001) as module,
        pytest.raises(IntegrityError, match=r"^the NSM driver says 12289 bytes in a buffer of 12288$"),
    ):
        await nsm.attest(module)


async def test_an_answer_that_the_driver_cut_to_the_buffer_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = cbor2.dumps({"Attestation": {"document": b"d" * 0x3000}})
    with (
        driver(monkeypatch, lambda _: whole) as module,
        pytest.raises(IntegrityError, match="cannot be read"),
    ):
        await nsm.attest(module)


async def test_more_than_a_request_carries_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError

    with driver(monkeypatch, never) as module, pytest.raises(MalformedError, match="4096"):
        await nsm.attest(module, nonce=bytes(4096))


async def test_the_loop_runs_on_while_the_device_works_and_it_works_for_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, threads, inside = threading.Event(), set(), []

    def slow(_: bytes) -> bytes:
        inside.append(1)
        threads.add(threading.current_thread())
        assert len(inside) == 1
        go_on.wait(60)
        inside.pop()
        return cbor2.dumps({"Attestation": {"document": b"document"}})

    with driver(monkeypatch, slow) as module:
        calls = [asyncio.create_task(nsm.attest(module)) for _ in range(3)]
        # This line is only reached because the loop does not wait for the device.
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*calls) == [b"document"] * 3
    assert threading.current_thread() not in threads


@given(body=st.binary(max_size=60))
async def test_any_answer_is_a_document_or_an_error_of_ours(body: bytes) -> None:
    class Module:
        async def request(self, _: bytes) -> bytes:
            return body

    for call, *_ in EXCHANGES.values():
        with suppress(IntegrityError, UnavailableError):
            await call(Module())


async def test_a_device_that_is_none_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot open"):
        nsm.open_nsm(str(tmp_path / "nsm"))
    with pytest.raises(UnavailableError, match="the NSM driver failed"):
        await nsm.attest(nsm.open_nsm("/dev/null"), public_key=b"key")
    with pytest.raises(UnavailableError, match="cannot connect"):
        await nsm.attest(nsm.open_nsm(f"unix:{tmp_path}/none"), public_key=b"key")


async def test_the_software_module_extends_and_locks_as_the_device_does(cloud: Cloud) -> None:
    module = nsm.open_nsm(f"unix:{cloud.folder}/nsm.sock")
    described = await nsm.describe(module)
    assert described.digest == "SHA384"
    before = await nsm.pcr(module, 17)
    assert not before.lock
    value = await nsm.extend(module, 17, b"configuration")
    assert value == hashlib.sha384(before.data + b"configuration").digest()
    await nsm.lock(module, 17)
    assert await nsm.pcr(module, 17) == nsm.nsm.Register(True, value)
    for refused in (nsm.extend(module, 17, b"more"), nsm.extend(module, 0, b"more"), nsm.lock(module, 0)):
        with pytest.raises(UnavailableError, match="ReadOnlyIndex"):
            await refused
    with pytest.raises(UnavailableError, match="InvalidIndex"):
        await nsm.pcr(module, 32)
