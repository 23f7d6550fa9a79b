"""The option grammar `name{option=value, option=value}` shared by passes, targets, engines and planners.

A plugin object is a frozen dataclass; its fields are its options. The grammar parses to it and prints back.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from fxopt.errors import InputError

_SPEC = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(?:\{(.*)\})?\s*", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Configurable:
    """Base of all plugin objects: a name, and options that are dataclass fields.

    Field types may be bool, int, float, str, or one of them `| None`. Each field should carry
    `metadata={"help": "..."}`; the documentation is generated from it.
    """

    name: ClassVar[str]

    def spec(self) -> str:
        """The text form that `parse` reads back; options at their default are left out."""
        changed = [
            f"{field.name}={print_value(value)}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return self.name + ("{" + ", ".join(changed) + "}" if changed else "")

    @classmethod
    def from_options(cls, options: dict[str, str]) -> Self:
        """An instance from textual options.

        Raises:
            InputError: an unknown option (the nearest is suggested) or a value of the wrong type.
        """
        hints = typing.get_type_hints(cls)
        fields = {field.name for field in dataclasses.fields(cls)}
        values = {}
        for key, text in options.items():
            if key not in fields:
                raise InputError(f"{cls.name}: unknown option {key!r}{suggest(key, fields)}")
            values[key] = _parse_value(cls.name, key, text, hints[key])
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{cls.name}: {error}") from error


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """`"name{a=1, b=x}"` -> `("name", {"a": "1", "b": "x"})`.

    Raises:
        InputError: the text is not of that form.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not of the form name or name{{option=value, ...}}")
    name, body = match.groups()
    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in (body or "").split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{text!r}: option {part!r} is not of the form option=value")
        if key.strip() in options:
            raise InputError(f"{text!r}: option {key.strip()!r} is given twice")
        options[key.strip()] = value.strip()
    return name, options


def split_pipeline(text: str) -> list[str]:
    """Split `"a,b{x=1,y=2},c"` at the commas outside braces."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        if character in "{}":
            depth += 1 if character == "{" else -1
        elif character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise InputError(f"{text!r}: the braces do not match")
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or what there is when nothing is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(known)}" if known else "; there is none"


def print_value(value: object) -> str:
    """An option's value as the grammar reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def _parse_value(owner: str, key: str, text: str, hint: Any) -> object:
    origin = typing.get_origin(hint)
    kinds = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() == "none":
        return None
    for kind in kinds:
        try:
            if kind is bool:
                return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
            if kind in (int, float, str):
                return kind(text)
        except (ValueError, KeyError):
            continue
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise InputError(f"{owner}: option {key!r} takes {names}, not {text!r}")
