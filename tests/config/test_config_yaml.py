"""YAML text to values: what is refused, where, and at what cost."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signatory.config import load as config
from signatory.config.document import MAX_BYTES, MAX_DEPTH, parse
from signatory.config.problems import ConfigProblemsError
from signatory.errors import ConfigError


def refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigProblemsError) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


def refused_or_read(data: bytes) -> str | None:
    """The text of our error, or None when there was a value; any other exception fails the test."""
    try:
        parse(data)
    except ConfigError as error:
        return str(error)
    return None


def test_a_key_that_stands_twice_is_refused_with_its_path_and_both_lines() -> None:
    text = "server:\n  address: :1\n  refuse_origin: true\n  address: :2\n"
    assert refusal(text) == "server.address (line 4): this key stands here twice, first on line 2"


def test_every_key_that_stands_twice_is_told_at_once() -> None:
    told = refusal("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert "a (line 2)" in told
    assert "b.c (line 3)" in told


def test_a_tab_is_refused_with_what_to_do() -> None:
    told = refusal("server:\n\taddress: :1\n")
    assert told.startswith("line 2: ")
    assert "indent with spaces, not with tabs" in told


def test_a_merged_key_is_no_duplicate_and_the_own_value_wins() -> None:
    value = parse(b"x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\n").value
    assert value["y"] == {"a": 1, "b": 3}
    assert value["z"] == {"a": 1, "b": 2, "c": 4}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = b"a: yes\nb: off\nc: 2020-01-01\nd: 12:30\ne: true\nf: 0x1f\ng: -7\n"
    text += b"h: 1.5\ni:\nj: ~\nk: 1_000\non: x\n"
    assert parse(text).value == {
        "a": "yes",
        "b": "off",
        "c": "2020-01-01",
        "d": "12:30",
        "e": True,
        "f": 31,
        "g": -7,
        "h": 1.5,
        "i": None,
        "j": None,
        "k": "1_000",
        "on": "x",
    }


def test_zeros_before_a_number_do_not_change_its_base() -> None:
    assert parse(b"[08, 010, -010, 0, 10, 1e3, 0.5, 010.5]").value == [
        "08",
        "010",
        "-010",
        0,
        10,
        1000.0,
        0.5,
        10.5,
    ]
    limits = b"{allow: {generic: [transaction]}, limits: {max_amount: 0100000}}"
    found = config.read(b"tezos: {tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B: " + limits + b"}")
    assert config.policy_of(found).keys["tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"].limits.max_amount == 100000


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases" in refusal("\n".join(levels))


def test_a_bomb_of_merges_is_refused_before_it_grows() -> None:
    levels = ["a0: &a0 {x: 1}"]
    levels += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert "aliases" in refusal("\n".join(levels))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("&a [*a]", "contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
        ("[" * 5000, f"nested deeper than {MAX_DEPTH} levels"),
        ("a: !!python/object/apply:os.system [x]", "is not allowed here"),
        ("a: !!binary aGk=", "is not allowed here"),
        ("a: !!timestamp x", "is not allowed here"),
        ("a: !!omap []", "is not allowed here"),
        ("? [a]\n: b", "a key must be a name"),
        ("a: !!int x", "not a value of the type int"),
        ("a: " + "9" * 5000, "not a value of the type int"),
        ("--- a\n--- b", "another document"),
        ("*x", "undefined alias"),
        ("%YAML 9.0\n---\na", "version 1"),
        ('a: "\\U00110000"', "no character"),
        ('a: "\\ud800"', "no character"),
        ('"\\ud800": 1', "no character"),
        ("<<: 3", "`<<` takes a mapping"),
        ("a: \x00", "U+0000"),
        (b"a: \xff", "not UTF-8 text, at byte 3"),
        (b"#" * (MAX_BYTES + 1), "longer than 1 MiB"),
    ],
)
def test_what_cannot_be_read_says_why(text: str | bytes, told: str) -> None:
    assert told in refusal(text)


def test_a_syntax_error_never_repeats_the_text_around_it() -> None:
    secret = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
    for text in (
        f"a: {secret}\n b: {{",
        f"a: '{secret}",
        f"a: [{secret}\nb: 1",
        f"*{secret}",
        f"!{secret} x",
        f"{secret}: 1\n{secret}: 2",
    ):
        assert secret not in refusal(text)


def test_each_path_knows_its_line() -> None:
    lines = parse(b"a:\n  b: 1\nc:\n  - x\n  - y: 1\n").lines
    assert lines["a", "b"] == 2
    assert lines["c", 1] == 5


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_give_a_value_or_our_error(data: bytes) -> None:
    assert refused_or_read(data) != ""


YAMLISH = st.text(alphabet="ab:{}[]&*<!-?|>'\"%@`#, \n\t\\xU0~1.", max_size=60)


@given(YAMLISH)
def test_any_text_of_yaml_characters_gives_a_value_or_our_error(text: str) -> None:
    assert refused_or_read(text.encode()) != ""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(
        alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="eE."), max_size=9
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet="abc<=", min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_another_program_writes_as_yaml_reads_back(value: object) -> None:
    """Written by PyYAML's own emitter, which quotes what YAML 1.1 takes for something else."""
    assert parse(yaml.safe_dump(value).encode()).value == value
