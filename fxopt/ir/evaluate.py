"""Run a graph, or a part of it, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from fxopt.ir.quantized import run_call


def run_graph(
    graph: Graph,
    attributes: Mapping[str, Any],
    inputs: Sequence[torch.Tensor],
    see: Callable[[Node, Any], None] = lambda node, value: None,
) -> list[torch.Tensor]:
    """Run a whole graph; values are freed after their last use.

    Args:
        graph: placeholders take `inputs` in order.
        attributes: what get_attr nodes hold.
        inputs: flat inputs.
        see: shown each node but the output with its value.

    Returns:
        The flat outputs.
    """
    values: dict[Node, Any] = {}
    feed = iter(inputs)
    last_use = _last_uses(graph)
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = next(feed)
        elif node.op == "output":
            return [values[item] if isinstance(item, Node) else item for item in node.args[0]]
        else:
            values[node] = run_node(node, values, attributes)
        see(node, values[node])
        for dead in last_use.get(node, ()):
            del values[dead]
    raise ValueError("the graph has no output")


def run_nodes(nodes: Iterable[Node], values: dict[Node, Any], attributes: Mapping[str, Any]) -> None:
    """Run some nodes in order, adding to `values`, which holds what they take from outside."""
    for node in nodes:
        if node not in values:
            values[node] = run_node(node, values, attributes)


def run_node(node: Node, values: Mapping[Node, Any], attributes: Mapping[str, Any]) -> Any:
    """The value of one get_attr or call_function node."""
    if node.op == "get_attr":
        value = attributes[str(node.target)]
        return value.detach() if isinstance(value, torch.Tensor) else value
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    return run_call(node.target, args, kwargs)


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
