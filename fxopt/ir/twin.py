"""The float64 twin of a Program: the same graph with the same names, in double precision.

Passes apply to the twin as they apply to the Program, so that what a rewrite computes from weights is not rounded to
float32 and a correct rewrite differs by rounding of float64 only.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from fxopt.ir.graphs import copy_graph
from fxopt.ir.program import Program
from fxopt.ir.quantized import is_dequantize, is_quantize, with_out_dtype

_FLOATS = {"float16", "bfloat16", "float32"}


def double(program: Program) -> Program:
    """The twin: parameters, constants, float inputs and float dtype arguments in float64.

    Scalars that hold a canonical number rounded to float32, like 1/6, are the number itself in the twin.
    """
    graph = _graph_in_double(program.graph)
    attributes = {name: attribute_in_double(value) for name, value in program.attributes.items()}
    inputs = tuple(
        dataclasses.replace(item, dtype="float64") if item.dtype in _FLOATS else item
        for item in program.interface.inputs
    )
    return Program.build(graph, attributes, dataclasses.replace(program.interface, inputs=inputs))


def as_inputs(twin: Program, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """A Program's inputs as its twin takes them."""
    return [value.to(getattr(torch, item.dtype)) for value, item in zip(inputs, twin.interface.inputs, strict=True)]


def in_double(value: Any) -> Any:
    """A literal argument of a call: floats canonical, float dtypes float64."""
    if isinstance(value, float):
        return canonical(value)
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else torch.complex128 if value.is_complex else value
    if isinstance(value, (list, tuple)):
        return type(value)(in_double(item) for item in value)
    if isinstance(value, dict):
        return {key: in_double(item) for key, item in value.items()}
    return value


def attribute_in_double(value: torch.Tensor | GraphModule) -> torch.Tensor | GraphModule:
    """What a get_attr node yields: float tensors in float64, scalars canonical."""
    if isinstance(value, GraphModule):
        return _module_in_double(value)
    value = value.detach()
    if value.dtype.is_floating_point:
        if value.numel() == 1:
            return torch.full_like(value, canonical(value.item()), dtype=torch.float64)
        return value.to(torch.float64)
    return value.to(torch.complex128) if value.dtype.is_complex else value


def _graph_in_double(graph: Graph) -> Graph:
    """A copy with literals in double precision; but what is quantized is quantized by the same numbers."""
    twin = copy_graph(graph, in_double)
    for node, source in zip(twin.nodes, graph.nodes, strict=True):
        if is_quantize(source) or is_dequantize(source):
            node.args = tuple(a if isinstance(a, Node) else b for a, b in zip(node.args, source.args, strict=True))
        if is_dequantize(source):
            with_out_dtype(node, torch.float64)
    return twin


def _module_in_double(module: GraphModule) -> GraphModule:
    """A nested graph in float64: its literals and the modules inside it."""
    graph = _graph_in_double(module.graph)
    inner = {
        str(n.target): attribute_in_double(getattr(module, str(n.target))) for n in graph.nodes if n.op == "get_attr"
    }
    return GraphModule(inner, graph)


def _canonical_values() -> dict[float, float]:
    """float32 neighbours of numbers that appear in the definitions of common operators, mapped to them."""
    numbers = {a / b for b in range(3, 17) for a in range(1, b)}
    numbers |= {math.sqrt(n) for n in range(2, 17)} | {1 / math.sqrt(n) for n in range(2, 1025)}
    numbers |= {math.sqrt(2 / math.pi), math.sqrt(math.pi), math.pi, math.e, math.log(2), 0.044715, 1.702}
    neighbours: dict[float, float] = {}
    for number in sorted(numbers):
        nearest = torch.tensor(number, dtype=torch.float32)
        for direction in (-math.inf, math.inf):
            neighbours.setdefault(torch.nextafter(nearest, torch.tensor(direction)).item(), number)
        neighbours[nearest.item()] = number
    return neighbours


_CANONICAL: dict[float, float] = {}


def canonical(value: float) -> float:
    """The canonical number that `value` is within one float32 ulp of, else `value`; exact float64 numbers stay."""
    if not _CANONICAL:
        _CANONICAL.update(_canonical_values())
    magnitude = _CANONICAL.get(abs(value))
    return value if magnitude is None else math.copysign(magnitude, value)
