"""Plain values against a pydantic model: every problem at once, in our words, with the nearest known key.

Used for the file itself and for each driver's own block, so that both speak alike.
"""

import copy
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from signatory.config.problems import Findings, Path, Problem, suggestion
from signatory.errors import SignatoryError

Model = TypeVar("Model", bound=BaseModel)

REQUIRED = "is required"

_MAPPING, _LIST, _TRUTH = "must be a mapping of keys to values", "must be a list", "must be true or false"
_WORDS = {
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "string_type": "must be text; write it in quotes",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
}
"""Ours for pydantic's types of errors."""

_WRAPPERS = (Annotated, Union, types.UnionType)
"""What stands around the annotations that count."""


@dataclass(frozen=True, slots=True)
class Checked(Generic[Model]):
    """The validated model, or None and the problems; `unknown` holds the unknown keys that were let pass."""

    model: Model | None = field(repr=False)
    problems: tuple[Problem, ...] = ()
    unknown: tuple[Problem, ...] = ()


def check(model: type[Model], data: Any, path: Path = (), *, allow_unknown: bool = False) -> Checked[Model]:
    """Validate `data`, found at `path`. Never raises; `allow_unknown` drops unknown keys and tells them."""
    data = {} if data is None and not issubclass(model, RootModel) else copy.deepcopy(data)
    unknown: list[Problem] = []
    while True:
        try:
            return Checked(model.model_validate(data), unknown=tuple(unknown))
        except SignatoryError as error:  # a driver's own validator may raise one
            return Checked(None, (Problem(path, str(error)),), tuple(unknown))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        extras = [detail for detail in details if _can_drop(data, detail)] if allow_unknown else []
        if not extras:
            problems = [found for detail in details for found in _problems(model, data, path, detail)]
            return Checked(None, tuple(dict.fromkeys(problems)), tuple(unknown))
        for detail in extras:
            unknown += _problems(model, data, path, detail)
        for place in {_place(data, detail["loc"]) for detail in extras}:
            _drop(data, place)


def fill_from_environment(model: type[BaseModel], data: Any, env: Mapping[str, str]) -> Any:
    """A copy of `data` whose absent fields are filled from the environment variables they name.

    A field names its variable by `Field(json_schema_extra={"env": "NAME"})`. A value in YAML wins; an empty
    variable counts as unset. What is not a mapping is returned as it is.
    """
    if data is None and not issubclass(model, RootModel):
        data = {}
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    for name, info in model.model_fields.items():
        key = info.alias or name
        if (value := _from_environment(info, filled.get(key), env)) is not None:
            filled[key] = value
    return filled


def told_from_environment(problem: Problem, model: type[BaseModel], data: Any, path: Path) -> Problem:
    """The problem, with the variable that its value came from where `data`, found at `path`, has none."""
    place = problem.path[len(path) :]
    for part in place:
        data = data.get(part) if isinstance(data, dict) else None
    info = _fields_at(model, place[:-1]).get(str(place[-1])) if place and data is None else None
    variable = _variable(info) if info else None
    if variable is None or problem.text == REQUIRED:
        return problem
    return Problem(problem.path, f"{problem.text} (from the environment variable {variable})", problem.line)


def _variable(info: FieldInfo) -> str | None:
    extra = info.json_schema_extra
    variable = extra.get("env") if isinstance(extra, dict) else None
    return variable if isinstance(variable, str) else None


def _from_environment(info: FieldInfo, present: Any, env: Mapping[str, str]) -> Any:
    if variable := _variable(info):
        return (env.get(variable) or None) if present is None else present
    for inner in _models_in(info.annotation):
        found = fill_from_environment(inner, present, env)
        return found or present
    return present


def _problems(model: type[BaseModel], data: Any, path: Path, detail: ErrorDetails) -> list[Problem]:
    if detail["type"] not in {"missing", "extra_forbidden"}:
        place = (*path, *_place(data, detail["loc"]))
        error = detail.get("ctx", {}).get("error")
        found = error.found if isinstance(error, Findings) else [((), _words(detail))]
        return [Problem((*place, *inner), text) for inner, text in found]
    place, name = _place(data, detail["loc"][:-1]), detail["loc"][-1]
    text = REQUIRED
    if detail["type"] == "extra_forbidden":
        text = "unknown key" + suggestion(str(name), _keys_at(model, place))
    return [Problem((*path, *place, name), text)]


def _words(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "string_too_short" and detail["ctx"]["min_length"] == 1:
        return "must not be empty"
    return _WORDS.get(detail["type"]) or detail["msg"].replace("Input should be", "must be")


def _place(data: Any, loc: tuple[int | str, ...]) -> Path:
    """The part of pydantic's location that leads through the data, without names of union members."""
    place: list[int | str] = []
    for part in loc:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            place.append(part)
            data = data[part]  # type: ignore[index]  # checked above
    return tuple(place)


def _can_drop(data: Any, detail: ErrorDetails) -> bool:
    place = _place(data, detail["loc"])
    return detail["type"] == "extra_forbidden" and place[-1:] == detail["loc"][-1:]


def _drop(data: Any, place: Path) -> None:
    for part in place[:-1]:
        data = data[part]
    del data[place[-1]]


def _keys_at(model: type[BaseModel], place: Path) -> set[str]:
    """The field names known where `place` leads, over all members of unions."""
    return set(_fields_at(model, place)) - {"root"}


def _fields_at(model: type[BaseModel], place: Path) -> dict[str, FieldInfo]:
    annotations: list[Any] = [model]
    for part in place:
        annotations = [inner for annotation in annotations for inner in _inside(annotation, part)]
    models = [one for annotation in annotations for one in _models_in(annotation)]
    return {info.alias or name: info for one in models for name, info in one.model_fields.items()}


def _inside(annotation: Any, part: int | str) -> list[Any]:
    """What may stand under `part` of a value so annotated: a field's, an item's or an entry's annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return [arguments[1]]
    if origin in {list, tuple}:
        return [argument for argument in arguments if argument is not Ellipsis]
    if origin in _WRAPPERS:
        return [inner for argument in arguments for inner in _inside(argument, part)]
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return []
    fields = annotation.model_fields
    named = [info.annotation for name, info in fields.items() if part == (info.alias or name)]
    return named or [
        inner for name in fields if name == "root" for inner in _inside(fields[name].annotation, part)
    ]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value so annotated can be: the annotation itself, or members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in _WRAPPERS:
        return [model for argument in get_args(annotation) for model in _models_in(argument)]
    return []
