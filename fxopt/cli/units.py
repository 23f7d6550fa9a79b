"""Quantities with units as the flags take them: `10ms`, `5MB`, `10m`, `95%`, `0.5pt`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from fxopt.contracts.cost import Drop
from fxopt.errors import InputError

_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-zµ%]*)\s*")


def milliseconds(text: str) -> float:
    """`10ms`, `0.5s` or `250us` in milliseconds.

    Raises:
        InputError: not a positive time with its unit; so do all functions here, each about its own quantity.
    """
    return _positive(_with_unit(text, _MILLISECONDS, "a time with its unit, like 10ms"), text)


def seconds(text: str) -> float:
    """`10m`, `90s` or `1h` in seconds."""
    return _positive(_with_unit(text, _SECONDS, "a time with its unit, like 10m or 90s"), text)


def size_bytes(text: str) -> int:
    """`5MB` (a million bytes each) or `5MiB` (2**20 bytes each) in bytes."""
    return round(_positive(_with_unit(text, _BYTES, "a size with its unit, like 5MB or 5MiB"), text))


def confidence(text: str) -> float:
    """`95%` or `0.95` as a fraction between 0.5 and 1."""
    value = _with_unit(text, {"%": 0.01, "": 1.0}, "a level like 95%")
    value = round(value, 9)  # 95 * 0.01 is not 0.95
    if not 0.5 <= value < 1:
        raise InputError(f"{text!r}: give a level from 50% to less than 100%, like 95%")
    return value


def ratio(text: str) -> float:
    """`1.2` or `1.2x`."""
    return _positive(_with_unit(text, {"": 1.0, "x": 1.0}, "a ratio like 1.2"), text)


def drop(text: str) -> Drop:
    """`0.5pt`, `1%` or a bare number in the metric's unit."""
    return Drop.parse(text)


def _with_unit(text: str, units: Mapping[str, float], wanted: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise InputError(f"{text!r}: give {wanted}")
    return float(match[1]) * units[match[2]]


def _positive(value: float, text: str) -> float:
    if value <= 0:
        raise InputError(f"{text!r}: give more than 0")
    return value


class Quantity(click.ParamType[Any]):
    """A click type from one of the functions above; errors name the flag."""

    def __init__(self, parse: Callable[[str], Any], metavar: str) -> None:
        self.parse, self.name = parse, metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text of a flag; defaults that are no text pass."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except InputError as error:
            flag = param.opts[0] if param is not None else ""
            text = str(error)
            raise InputError(text if text.startswith(flag) else f"{flag} {text}") from error
