"""YAML text to plain values: duplicate keys refused with path and line, hostile sizes before they cost much.

The scalars are those of YAML 1.2: `yes`, `no`, `on`, dates and `12:30` are text. Messages carry a line and a
column, never a piece of the text: it may hold secrets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import yaml

from signatory.config.problems import ConfigProblemsError, Path, Problem, shown

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Values after aliases are followed: a small text of aliases can stand for a huge tree."""

_MERGE = "tag:yaml.org,2002:merge"
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "int", "float", "null")}

_SURROGATE = re.compile("[\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """SafeLoader with a depth limit, and without the surprises of YAML 1.1."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  # PyYAML's own hook: a table per class, filled below
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConfigProblemsError([Problem((), f"nested deeper than {MAX_DEPTH} levels", self.line + 1)])
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _resolve_scalars() -> None:
    table = (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        # A number with zeros before it stays text: PyYAML would read it to the base 8, YAML 1.2 reads it to
        # the base 10, and so does every field that takes a number.
        ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
        (
            "float",
            r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
            "-+.0123456789",
        ),
        ("merge", r"<<", "<"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    )
    for name, text, first in table:
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(rf"(?:{text})\Z"), list(first))


_resolve_scalars()


@dataclass(frozen=True, slots=True)
class Parsed:
    """The values of a document, and on which line each path stands (from 1)."""

    value: Any = field(repr=False)
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...] = ()
    """What is wrong in places; the rest can be judged all the same."""


def parse(data: bytes) -> Parsed:
    """Read one YAML document. Raises ConfigProblemsError, with a path and line where there is one."""
    parsed = examine(data)
    if parsed.problems:
        raise ConfigProblemsError(parsed.problems)
    return parsed


def examine(data: bytes) -> Parsed:
    """The same, but raises only for what is no YAML at all: duplicate keys come beside the values."""
    loader = _loader(_text(data))
    reader = _Reader(loader)
    try:
        node = loader.get_single_node()
        value = reader.value(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        raise ConfigProblemsError([_syntax(error)]) from None
    except (ValueError, OverflowError):  # PyYAML's chr() of an escape past U+10FFFF
        raise ConfigProblemsError([Problem((), "an escape that is no character", loader.line + 1)]) from None
    finally:
        loader.dispose()
    return Parsed(value, MappingProxyType(reader.lines), tuple(reader.problems))


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigProblemsError([Problem((), f"longer than {MAX_BYTES >> 20} MiB")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigProblemsError([Problem((), f"not UTF-8 text, at byte {error.start}")]) from None


def _loader(text: str) -> _Loader:
    try:
        return _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(text[error.position])
        raise ConfigProblemsError(
            [Problem((), f"YAML does not allow the character U+{code:04X}", line)]
        ) from None


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    text = error.problem or error.context or "this is not YAML"
    if text.startswith("but ") and error.context:
        text = f"{error.context}, {text}"
    if "'\\t'" in text:
        text += "; indent with spaces, not with tabs"
    text = " ".join(shown(word) for word in text.split(" "))
    return Problem((), f"{text} (column {mark.column + 1})" if mark else text, mark.line + 1 if mark else 0)


class _Reader:
    """One walk over the node graph: values, lines, and the problems met on the way."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._left = MAX_NODES
        self._open: set[int] = set()
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0:
            raise ConfigProblemsError(
                [Problem(path, f"more than {MAX_NODES} values when its aliases are followed", line)]
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise ConfigProblemsError([Problem(path, "an alias that contains itself", line)])
        if node.tag not in _COLLECTIONS:
            self._problem(node, path, f"the tag {shown(node.tag)} is not allowed here")
        self._open.add(id(node))
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.remove(id(node))
        return value

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if node.tag not in _SCALARS:
            return self._problem(node, path, f"the tag {shown(node.tag)} is not allowed here")
        if _SURROGATE.search(node.value):
            return self._problem(node, path, "an escape that is no character")
        try:
            return self._loader.construct_object(node)
        except (ValueError, OverflowError, LookupError):
            return self._problem(node, path, f"not a value of the type {node.tag.rpartition(':')[2]}")

    def _list(self, node: yaml.Node, path: Path) -> list[Any]:
        return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "a key must be a name, not a list or a mapping")
            elif key.tag == _MERGE:
                self._merge(item, path, merged)
            elif _SURROGATE.search(key.value):
                self._problem(key, path, "an escape that is no character")
            elif key.value in own:
                first = self.lines[(*path, key.value)]
                self._problem(key, (*path, key.value), f"this key stands here twice, first on line {first}")
            else:
                self.lines[(*path, key.value)] = key.start_mark.line + 1
                own[key.value] = self.value(item, (*path, key.value))
        return merged | own

    def _merge(self, node: yaml.Node, path: Path, into: dict[str, Any]) -> None:
        value = self.value(node, path)
        sources = value if isinstance(value, list) else [value]
        for source in sources:
            if not isinstance(source, dict):
                self._problem(node, path, "`<<` takes a mapping or a list of mappings")
                return
            for key, item in source.items():
                into.setdefault(key, item)

    def _problem(self, node: yaml.Node, path: Path, text: str) -> None:
        self.problems.append(Problem(path, text, node.start_mark.line + 1))
