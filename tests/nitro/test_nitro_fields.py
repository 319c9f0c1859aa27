"""The readers that messages and records share: a value, or an error that names the field."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.nitro import fields


class Colour(Enum):
    RED = "red"


READERS: list[tuple[str, Callable[[Any], Any], list[Any], list[Any]]] = [
    (
        "a map of one named entry was expected",
        fields.single,
        [],
        [None, {}, {"a": 1, "b": 2}, {1: 2}, [("a", 1)], "a"],
    ),
    (
        "x: a byte string of 2 to 3 was expected",
        lambda value: fields.data(value, "x", 2, 3),
        [b"ab", b"abc"],
        [b"a", b"abcd", "ab", [97, 98], None, 5],
    ),
    (
        "x: a byte string of 2 was expected",
        lambda value: fields.data(value, "x", 2, 2),
        [b"ab"],
        [b"", b"a", b"abc"],
    ),
    (
        "x: a text of at most 3 characters was expected",
        lambda value: fields.text(value, "x", 3),
        ["", "abc", "\u00e9\u00e9\u00e9"],
        ["abcd", b"ab", None, 1],
    ),
    (
        "x: 1 to 4 letters, digits and . _ : + - were expected",
        lambda value: fields.word(value, "x", 4),
        ["a", "1.2+", "_:-Z"],
        ["", "abcde", "a b", "a\n", "\u00e9", "a/b", b"a", None, "a\0"],
    ),
    (
        "x: a number from -1 to 2 was expected",
        lambda value: fields.number(value, "x", -1, 2),
        [-1, 0, 2],
        [-2, 3, True, False, 1.0, "1", None],
    ),
    (
        "x: a boolean was expected",
        lambda value: fields.boolean(value, "x"),
        [True, False],
        [0, 1, None, "true"],
    ),
]


@pytest.mark.parametrize(("words", "read", "good", "bad"), READERS)
def test_a_reader_gives_the_value_or_names_the_field(
    words: str, read: Callable[[Any], Any], good: list[Any], bad: list[Any]
) -> None:
    assert [read(value) for value in good] == good
    for value in bad:
        with pytest.raises(MalformedError) as caught:
            read(value)
        assert caught.value.message == words


def test_a_map_of_one_named_entry_is_its_name_and_its_value() -> None:
    assert fields.single({"a": None}) == ("a", None)


def test_a_map_has_exactly_the_fields() -> None:
    assert fields.exactly({"b": 1, "a": 2}, ("a", "b")) == {"a": 2, "b": 1}
    assert fields.exactly({}, ()) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "a map was expected"),
        (["a", "b"], "a map was expected"),
        ({"a": 1}, "b: is missing"),
        ({}, "a: is missing"),
        ({"a": 1, "b": 2, "c": 3}, "it has a field that is unknown"),
        ({"a": 1, "b": 2, 0: 3}, "it has a field that is unknown"),
    ],
)
def test_a_map_with_other_fields_is_refused(value: Any, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        fields.exactly(value, ("a", "b"))
    assert caught.value.message == words


def test_a_member_is_found_by_its_value() -> None:
    assert fields.member(Colour, "red", "x") is Colour.RED


@given(
    value=st.none() | st.integers() | st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text())
)
def test_any_other_value_is_no_member(value: Any) -> None:
    if value != "red":
        with pytest.raises(MalformedError, match=r"^x: it is not known to this release$"):
            fields.member(Colour, value, "x")
