"""Frames, against literal bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.rpc.wire import FrameTooLongError, put_frame, take_frame


def test_a_frame_is_four_bytes_of_big_endian_length_and_the_body() -> None:
    assert put_frame(bytes.fromhex("a1624f6bf6")) == bytes.fromhex("00000005a1624f6bf6")


def test_an_empty_body_is_a_frame() -> None:
    assert take_frame(bytes(4)) == (b"", b"")


@given(body=st.binary(max_size=300), tail=st.binary(max_size=9))
def test_a_framed_body_comes_back_and_the_tail_is_kept(body: bytes, tail: bytes) -> None:
    assert take_frame(len(body).to_bytes(4, "big") + body + tail, 300) == (body, tail)


@given(body=st.binary(max_size=40), cut=st.integers(min_value=0, max_value=43))
def test_while_bytes_are_missing_there_is_no_body_and_nothing_is_lost(body: bytes, cut: int) -> None:
    part = (len(body).to_bytes(4, "big") + body)[: min(cut, len(body) + 3)]
    assert take_frame(part, 40) == (None, part)


@pytest.mark.parametrize(("size", "limit"), [(0xFFFFFFFF, 2**20), (11, 10), (2**20 + 1, 2**20)])
def test_a_length_above_the_limit_is_refused_before_the_body_comes(size: int, limit: int) -> None:
    with pytest.raises(
        FrameTooLongError, match=f"a frame of {size} bytes is longer than the limit of {limit}"
    ):
        take_frame(size.to_bytes(4, "big"), limit)


@given(buffer=st.binary(max_size=64), limit=st.integers(min_value=0, max_value=64))
def test_any_bytes_are_a_frame_or_too_few_or_malformed(buffer: bytes, limit: int) -> None:
    try:
        body, rest = take_frame(buffer, limit)
    except MalformedError:
        return
    assert buffer.endswith(rest)
    assert body is None or len(body) <= limit


def test_two_frames_in_one_buffer_come_out_in_order() -> None:
    first, rest = take_frame(bytes.fromhex("00000001aa00000002bbcc"))
    assert (first, take_frame(rest)) == (b"\xaa", (b"\xbb\xcc", b""))
