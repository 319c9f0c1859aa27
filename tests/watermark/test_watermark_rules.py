"""A mark only rises; the very same request may be signed again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import WatermarkError
from signatory.watermark.rules import DoubleSignError, Mark, advance, slot_of

A, B = b"\xaa" * 32, b"\xbb" * 32
INT32_MAX, INT32_MIN = 2**31 - 1, -(2**31)

hashes = st.sampled_from([None, A, B])
numbers = st.one_of(st.integers(0, 3), st.sampled_from([INT32_MIN, -1, INT32_MAX - 1, INT32_MAX]))
marks = st.builds(Mark, level=numbers, round=numbers, hash=hashes)


@pytest.mark.parametrize("proposed", [Mark(0, 0, A), Mark(7, 3, None), Mark(INT32_MAX, INT32_MAX, A)])
def test_the_first_mark_is_whatever_it_is(proposed: Mark) -> None:
    assert advance(None, proposed) == proposed


@pytest.mark.parametrize(
    ("level", "round_", "hash_", "signed"),
    [
        (10, 5, A, True),  # the same request again
        (10, 5, B, False),  # another block at the same place
        (10, 5, None, False),
        (10, 6, B, True),  # next round
        (10, 6, A, True),
        (10, 4, A, False),  # back in rounds; the same hash is no excuse
        (10, 4, B, False),
        (11, 0, B, True),  # next level, round starts over
        (11, 5, B, True),
        (9, 5, A, False),  # back in levels, also with a higher round
        (9, 99, B, False),
        (9, INT32_MAX, A, False),
        (0, 0, A, False),
        (INT32_MAX, 0, B, True),
    ],
)
def test_what_may_be_signed_after_level_10_round_5(
    level: int, round_: int, hash_: bytes | None, *, signed: bool
) -> None:
    stored, proposed = Mark(10, 5, A), Mark(level, round_, hash_)
    if signed:
        assert advance(stored, proposed) == proposed
    else:
        with pytest.raises(DoubleSignError) as caught:
            advance(stored, proposed)
        assert (caught.value.stored, caught.value.proposed) == (stored, proposed)


def test_a_mark_without_a_hash_is_never_taken_for_the_same_request() -> None:
    for hash_ in (None, A):
        with pytest.raises(DoubleSignError):
            advance(Mark(10, 5, None), Mark(10, 5, hash_))
    assert advance(Mark(10, 5, None), Mark(10, 6, A)) == Mark(10, 6, A)


def test_extremes_are_compared_not_subtracted() -> None:
    with pytest.raises(DoubleSignError):
        advance(Mark(INT32_MAX, 0, A), Mark(INT32_MIN, 0, B))
    with pytest.raises(DoubleSignError):
        advance(Mark(1, INT32_MAX, A), Mark(1, INT32_MIN, B))
    assert advance(Mark(INT32_MIN, 0, A), Mark(INT32_MAX, 0, B)) == Mark(INT32_MAX, 0, B)


def test_the_error_is_of_the_watermark_family_and_names_both_places() -> None:
    with pytest.raises(WatermarkError, match="level 10 round 4 is not above level 10 round 5") as caught:
        advance(Mark(10, 5, A), Mark(10, 4, B))
    assert caught.value.kind == "watermark"
    assert caught.value.hint


@given(stored=marks, proposed=marks)
def test_an_accepted_mark_is_higher_or_the_same_request(stored: Mark, proposed: Mark) -> None:
    higher = proposed.level > stored.level or (
        proposed.level == stored.level and proposed.round > stored.round
    )
    same = stored.hash is not None and proposed == stored
    try:
        assert advance(stored, proposed) == proposed
        assert higher or same
    except DoubleSignError:
        assert not higher
        assert not same


@given(proposals=st.lists(marks, max_size=30))
def test_no_place_is_ever_signed_with_two_contents(proposals: list[Mark]) -> None:
    stored: Mark | None = None
    signed: dict[tuple[int, int], bytes | None] = {}
    for proposed in proposals:
        try:
            stored = advance(stored, proposed)
        except DoubleSignError:
            continue
        place = (proposed.level, proposed.round)
        assert signed.setdefault(place, proposed.hash) == proposed.hash
        assert max(signed) == place


def test_both_attestations_share_a_slot_and_operations_have_none() -> None:
    assert slot_of("attestation") == slot_of("attestation_with_dal") == "attestation"
    assert [slot_of(kind) for kind in ("block", "preattestation")] == ["block", "preattestation"]
    assert slot_of("generic") is None
    assert slot_of("pack") is None
