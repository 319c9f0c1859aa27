"""JSON and hex in Go's words; the texts are from the reference sheet and from the states of Go's scanner."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.server.golang import decode_hex, decode_hex_string, encode
from signatory.server.golang_scan import check

BAD = [
    (b"", "unexpected end of JSON input"),
    (b" \r\n\t", "unexpected end of JSON input"),
    (b"\x03", r"invalid character '\x03' looking for beginning of value"),
    (b'\xef\xbb\xbf"00"', "invalid character 'ï' looking for beginning of value"),
    (b"\xa0", r"invalid character '\u00a0' looking for beginning of value"),
    (b"'00'", r"invalid character '\'' looking for beginning of value"),
    (b"\x7f", r"invalid character '\x7f' looking for beginning of value"),
    (b"NaN", "invalid character 'N' looking for beginning of value"),
    (b"nul", "unexpected end of JSON input"),
    (b"nuxl", "invalid character 'x' in literal null (expecting 'l')"),
    (b"trie", "invalid character 'i' in literal true (expecting 'u')"),
    (b'"00', "unexpected end of JSON input"),
    (b'"00"x', "invalid character 'x' after top-level value"),
    (b'"00" "00"', "invalid character '\"' after top-level value"),
    (b'"0\n0"', r"invalid character '\n' in string literal"),
    (b'"\\x00"', "invalid character 'x' in string escape code"),
    (b'"\\u00g0"', r"invalid character 'g' in \u hexadecimal character escape"),
    (b"-", "unexpected end of JSON input"),
    (b"-x", "invalid character 'x' in numeric literal"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1ex", "invalid character 'x' in exponent of numeric literal"),
    (b"01", "invalid character '1' after top-level value"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
    (b'{"a",1}', "invalid character ',' after object key"),
    (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"[" * 10001, "exceeded max depth"),
    (b"[" * 9999, "unexpected end of JSON input"),
    (b"12", "json: cannot unmarshal number into Go value of type string"),
    (b"-1.5e+7", "json: cannot unmarshal number into Go value of type string"),
    (b"true", "json: cannot unmarshal bool into Go value of type string"),
    (b' {"a": [], "a": {}} ', "json: cannot unmarshal object into Go value of type string"),
    (b"[" * 100 + b"]" * 100, "json: cannot unmarshal array into Go value of type string"),
    (b'"0"', "encoding/hex: odd length hex string"),
    (b'"0Z"', "encoding/hex: invalid byte: U+005A 'Z'"),
    (b'"0x00"', "encoding/hex: invalid byte: U+0078 'x'"),
    (b'"00 00"', "encoding/hex: invalid byte: U+0020 ' '"),
    (b'"0\\u0000"', "encoding/hex: invalid byte: U+0000"),
    (b'"\xc3\xa9"', "encoding/hex: invalid byte: U+00C3 'Ã'"),
    (b'"\xff"', "encoding/hex: invalid byte: U+00EF 'ï'"),
    (b'"00Z"', "encoding/hex: invalid byte: U+005A 'Z'"),
]


@pytest.mark.parametrize(("body", "text"), BAD)
def test_a_wrong_body_is_named_in_the_words_of_go(body: bytes, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_hex_string(body)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'"00ff"', b"\x00\xff"),
        (b'\n "aBcD"\t', b"\xab\xcd"),
        (b'""', b""),
        (b"null", b""),
        (b'"\\u0030\\u0031"', b"\x01"),
    ],
)
def test_a_string_of_hex_is_read(body: bytes, message: bytes) -> None:
    assert decode_hex_string(body) == message


@given(st.binary(max_size=300) | st.text(max_size=80).map(lambda text: json.dumps(text).encode()))
def test_any_body_gives_bytes_or_our_malformed_error(body: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert isinstance(decode_hex_string(body), bytes)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_that_python_writes_is_never_called_a_syntax_error(value: object) -> None:
    check(json.dumps(value).encode())
    check(json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"))


def test_a_long_wrong_body_is_not_scanned_and_still_named() -> None:
    with pytest.raises(MalformedError, match="cannot unmarshal array"):
        decode_hex_string(b"[" + b"1," * 100_000 + b"1]")


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b'"x', "invalid character 'x' after top-level value"),
        (b"\\q", "invalid character 'q' in string escape code"),
        (b"\n", r"invalid character '\n' in string literal"),
    ],
)
def test_a_long_string_is_named_in_the_words_of_go_like_a_short_one(tail: bytes, text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_hex_string(b'"' + b"00\\u0030" * 60_000 + tail)
    assert str(caught.value) == text


def test_a_long_text_that_is_no_json_is_named_by_its_first_character() -> None:
    with pytest.raises(MalformedError, match="invalid character 'x' looking for beginning of value"):
        decode_hex_string(b" " * 100_000 + b"x")


def test_the_first_invalid_byte_wins_over_the_odd_length() -> None:
    with pytest.raises(MalformedError, match="U\\+0067 'g'"):
        decode_hex(b"0g0")


def test_answers_escape_what_go_escapes() -> None:
    text = "<a href='x'>&`\u2028\u2029\x03\n\t\"\\é\ud800"
    assert encode({"msg": text}) == (
        b'{"msg":"\\u003ca href=\'x\'\\u003e\\u0026`'
        b'\\u2028\\u2029\\u0003\\n\\t\\"\\\\\xc3\xa9\xef\xbf\xbd"}\n'
    )
