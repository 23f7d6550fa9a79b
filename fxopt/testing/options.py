"""Checks of what all plugin objects have: a name, options in the grammar, and words for the documentation."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any

from fxopt.contracts.options import Configurable, split_pipeline, split_spec
from fxopt.errors import InputError
from fxopt.testing.cases import Fault

_KINDS = {bool, int, float, str, NoneType}


def options_round_trip(subject: Configurable) -> None:
    """The spec with any option changed prints as text that reads back to an equal object."""
    hints = typing.get_type_hints(type(subject))
    for option in dataclasses.fields(subject):
        hint = hints[option.name]
        kinds = set(typing.get_args(hint)) if isinstance(hint, UnionType) or typing.get_origin(hint) else {hint}
        if not kinds <= _KINDS:
            raise Fault(f"option {option.name!r} is of type {hint}; the grammar reads bool, int, float, str or None")
    for one in (subject, *_varied(subject)):
        spec = one.spec()
        try:
            (part,) = split_pipeline(spec)
            name, options = split_spec(part)
            back = type(subject).from_options(options)
        except (InputError, ValueError) as error:
            raise Fault(f"its own spec {spec!r} cannot be read: {error}") from error
        if name != subject.name or back != one:
            raise Fault(f"its spec {spec!r} reads back as {back.spec()!r}")


def is_documented(subject: Configurable) -> None:
    """The class has a docstring of its own, and every option says what it does."""
    text = type(subject).__doc__ or ""
    if not text.strip() or text.startswith(f"{type(subject).__name__}("):  # what dataclass writes itself
        raise Fault(f"class {type(subject).__name__} has no docstring")
    for option in dataclasses.fields(subject):
        if not option.metadata.get("help"):
            raise Fault(f'option {option.name!r} has no help: field(..., metadata={{"help": "..."}})')


def _varied(subject: Configurable) -> Iterator[Configurable]:
    """The subject with one option changed, for each option that takes the new value."""
    for option in dataclasses.fields(subject):
        for value in _others(getattr(subject, option.name)):
            try:
                yield dataclasses.replace(subject, **{option.name: value})
            except (TypeError, ValueError):
                continue


def _others(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1]
        case float():
            return [value * 0.5, value + 0.1]
        case str():
            return [f"{value}s"]
        case _:
            return []
