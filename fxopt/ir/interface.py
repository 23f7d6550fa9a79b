"""The outer form of a model: its flat tensor inputs, dynamic dimensions, and how calls and results are nested.

Free of torch, so that `fxopt.load` can bind a call for an engine that does not need torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fxopt.errors import InputError
from fxopt.ir import tree as trees
from fxopt.ir.tree import Tree


@dataclass(frozen=True)
class Dim:
    """A dynamic dimension: its name, inclusive range, and the size that is measured. `max` None: unbounded."""

    name: str
    min: int
    max: int | None
    measured: int


@dataclass(frozen=True)
class Input:
    """A flat tensor input: `shape` holds ints, and dimension names where dynamic; `dtype` is a name like `"float32"`."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True)
class Interface:
    """The outer form of a model.

    Attributes:
        inputs: flat tensor inputs, in the order of the Program's placeholders.
        outputs: names of the flat tensor outputs.
        dims: dynamic dimensions of the inputs.
        parameters: names of the model's positional parameters.
        arguments: tree of `(args, kwargs)` over the flat inputs.
        results: tree of what the model returns over the flat outputs.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    dims: tuple[Dim, ...]
    parameters: tuple[str, ...]
    arguments: Tree
    results: Tree

    def flatten(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The flat inputs of a call, given as the model takes it, or by the names of the flat inputs.

        Raises:
            InputError: an argument is missing, unknown, or nested in another way.
        """
        positional, keywords = (next(iter(part.values())) for part in self.arguments["tuple"])
        flat_names = [item.name for item in self.inputs]
        names = list(self.parameters[: len(positional)])
        by_form = set(names) | set(keywords)
        if (kwargs and not set(kwargs) <= by_form) or (len(args) > len(positional)):
            return self._flatten_by_name(args, kwargs, flat_names)
        values = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key in values:
                raise InputError(f"argument {key!r} is given twice")
            values[key] = value
        missing = [name for name in [*names, *keywords] if name not in values]
        if missing:
            raise InputError(f"argument {missing[0]!r} is missing; the model takes {', '.join(by_form)}")
        found: dict[int, Any] = {}
        for name, tree in [*zip(names, positional, strict=True), *keywords.items()]:
            trees.match(tree, values[name], name, found)
        return [found[index] for index in range(len(self.inputs))]

    def _flatten_by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any], names: list[str]) -> list[Any]:
        unknown = sorted(set(kwargs) - set(names))
        if unknown:
            raise InputError(f"argument {unknown[0]!r} is unknown; the inputs are {', '.join(names)}")
        if len(args) > len(names):
            raise InputError(f"{len(args)} positional arguments for {len(names)} inputs")
        values = {**dict(zip(names, args, strict=False)), **kwargs}
        missing = [name for name in names if name not in values]
        if missing or len(args) + len(kwargs) != len(names):
            raise InputError(f"input {missing[0]!r} is missing" if missing else "an input is given twice")
        return [values[name] for name in names]

    @property
    def argument_names(self) -> list[str]:
        """What a caller names the flat inputs: the argument where that is one tensor, else the flat input's own name.

        They differ where a name is taken in the graph: an argument `input` is the flat input `input_1`.
        """
        positional, keywords = (next(iter(part.values())) for part in self.arguments["tuple"])
        trees_by_name = [*zip(self.parameters, positional, strict=False), *keywords.items()]
        names = {tree["leaf"]: name for name, tree in trees_by_name if "leaf" in tree}
        return [names.get(index, item.name) for index, item in enumerate(self.inputs)]

    def unflatten(self, outputs: Sequence[Any]) -> Any:
        """What the model returns, from the flat outputs."""
        return trees.build(self.results, outputs)

    def check(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]) -> None:
        """Check flat inputs against the declared shapes and dtypes.

        Raises:
            InputError: naming the first input that does not fit.
        """
        sizes: dict[str, int] = {}
        ranges = {dim.name: dim for dim in self.dims}
        for item, shape, dtype in zip(self.inputs, shapes, dtypes, strict=True):
            wanted = f"{item.dtype}[{', '.join(map(str, item.shape))}]"
            if dtype != item.dtype:
                raise InputError(f"input {item.name}: expected {wanted}, got {dtype}{list(shape)}")
            if len(shape) != len(item.shape):
                raise InputError(f"input {item.name}: expected {wanted}, got {len(shape)} axes: {list(shape)}")
            for axis, (size, expected) in enumerate(zip(shape, item.shape, strict=True)):
                if isinstance(expected, int):
                    if size != expected:
                        raise InputError(f"input {item.name}: axis {axis} is {size}, expected {expected} of {wanted}")
                    continue
                if sizes.setdefault(expected, size) != size:
                    raise InputError(
                        f"input {item.name}: axis {axis} is {size}, but {expected} is {sizes[expected]} elsewhere"
                    )
                dim = ranges.get(expected)
                if dim and (size < dim.min or (dim.max is not None and size > dim.max)):
                    raise InputError(f"input {item.name}: {expected}={size} is outside {dim.min}..{dim.max}")

    def measured_shapes(self) -> list[tuple[int, ...]]:
        """Concrete shapes of the flat inputs at the measured sizes."""
        sizes = {dim.name: dim.measured for dim in self.dims}
        return [tuple(sizes[d] if isinstance(d, str) else d for d in item.shape) for item in self.inputs]

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            "inputs": [{"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in self.inputs],
            "outputs": list(self.outputs),
            "dims": [dim.__dict__ for dim in self.dims],
            "parameters": list(self.parameters),
            "arguments": self.arguments,
            "results": self.results,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            tuple(Input(i["name"], tuple(i["shape"]), i["dtype"]) for i in data["inputs"]),
            tuple(data["outputs"]),
            tuple(Dim(**dim) for dim in data["dims"]),
            tuple(data["parameters"]),
            data["arguments"],
            data["results"],
        )
