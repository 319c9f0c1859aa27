"""What is wrong with a JSON text, in the words of Go's scanner."""

import re

from signatory.errors import MalformedError

MAX_DEPTH = 10_000
"""Nested arrays and objects that Go accepts."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_DIGITS = re.compile(rb"[0-9]*")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_HEX = b"0123456789abcdefABCDEF"
_SHORT = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r", 0x5C: r"\\", 0x27: r"\'"}


def check(text: bytes) -> None:
    """Return when `text` is one JSON value. Raises MalformedError with the text of Go's SyntaxError."""
    _Scanner(text).run()


def quote(byte: int) -> str:
    """A byte as Go's scanner quotes it."""
    if byte == 0x22:
        return "'\"'"
    if byte in _SHORT:
        return f"'{_SHORT[byte]}'"
    character = chr(byte)
    if character.isprintable():
        return f"'{character}'"
    return f"'\\x{byte:02x}'" if byte < 0x80 else f"'\\u{byte:04x}'"


class _Scanner:
    """Walks over the text token by token, with an explicit stack of what is open."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._open: list[int] = []

    def run(self) -> None:
        self._value()
        while self._open:
            self._after_value()
        self._skip_space()
        if self._at < len(self._text):
            self._wrong("after top-level value")

    def _value(self, context: str = "looking for beginning of value") -> None:
        """Pass over a scalar or an empty container, or into containers until there is one of these."""
        while self._enters(context):
            context = "looking for beginning of value"

    def _enters(self, context: str) -> bool:
        byte = self._token()
        if byte in b"[{":
            return self._enter(byte)
        if byte == 0x22:
            self._string()
        elif byte in _LITERALS:
            self._literal(_LITERALS[byte])
        elif byte == 0x2D or 0x30 <= byte <= 0x39:
            self._number()
        else:
            self._wrong(context)
        return False

    def _enter(self, byte: int) -> bool:
        """Go one level down; True when a member comes next."""
        if len(self._open) >= MAX_DEPTH:
            raise MalformedError("exceeded max depth")
        self._open.append(byte)
        self._at += 1
        following = self._token()
        if following == byte + 2:  # "[" and "]", "{" and "}" are two apart
            self._leave()
            return False
        if byte == 0x7B:
            self._key()
        return True

    def _leave(self) -> None:
        self._open.pop()
        self._at += 1

    def _key(self) -> None:
        if self._token() != 0x22:
            self._wrong("looking for beginning of object key string")
        self._string()
        if self._token() != 0x3A:
            self._wrong("after object key")
        self._at += 1

    def _after_value(self) -> None:
        kind, byte = self._open[-1], self._token()
        if byte == kind + 2:
            self._leave()
        elif byte != 0x2C:
            self._wrong("after array element" if kind == 0x5B else "after object key:value pair")
        else:
            self._at += 1
            if kind == 0x7B:
                self._key()
            self._value()

    def _string(self) -> None:
        self._at += 1
        self._at = self._match(_TEXT)
        byte = self._peek()
        if byte == 0x5C:
            self._bad_escape()
        if byte != 0x22:
            self._wrong("in string literal")
        self._at += 1

    def _bad_escape(self) -> None:
        self._at += 1
        if self._peek() != 0x75:
            self._wrong("in string escape code")
        self._at += 1
        while self._peek() in _HEX:
            self._at += 1
        self._wrong("in \\u hexadecimal character escape")

    def _literal(self, word: bytes) -> None:
        for index, expected in enumerate(word):
            if self._peek() != expected:
                self._wrong(f"in literal {word.decode()} (expecting {quote(expected)})" if index else "")
            self._at += 1

    def _number(self) -> None:
        if self._peek() == 0x2D:
            self._at += 1
        if self._peek() == 0x30:
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._next_is(b"."):
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._next_is(b"eE"):
            self._at += 1
            if self._next_is(b"+-"):
                self._at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, context: str) -> None:
        if not 0x30 <= self._peek() <= 0x39:
            self._wrong(context)
        self._at = self._match(_DIGITS)

    def _next_is(self, choices: bytes) -> bool:
        return self._at < len(self._text) and self._text[self._at] in choices

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self._text, self._at)
        return match.end() if match else self._at

    def _skip_space(self) -> None:
        self._at = self._match(_SPACE)

    def _token(self) -> int:
        self._skip_space()
        return self._peek()

    def _peek(self) -> int:
        if self._at >= len(self._text):
            raise MalformedError("unexpected end of JSON input")
        return self._text[self._at]

    def _wrong(self, context: str) -> None:
        raise MalformedError(f"invalid character {quote(self._text[self._at])} {context}")
