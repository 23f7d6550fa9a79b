"""Parts of a Program as Programs of their own, fed with the values that were seen at their border."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from fxopt.ir.evaluate import run_graph
from fxopt.ir.graphs import new_node
from fxopt.ir.interface import Input, Interface
from fxopt.ir.program import Program

_NUMBERS = (bool, int, float)


def seen_values(program: Program, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """The values of all inputs and calls, by name, for flat inputs. All of them are held at once."""
    values: dict[str, Any] = {}

    def see(node: Node, value: Any) -> None:
        if node.op != "get_attr":
            values[node.name] = value

    with torch.no_grad():
        run_graph(program.graph, program.attributes, inputs, see)
    return values


def inseparable(program: Program, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """For each call the calls that it cannot be without: their values (tuples, say) are no inputs that a Program takes."""
    return {
        node.name: [
            used.name
            for used in node.all_input_nodes
            if used.op == "call_function" and not isinstance(values[used.name], (torch.Tensor, *_NUMBERS))
        ]
        for node in program.calls
    }


def neighbourhood(program: Program, names: Collection[str], distance: int) -> set[str]:
    """The calls that are at most so many edges from the calls named, these included."""
    found = {name for name in names if name in program and program.node(name).op == "call_function"}
    front = {program.node(name) for name in found}
    for _ in range(distance):
        near = {other for node in front for other in (*node.all_input_nodes, *node.users)}
        front = {node for node in near if node.op == "call_function" and node.name not in found}
        if not front:
            break
        found |= {node.name for node in front}
    return found


def part(program: Program, names: Collection[str], values: Mapping[str, Any]) -> tuple[Program, list[torch.Tensor]]:
    """Some calls as a Program of their own, and its flat inputs.

    Nodes keep their names. A tensor from elsewhere is an input, a number from elsewhere the number that was seen, so the
    part is of fixed sizes. What is used outside, or was an output, is an output, so nothing else is fused or removed
    than in the whole.

    Args:
        program: the whole.
        names: calls of it, those that they are inseparable from included.
        values: as `seen_values` gives them.

    Raises:
        InputError: a call does not fit what was seen.
        ValueError: nothing is left that could be an output.
    """
    alive = _alive(program, names, values)
    inside = [node for node in program.calls if node in alive]
    taken = {used for node in inside for used in node.all_input_nodes} - alive
    graph = Graph()
    copied: dict[Node, Any] = {}
    inputs = []
    for node in program.nodes:
        if node in taken and node.op != "get_attr":
            value = values[node.name]
            if isinstance(value, torch.Tensor):
                copied[node] = new_node(graph, "placeholder", node.name, node.name)
                inputs.append((node.name, value.detach().contiguous()))
            else:
                copied[node] = value
    attributes = {}
    for node in program.nodes:
        if node in taken and node.op == "get_attr":
            copied[node] = new_node(graph, "get_attr", str(node.target), node.name)
            attributes[str(node.target)] = program.attributes[str(node.target)]
    for node in inside:
        args, kwargs = map_arg((node.args, node.kwargs), copied.__getitem__)
        copied[node] = new_node(graph, "call_function", node.target, node.name, args, kwargs)
    outputs = [node for node in inside if _is_output(node, alive, values)]
    if not outputs:
        raise ValueError("no output is left")
    graph.output([copied[node] for node in outputs])
    border = [Input(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in inputs]
    interface = flat_interface(border, [node.name for node in outputs])
    return Program.build(graph, attributes, interface), [value for _, value in inputs]


def _alive(program: Program, names: Collection[str], values: Mapping[str, Any]) -> set[Node]:
    """Those of the calls that lead to an output of the part."""
    inside = {program.node(name) for name in names}
    alive: set[Node] = set()
    for node in reversed(program.graph.nodes):
        if node in inside and (_is_output(node, inside, values) or not alive.isdisjoint(node.users)):
            alive.add(node)
    return alive


def _is_output(node: Node, inside: Collection[Node], values: Mapping[str, Any]) -> bool:
    return isinstance(values[node.name], torch.Tensor) and any(user not in inside for user in node.users)


def flat_interface(inputs: Sequence[Input], outputs: Sequence[str]) -> Interface:
    """Of a Program of fixed sizes that takes its inputs one by one and gives a tuple."""
    return Interface(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        dims=(),
        parameters=tuple(item.name for item in inputs),
        arguments={"tuple": [{"tuple": [{"leaf": index} for index in range(len(inputs))]}, {"dict": {}}]},
        results={"tuple": [{"leaf": index} for index in range(len(outputs))]},
    )
