"""Entropy: where it comes from, that it reaches the kernel before the first key, and what is none."""

import errno
import fcntl
import hashlib
import struct

import cbor2
import pytest

from enclave_signer.entropy import AT_START, for_key, seed_kernel
from signatory.errors import IntegrityError, UnavailableError


class Giving:
    """A module that gives these blocks of entropy, one after the other."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = list(blocks)

    async def request(self, body: bytes) -> bytes:
        assert body == cbor2.dumps("GetRandom")
        return cbor2.dumps({"GetRandom": {"random": self._blocks.pop(0)}})


BLOCKS = [hashlib.shake_256(bytes([number])).digest(256) for number in range(8)]


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([BLOCKS[0], b""], "cannot be read"),
        ([BLOCKS[0], BLOCKS[1][:31]], "31 bytes of entropy"),
        ([BLOCKS[0], bytes(256)], "one byte repeated"),
        ([BLOCKS[0], BLOCKS[1], BLOCKS[0]], "the same entropy twice"),
        ([BLOCKS[0][:200], BLOCKS[1][:200], BLOCKS[0][:200]], "the same entropy twice"),
        ([BLOCKS[0], b"x" * 257], "cannot be read"),
    ],
)
async def test_entropy_that_is_short_or_repeats_ends_the_start(blocks: list[bytes], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        await seed_kernel(Giving(*blocks), mandatory=True)


async def test_the_kernel_s_pool_gets_all_of_it_before_the_start_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[bytes] = []

    def ioctl(_: int, request: int, argument: bytes) -> int:
        bits, size = struct.unpack("<ii", argument[:8])
        assert (request, bits, size) == (0x40085203, 8 * len(argument[8:]), len(argument[8:]))
        fed.append(argument[8:])
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    await seed_kernel(Giving(*BLOCKS[:4]), mandatory=True)
    assert b"".join(fed) == b"".join(BLOCKS[:4])
    assert len(b"".join(fed)) == AT_START


async def test_a_kernel_that_takes_nothing_ends_the_start_only_with_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    await seed_kernel(Giving(*BLOCKS), mandatory=False)
    with pytest.raises(UnavailableError, match="the kernel did not take the NSM's entropy"):
        await seed_kernel(Giving(*BLOCKS), mandatory=True)


@pytest.mark.parametrize("block", [b"", bytes(64), bytes(range(8))])
async def test_what_is_no_entropy_makes_no_key(block: bytes) -> None:
    with pytest.raises(IntegrityError):
        await for_key(Giving(block))


async def test_entropy_differs_from_draw_to_draw_and_from_key_to_key() -> None:
    first, second = await for_key(Giving(BLOCKS[0])), await for_key(Giving(BLOCKS[0]))
    drawn = [source(32) for source in (first, first, second)]
    assert len(set(drawn)) == 3
    assert {len(each) for each in drawn} == {32}
