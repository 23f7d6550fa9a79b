"""The `--input` grammar: `x=Nx3x224x224:float32,N=1..64@1`.

Items are separated by commas. `name=shape:dtype` describes an input: its sizes are separated by `x`, each a number or
the name of a dynamic dimension, and float32 is the default dtype. `N=1..64@1` gives a dynamic dimension's range and,
after `@`, the size that is measured (the smallest where it is left out). A dimension belongs to all that name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fxopt.contracts.options import suggest
from fxopt.errors import InputError

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")

_INPUT_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DIM_NAME = re.compile(r"[A-Za-wyz_][A-Za-wyz_0-9]*", re.ASCII)  # no x, which separates sizes
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:@(\d+))?", re.ASCII)
_LARGEST_SIZE = 2**31 - 1


@dataclass(frozen=True)
class InputSpec:
    """One input of the model as the user describes it.

    Attributes:
        name: the argument's name in the model's `forward`.
        shape: sizes; a string names a dynamic dimension. Empty for a scalar tensor.
        dtype: one of `DTYPES`.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name}={'x'.join(map(str, self.shape))}:{self.dtype}"


@dataclass(frozen=True)
class DimSpec:
    """A dynamic dimension.

    Attributes:
        name: as in the shapes of `InputSpec`.
        min, max: the sizes that it may take, both included; `max` is None where an exported model sets no limit.
        measured: the size at which the model is measured.
    """

    name: str
    min: int
    max: int | None
    measured: int

    def __str__(self) -> str:
        return f"{self.name}={self.min}..{'' if self.max is None else self.max}@{self.measured}"


def parse_inputs(texts: Sequence[str]) -> tuple[tuple[InputSpec, ...], tuple[DimSpec, ...]]:
    """Read the values of all `--input` flags.

    Returns:
        The inputs in the order given, and the dimensions that they name.

    Raises:
        InputError: what is wrong, in one line.
    """
    inputs: dict[str, InputSpec] = {}
    dims: dict[str, DimSpec] = {}
    for text in texts:
        items = [item.strip() for item in text.split(",")]
        for item in items:
            name, equals, value = (part.strip() for part in item.partition("="))
            if not equals:
                raise _error(text, f"{item!r} is neither name=shape:dtype nor a range like N=1..64@1")
            if ".." in value:
                dim = _parse_dim(text, name, value)
                if dims.setdefault(name, dim) != dim:
                    raise _error(text, f"dimension {name} has two ranges, {dims[name]} and {dim}")
            elif name in inputs:
                raise _error(text, f"input {name} is given twice")
            else:
                inputs[name] = _parse_input(text, name, value)
    used = {size for spec in inputs.values() for size in spec.shape if isinstance(size, str)}
    if missing := sorted(used - dims.keys()):
        raise InputError(f"--input: dimension {missing[0]} has no range; add {missing[0]}=1..64@1")
    if unused := sorted(dims.keys() - used):
        raise InputError(f"--input: no input has a dimension {unused[0]}{suggest(unused[0], used)}")
    return tuple(inputs.values()), tuple(dims.values())


def print_inputs(inputs: Iterable[InputSpec], dims: Iterable[DimSpec]) -> str:
    """One `--input` value that `parse_inputs` reads back to equal specs."""
    return ",".join(map(str, (*inputs, *dims)))


def _error(text: str, reason: str) -> InputError:
    return InputError(f"--input {text!r}: {reason}")


def _parse_input(text: str, name: str, value: str) -> InputSpec:
    if not _INPUT_NAME.fullmatch(name):
        raise _error(text, f"{name!r} is not the name of an argument")
    shape, colon, dtype = (part.strip() for part in value.partition(":"))
    if not colon:
        dtype = "float32"
    if not shape and not colon:
        raise _error(text, f"input {name} has no shape; write {name}=1x3x224x224, or {name}=:float32 for a scalar")
    if dtype not in DTYPES:
        raise _error(text, f"unknown dtype {dtype!r}{suggest(dtype, DTYPES)}")
    return InputSpec(name, tuple(_parse_size(text, size) for size in shape.split("x")) if shape else (), dtype)


def _parse_size(text: str, size: str) -> int | str:
    if re.fullmatch(r"\d+", size, re.ASCII):
        if not 1 <= int(size[:12]) <= _LARGEST_SIZE:
            raise _error(text, f"size {size} is not in 1..{_LARGEST_SIZE}")
        return int(size)
    if not _DIM_NAME.fullmatch(size):
        raise _error(text, f"{size!r} is neither a size nor the name of a dimension (sizes are separated by x)")
    return size


def _parse_dim(text: str, name: str, value: str) -> DimSpec:
    if not _DIM_NAME.fullmatch(name):
        raise _error(text, f"{name!r} is not the name of a dimension (letters but x, digits, _)")
    match = _RANGE.fullmatch(value)
    if match is None:
        raise _error(text, f"{value!r} is not a range like 1..64 or 1..64@1")
    low, high = int(match[1][:12]), int(match[2][:12])
    measured = low if match[3] is None else int(match[3][:12])
    if not 1 <= low <= high <= _LARGEST_SIZE:
        raise _error(text, f"range {low}..{high} of {name} is empty or outside 1..{_LARGEST_SIZE}")
    if not low <= measured <= high:
        raise _error(text, f"measured size {measured} of {name} is outside its range {low}..{high}")
    return DimSpec(name, low, high, measured)
