"""The few things that torch.fx.Graph does not do as fxopt needs them: nodes with a given name, faithful copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import Graph, Node
from torch.fx.node import map_arg


def new_node(
    graph: Graph, op: str, target: Any, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> Node:
    """A node at the graph's insertion point with exactly this name, which must be free; FX itself may choose another."""
    node = graph.create_node(op, target, args, kwargs, name)
    if node.name != name:
        node.name = name
        graph._graph_namespace._used_names.add(name)
    return node


def copy_graph(graph: Graph, literal: Callable[[Any], Any] | None = None) -> Graph:
    """A copy with the same names, `meta` copied flat.

    Args:
        graph: what is copied.
        literal: applied to the arguments of each call once nodes are mapped, where given.
    """
    copy = Graph()
    copied: dict[Node, Node] = {}
    for node in graph.nodes:
        args, kwargs = map_arg((node.args, node.kwargs), copied.__getitem__)
        if literal is not None and node.op == "call_function":
            args, kwargs = literal(args), literal(kwargs)
        copied[node] = new_node(copy, node.op, node.target, node.name)
        # Given afterwards: what a node is created with, FX searches for raw sizes, which takes longer than all the rest.
        copied[node].args, copied[node].kwargs = args, kwargs
        copied[node].meta = dict(node.meta)
    return copy
