"""`.pt2` files of `torch.export.save`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.export import ExportedProgram
from torch.utils._pytree import tree_flatten, tree_unflatten

from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest
from fxopt.contracts.options import suggest
from fxopt.errors import InputError
from fxopt.ir.export_error import reason
from fxopt.ir.input_spec import DimSpec, InputSpec
from fxopt.ir.quiet import quiet
from fxopt_plugins.frontends.archive import Refused, is_zip, member_names
from fxopt_plugins.frontends.examples import dtype_name, make_tensor


@dataclass(frozen=True)
class Exported(Frontend):
    """A program of `torch.export.save`, loaded by a reader of our own that runs nothing of it."""

    name: ClassVar[str] = "exported"

    def recognises(self, model: str) -> bool:
        path = Path(model)
        if path.suffix == ".pt2":
            return path.is_file()
        names = member_names(path) if is_zip(path) else frozenset()
        return "serialized_exported_program.json" in names or any(name.startswith("models/") for name in names)

    def load(self, request: LoadRequest) -> Loaded:
        from fxopt_plugins.frontends.pt2_archive import load_checked

        path, notes = Path(request.model), ()
        if request.weights:
            raise InputError(f"--weights: {path} holds its own weights")
        try:
            program = load_checked(path)
        except Refused as refused:
            if not request.trust_pickle:
                raise InputError(
                    f"{path} may run code when it is loaded: {refused}."
                    " Save it anew with torch.export.save, or pass --trust-pickle if you trust who made it"
                ) from None
            program, notes = _load_trusted(path), (f"{path} was loaded with --trust-pickle: {refused}",)
        return describe(program, request, f"exported program {path}", notes)


def _load_trusted(path: Path) -> ExportedProgram:
    try:
        with quiet("torch.export", "torch._export.serde.serialize", "torch.export.pt2_archive._package"):
            return torch.export.load(path)
    except Exception as error:  # the file's own code may raise anything
        raise InputError(f"{path}: torch.export.load failed ({reason(error)})") from error


def describe(program: ExportedProgram, request: LoadRequest, source: str, notes: tuple[str, ...] = ()) -> Loaded:
    """A loaded program with inputs of the size that is measured.

    Raises:
        InputError: `--input` names an input that the program does not have, or asks for what it does not allow.
    """
    inputs = _user_inputs(program)
    specs = {spec.name: spec for spec in request.inputs}
    if unknown := [name for name in specs if name not in inputs]:
        raise InputError(f"--input: {request.model} has no input {unknown[0]!r}{suggest(unknown[0], inputs)}")
    samples = _sample_leaves(program, inputs)
    symbols = _Symbols(program, request)
    for name, spec in specs.items():
        symbols.take_spec(spec, inputs[name])
    for name, value in samples.items():
        if isinstance(value, torch.Tensor) and isinstance(inputs[name], torch.Tensor):
            symbols.take_sample(value, inputs[name])
    leaves = []
    for seed, (name, value) in enumerate(inputs.items()):
        sample = samples.get(name, value)
        if isinstance(value, torch.Tensor):
            shape = symbols.shape(name, value, specs.get(name))
            if not isinstance(sample, torch.Tensor) or sample is value or tuple(sample.shape) != shape:
                sample = make_tensor(shape, value.dtype, seed)
        leaves.append(sample)
    measured = tree_unflatten(leaves, program.call_spec.in_spec)
    return Loaded(
        source,
        exported=program,
        args=measured[0],
        kwargs=measured[1],
        measured=measured,
        dims=symbols.dims(),
        notes=notes,
    )


def _user_inputs(program: ExportedProgram) -> dict[str, Any]:
    """Name -> fake tensor or constant, in the order of the flat inputs."""
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            constant = isinstance(spec.arg, torch.export.graph_signature.ConstantArgument)
            inputs[spec.arg.name] = spec.arg.value if constant else placeholders.get(spec.arg.name)
    return inputs


def _sample_leaves(program: ExportedProgram, inputs: dict[str, Any]) -> dict[str, Any]:
    if not program.example_inputs:
        return {}
    leaves, spec = tree_flatten(program.example_inputs)
    if spec != program.call_spec.in_spec or len(leaves) != len(inputs):
        return {}
    return dict(zip(inputs, leaves, strict=True))


class _Symbols:
    """The sizes of a program's dynamic dimensions: from `--input`, else the sample inputs, else those of the export."""

    def __init__(self, program: ExportedProgram, request: LoadRequest) -> None:
        self._user_dims = {dim.name: dim for dim in request.dims}
        self._ranges = {
            str(symbol): (_finite(bounds.lower) or 0, _finite(bounds.upper))
            for symbol, bounds in program.range_constraints.items()
        }
        self._dims: dict[str, DimSpec] = {}
        self._used: dict[str, None] = {}

    def take_spec(self, spec: InputSpec, value: Any) -> None:
        """Check an `--input` against the program's input, and take its sizes."""
        if not isinstance(value, torch.Tensor):
            raise InputError(f"--input: {spec.name} is the constant {value!r} in this exported program, not a tensor")
        if spec.dtype != dtype_name(value.dtype):
            raise InputError(
                f"--input: {spec.name} has dtype {spec.dtype}, but {dtype_name(value.dtype)} in this exported program"
            )
        if len(spec.shape) != value.dim():
            raise InputError(
                f"--input: {spec.name} has {len(spec.shape)} dimensions, but {value.dim()} in this exported program"
            )
        for axis, (size, known) in enumerate(zip(spec.shape, value.shape, strict=True)):
            if isinstance(known, int):
                dim = self._user_dims.get(size) if isinstance(size, str) else None
                if (size if dim is None else dim.min) != known or (dim is not None and dim.max != known):
                    raise InputError(
                        f"--input: dimension {axis} of {spec.name} is fixed at {known} in this exported program,"
                        f" {size} is asked for; export it anew with dynamic_shapes"
                    )
            elif known.node.expr.is_Symbol:
                self._take_size(spec.name, axis, str(known.node.expr), size)

    def _take_size(self, name: str, axis: int, symbol: str, size: int | str) -> None:
        low, high = self._ranges.get(symbol, (0, None))
        dim = DimSpec(symbol, low, high, size) if isinstance(size, int) else self._user_dims[size]
        if dim.min < low or dim.measured < low or (high is not None and max(dim.max or high, dim.measured) > high):
            raise InputError(
                f"--input: dimension {axis} of {name} may be {low}..{'' if high is None else high}"
                f" in this exported program, {size if isinstance(size, int) else dim} is asked for"
            )
        known = self._dims.setdefault(symbol, dim)
        if known != dim:
            raise InputError(
                f"--input: dimension {axis} of {name} is one with {known} in this exported program, not {dim}"
            )

    def take_sample(self, sample: torch.Tensor, value: torch.Tensor) -> None:
        """Take the sizes of a sample input where `--input` does not give them."""
        for size, known in zip(sample.shape, value.shape, strict=False):
            if not isinstance(known, int) and known.node.expr.is_Symbol:
                symbol = str(known.node.expr)
                low, high = self._ranges.get(symbol, (0, None))
                self._dims.setdefault(symbol, DimSpec(symbol, low, high, size))

    def shape(self, name: str, value: torch.Tensor, spec: InputSpec | None) -> tuple[int, ...]:
        """The input's measured shape."""
        shape = tuple(size if isinstance(size, int) else self._size(size) for size in value.shape)
        for axis, asked in enumerate(spec.shape if spec else ()):
            size = self._user_dims[asked].measured if isinstance(asked, str) else asked
            if size != shape[axis]:
                raise InputError(
                    f"--input: dimension {axis} of {name} must be {value.shape[axis]} = {shape[axis]}, not {size}"
                )
        return shape

    def _size(self, size: torch.SymInt) -> int:
        expression = size.node.expr
        for symbol in sorted(expression.free_symbols, key=str):
            self._used[str(symbol)] = None
            low, high = self._ranges.get(str(symbol), (0, None))
            hint = size.node.hint if expression.is_Symbol else None
            self._dims.setdefault(str(symbol), DimSpec(str(symbol), low, high, hint or max(low, 1)))
        return int(expression.subs({symbol: self._dims[str(symbol)].measured for symbol in expression.free_symbols}))

    def dims(self) -> tuple[DimSpec, ...]:
        """All dynamic dimensions in the order in which the inputs use them; those without a name are N, D0, D1, ..."""
        dims: dict[str, DimSpec] = {}
        names = itertools.chain(["N"], (f"D{index}" for index in itertools.count()))
        free = (name for name in names if name not in self._user_dims)
        for symbol in self._used:
            dim = self._dims[symbol]
            name = dim.name if dim.name in self._user_dims and dim.name not in dims else next(free)
            dims[name] = replace(dim, name=name)
        return tuple(dims.values())


def _finite(bound: Any) -> int | None:
    return int(bound) if bound.is_Integer else None
