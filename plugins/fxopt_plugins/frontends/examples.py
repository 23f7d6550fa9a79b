"""Example inputs from `--input`, for modules."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from fxopt.contracts.frontend import LoadRequest
from fxopt.contracts.options import suggest
from fxopt.errors import InputError
from fxopt.ir.input_spec import DimSpec, InputSpec


@dataclass(frozen=True)
class Examples:
    """Inputs for capture and measurement, with the meaning that they have in `fxopt.contracts.frontend.Loaded`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic_shapes: dict[str, Any] | None
    measured: tuple[tuple[Any, ...], dict[str, Any]]
    dims: tuple[DimSpec, ...]


def make_tensor(shape: Sequence[int], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """A deterministic tensor: normal floats; 0 or 1 for integers, so that they are valid indices; bools."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(*shape, generator=generator).to(dtype)
    return torch.randint(0, 2, tuple(shape), generator=generator).to(dtype)


def make_examples(
    model: str,
    signature: inspect.Signature,
    request: LoadRequest,
    given: tuple[tuple[Any, ...], Mapping[str, Any]] = ((), {}),
) -> Examples:
    """Example inputs of a module: those of `--input`, and for the rest those that came with the module.

    Args:
        model: how messages name the module.
        signature: of the module's `forward`, without `self`.
        request: whose `inputs` and `dims` are used.
        given: (args, kwargs) that came with the module.

    Raises:
        InputError: `--input` does not fit the module, or leaves an input out.
    """
    captured = _bind(model, signature, given)
    measured = dict(captured)
    shapes: dict[str, Any] = {name: tree_map(lambda _: None, value) for name, value in captured.items()}
    dims = {dim.name: dim for dim in request.dims}
    for seed, spec in enumerate(request.inputs):
        _check_name(model, signature, spec)
        _check_against(captured.get(spec.name), spec)
        dtype = getattr(torch, spec.dtype)
        captured[spec.name] = make_tensor(_sizes(spec, dims, for_capture=True), dtype, seed)
        measured[spec.name] = make_tensor(_sizes(spec, dims, for_capture=False), dtype, seed)
        shapes[spec.name] = _dynamic(spec, dims)
    _check_complete(model, signature, captured)
    positional, by_name = _order(signature, captured)
    found = [size for name in (*positional, *by_name) for size in _names_of_sizes(shapes[name])]
    return Examples(
        tuple(captured[name] for name in positional),
        {name: captured[name] for name in by_name},
        _arrange_shapes(signature, shapes) if found else None,
        (tuple(measured[name] for name in positional), {name: measured[name] for name in by_name}),
        tuple(dims[name] for name in dict.fromkeys(found)),
    )


def _names_of_sizes(shape: Any) -> list[str]:
    return [dim.__name__ for dim in shape.values() if dim is not None] if isinstance(shape, dict) else []


def _bind(model: str, signature: inspect.Signature, given: tuple[tuple[Any, ...], Mapping[str, Any]]) -> dict[str, Any]:
    args, kwargs = given
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError as error:
        raise InputError(f"{model}: the example inputs do not fit forward{signature} ({error})") from error
    values: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_POSITIONAL:
                values.update((f"{name}_{index}", item) for index, item in enumerate(value))
            case inspect.Parameter.VAR_KEYWORD:
                values.update(value)
            case _:
                values[name] = value
    return values


def _named(signature: inspect.Signature) -> list[inspect.Parameter]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in signature.parameters.values() if parameter.kind not in variable]


def _variable(signature: inspect.Signature, kind: Any) -> str | None:
    return next((parameter.name for parameter in signature.parameters.values() if parameter.kind is kind), None)


def _check_name(model: str, signature: inspect.Signature, spec: InputSpec) -> None:
    names = [parameter.name for parameter in _named(signature)]
    open_ended = len(names) < len(signature.parameters)
    if spec.name not in names and not open_ended:
        raise InputError(f"--input: {model} has no input {spec.name!r}{suggest(spec.name, names)}")


def _check_against(value: Any, spec: InputSpec) -> None:
    if value is None:
        return
    if not isinstance(value, torch.Tensor):
        raise InputError(f"--input: {spec.name} is a {type(value).__name__} in the example inputs, not a tensor")
    if value.dim() != len(spec.shape):
        raise InputError(
            f"--input: {spec.name} has {len(spec.shape)} dimensions, but {value.dim()} in the example inputs"
            f" {tuple(value.shape)}"
        )
    if value.dtype != getattr(torch, spec.dtype):
        raise InputError(
            f"--input: {spec.name} has dtype {spec.dtype}, but {dtype_name(value.dtype)} in the example inputs"
        )


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.float32` -> `"float32"`."""
    return str(dtype).removeprefix("torch.")


def _check_complete(model: str, signature: inspect.Signature, values: Mapping[str, Any]) -> None:
    required = [parameter.name for parameter in _named(signature) if parameter.default is inspect.Parameter.empty]
    if missing := [name for name in required if name not in values]:
        flags = " ".join(f"--input {name}=1x3x224x224" for name in missing)
        raise InputError(f"{model}: no example for input {', '.join(missing)}; describe it, like {flags}")


def _is_fixed(dim: DimSpec) -> bool:
    return dim.min == dim.max


def _sizes(spec: InputSpec, dims: Mapping[str, DimSpec], for_capture: bool) -> list[int]:
    # torch.export takes a size of 1 for a constant, even in a dynamic dimension.
    least = {
        name: dim.measured if _is_fixed(dim) or not for_capture else max(dim.measured, 2) for name, dim in dims.items()
    }
    return [least[size] if isinstance(size, str) else size for size in spec.shape]


def _dynamic(spec: InputSpec, dims: Mapping[str, DimSpec]) -> dict[int, Any] | None:
    return {
        axis: torch.export.Dim(size, min=dims[size].min, max=dims[size].max)
        for axis, size in enumerate(spec.shape)
        if isinstance(size, str) and not _is_fixed(dims[size])
    } or None


def _order(signature: inspect.Signature, values: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of values in the order of a call: positional up to the first that is left out, then those by keyword."""
    rest, names = dict(values), []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for parameter in signature.parameters.values():
        if parameter.kind not in positional or parameter.name not in rest:
            break
        del rest[parameter.name]
        names.append(parameter.name)
    if _variable(signature, inspect.Parameter.VAR_POSITIONAL):
        names += _extra(signature, rest)
    return names, [name for name in rest if name not in names]


def _arrange_shapes(signature: inspect.Signature, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Dynamic shapes by name, in the form that torch.export wants for `*args`."""
    extra = _extra(signature, shapes)
    arranged = {name: value for name, value in shapes.items() if name not in extra}
    if extra and not (variable := _variable(signature, inspect.Parameter.VAR_POSITIONAL)):
        raise InputError(
            f"--input: forward{signature} has no argument {extra[0]};"
            " torch.export takes no dynamic sizes beside such inputs"
        )
    return arranged | ({variable: tuple(shapes[key] for key in extra)} if extra else {})


def _extra(signature: inspect.Signature, names: Iterable[str]) -> list[str]:
    known = {parameter.name for parameter in _named(signature)}
    return [name for name in names if name not in known]
