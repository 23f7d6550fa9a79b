"""Plain data, as a JSON file holds them, read by type hints: what is not of its form is refused, and its place is named."""

from __future__ import annotations

import dataclasses
import enum
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from fxopt.errors import InputError

T = TypeVar("T")

DEEPEST = 64  # lists and objects inside one another in a value of any form; what writes JSON recurses
_NAMES = {str: "a string", bool: "true or false", int: "an integer", float: "a finite number"}


class Damaged(ValueError):
    """A value is not of its form; the message is one line that says where, and what is wanted."""

    def __init__(self, what: str, place: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'.'.join(place)}: {what}" if place else what)
        self.what, self.place = what, place


def record(forms: Mapping[str, Any], value: object) -> dict[str, Any]:
    """The entries of an object that has the keys of `forms` and no others, each read by its hint as `read` does.

    Raises:
        Damaged: it is no object, a key is missing or unknown, or an entry is not of its form.
    """
    if not isinstance(value, Mapping):
        raise _unfit("an object", value)
    if missing := [key for key in forms if key not in value]:
        raise Damaged(f"there is no {missing[0]!r}")
    if unknown := [key for key in value if key not in forms]:
        raise Damaged(f"unknown {unknown[0]!r}")
    return {key: _entry(key, hint, value[key]) for key, hint in forms.items()}


def fields(kind: type[T], value: object) -> T:
    """A dataclass from an object that has its fields for keys.

    Raises:
        Damaged: as `record`.
    """
    return kind(**record(hints(kind), value))


def hints(kind: type[Any], *without: str) -> dict[str, Any]:
    """Types of a dataclass's fields by name, but for some that no file holds."""
    fields = [field for field in dataclasses.fields(kind) if field.name not in without]
    module = vars(sys.modules[kind.__module__])
    known = {field.name: field.type for field in fields}
    return typing.get_type_hints(type(kind.__name__, (), {"__annotations__": known}), module)


def read(hint: Any, value: object) -> Any:
    """A value of the form that a type hint says.

    Args:
        hint: `str`, `bool`, `int`, `float` (finite, integers included), `Any`, an enum, a `Literal`, one of these or None,
            `tuple[T, ...]` or `frozenset[T]` (from lists), `Mapping[str, T]`, or a dataclass, which is made by its
            `from_json` where it has one.
        value: as the JSON parser gives it.

    Raises:
        Damaged: it is not of that form.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _shallow(value, DEEPEST)
    if hint in _NAMES:
        return _scalar(hint, value)
    if origin in (Union, types.UnionType):
        (form,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else read(form, value)
    if origin is Literal:
        return _choice({choice: choice for choice in arguments}, value)
    if origin in (tuple, frozenset):
        if not isinstance(value, (list, tuple)):
            raise _unfit("a list", value)
        return origin(_entry(str(index), arguments[0], item) for index, item in enumerate(value))
    if origin in (Mapping, dict):
        return record(dict.fromkeys(value, arguments[1]) if isinstance(value, Mapping) else {}, value)
    if issubclass(hint, enum.Enum):
        return _choice({item.value: item for item in hint}, value)
    return hint.from_json(value) if hasattr(hint, "from_json") else fields(hint, value)


def _entry(key: str, hint: Any, value: object) -> Any:
    place = key if key.isalnum() or key.isidentifier() else repr(key)
    try:
        return read(hint, value)
    except Damaged as damage:
        raise Damaged(damage.what, (place, *damage.place)) from None
    except InputError as error:
        raise Damaged(str(error), (place,)) from None


def _scalar(hint: type[Any], value: Any) -> Any:
    if hint is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return value
    if hint is not float and type(value) is hint:  # true and false are no integers
        return value
    raise _unfit(_NAMES[hint], value)


def _choice(choices: Mapping[str, Any], value: object) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise _unfit(f"one of {', '.join(choices)}", value)
    return choices[value]


def _shallow(value: Any, left: int) -> Any:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    if parts and not left:
        raise Damaged(f"more than {DEEPEST} lists and objects inside one another")
    for part in parts:
        _shallow(part, left - 1)
    return value


def _unfit(wanted: str, value: object) -> Damaged:
    shown = repr(value)
    return Damaged(f"{wanted} is needed, not {shown if len(shown) <= 40 else f'{shown[:40]}…'}")
