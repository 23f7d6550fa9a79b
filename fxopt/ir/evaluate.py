"""Run a graph, or a part of it, in the arithmetic at hand: as it is, or in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from fxopt.ir.graphs import copy_graph


class Native:
    """Values and arguments as they are."""

    def attribute(self, value: Any) -> Any:
        """What a get_attr node yields."""
        return value.detach() if isinstance(value, torch.Tensor) else value

    def tensor(self, value: torch.Tensor) -> torch.Tensor:
        """An input in this arithmetic."""
        return value

    def argument(self, value: Any) -> Any:
        """A literal argument of a call."""
        return value


class Double(Native):
    """The float64 twin: float tensors, constants and dtype arguments in float64.

    Scalars that hold a canonical number rounded to float32 (like 1/6) become the number itself, so that a graph
    that spells `x / 6` with a float32 constant equals one whose operator divides by 6.
    """

    def attribute(self, value: Any) -> Any:
        """As `Native.attribute`, in float64."""
        if isinstance(value, GraphModule):
            return _double_module(value)
        value = super().attribute(value)
        if value.dtype.is_floating_point and value.numel() == 1:
            return torch.full_like(value, canonical(value.item()), dtype=torch.float64)
        return self.tensor(value)

    def tensor(self, value: torch.Tensor) -> torch.Tensor:
        """As `Native.tensor`, in float64."""
        if value.dtype.is_floating_point:
            return value.to(torch.float64)
        return value.to(torch.complex128) if value.dtype.is_complex else value

    def argument(self, value: Any) -> Any:
        """As `Native.argument`: floats canonical, float dtypes float64."""
        if isinstance(value, float):
            return canonical(value)
        if isinstance(value, torch.dtype):
            return torch.float64 if value.is_floating_point else torch.complex128 if value.is_complex else value
        if isinstance(value, (list, tuple)):
            return type(value)(self.argument(item) for item in value)
        if isinstance(value, dict):
            return {key: self.argument(item) for key, item in value.items()}
        return value


NATIVE, DOUBLE = Native(), Double()


def run_graph(
    graph: Graph,
    attributes: Mapping[str, Any],
    inputs: Sequence[torch.Tensor],
    arithmetic: Native = NATIVE,
    keep: frozenset[str] = frozenset(),
    see: Callable[[Node, Any], None] = lambda node, value: None,
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Run a whole graph; values are freed after their last use.

    Args:
        graph: placeholders take `inputs` in order.
        attributes: what get_attr nodes hold.
        inputs: flat inputs.
        arithmetic: `NATIVE` or `DOUBLE`.
        keep: names of nodes whose values are wanted too.
        see: shown each node but the output with its value.

    Returns:
        The flat outputs, and the kept values by node name.
    """
    values: dict[Node, Any] = {}
    kept: dict[str, Any] = {}
    feed = iter(inputs)
    last_use = _last_uses(graph)
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = arithmetic.tensor(next(feed))
        elif node.op == "output":
            return [values[item] if isinstance(item, Node) else item for item in node.args[0]], kept
        else:
            values[node] = run_node(node, values, attributes, arithmetic)
        if node.name in keep:
            kept[node.name] = values[node]
        see(node, values[node])
        for dead in last_use.get(node, ()):
            del values[dead]
    raise ValueError("the graph has no output")


def run_nodes(
    nodes: Iterable[Node], values: dict[Node, Any], attributes: Mapping[str, Any], arithmetic: Native = NATIVE
) -> None:
    """Run some nodes in order, adding to `values`, which holds what they take from outside."""
    for node in nodes:
        if node not in values:
            values[node] = run_node(node, values, attributes, arithmetic)


def run_node(node: Node, values: Mapping[Node, Any], attributes: Mapping[str, Any], arithmetic: Native) -> Any:
    """The value of one get_attr or call_function node."""
    if node.op == "get_attr":
        return arithmetic.attribute(attributes[str(node.target)])
    args, kwargs = node.args, node.kwargs
    if arithmetic is not NATIVE:
        args, kwargs = arithmetic.argument(args), arithmetic.argument(kwargs)
    args, kwargs = map_arg((args, kwargs), values.__getitem__)
    target: Any = node.target
    return target(*args, **kwargs)


def _last_uses(graph: Graph) -> dict[Node, list[Node]]:
    last: dict[Node, list[Node]] = {}
    seen: set[Node] = set()
    for node in reversed(graph.nodes):
        for used in (*node.all_input_nodes, node):
            if used not in seen:
                seen.add(used)
                if node.op != "output":
                    last.setdefault(node, []).append(used)
    return last


def _double_module(module: GraphModule) -> GraphModule:
    """A nested graph in float64: its literals and the modules inside it."""
    graph = copy_graph(module.graph, DOUBLE.argument)
    inner = {str(n.target): DOUBLE.attribute(getattr(module, str(n.target))) for n in graph.nodes if n.op == "get_attr"}
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
