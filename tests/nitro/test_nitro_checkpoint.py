"""Checkpoints, byte by byte."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.nitro.checkpoint import Checkpoint

TAG = b"signatory-vault/checkpoint/v1\0"


def test_what_is_signed_is_these_bytes() -> None:
    expected = TAG + bytes.fromhex("82 190100 5820" + "ab" * 32)
    assert Checkpoint(256, b"\xab" * 32).statement() == expected


@given(sequence=st.integers(0, 2**63 - 1), digest=st.binary(min_size=32, max_size=32))
def test_what_is_signed_says_the_whole_checkpoint_behind_a_tag_of_its_own(
    sequence: int, digest: bytes
) -> None:
    signed = Checkpoint(sequence, digest).statement()
    assert signed.startswith(TAG)
    assert cbor2.loads(signed.removeprefix(TAG)) == [sequence, digest]


@pytest.mark.parametrize("sequence", [-1, 2**63])
def test_a_sequence_out_of_range_is_refused(sequence: int) -> None:
    words = r"^the sequence of a checkpoint is from 0 to 9223372036854775807$"
    with pytest.raises(MalformedError, match=words):
        Checkpoint(sequence, bytes(32))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_digest_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match=rf"^the digest of a checkpoint is 32 bytes long, not {size}$"):
        Checkpoint(0, bytes(size))
