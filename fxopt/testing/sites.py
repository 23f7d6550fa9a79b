"""Programs in which the site of a candidate is no longer what it was."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Node

from fxopt.contracts.candidate import Candidate
from fxopt.ir.program import Program
from fxopt.testing.record import copied

NODES = 4  # of a footprint that are disturbed, one at a time


def disturbed(program: Program, candidate: Candidate) -> Iterator[tuple[Program, str]]:
    """Valid programs with the same node names, each with one thing changed that the candidate relies on.

    Args:
        program: where the candidate was found, or its float64 twin.
        candidate: not yet applied.

    Yields:
        A program, and in words what is new in it.
    """
    calls = [node for node in program.calls if node.name in candidate.footprint]
    for node in calls[:NODES]:
        source = next((used for used in node.all_input_nodes if _flows(used)), None)
        if source is not None:
            yield _negated(program, node, source), f"{node.name} takes minus {source.name}"
    if any(used.op == "get_attr" and _is_float(used) for node in calls for used in node.all_input_nodes):
        yield _retrained(program), "the weights are others"


def _negated(program: Program, node: Node, source: Node) -> Program:
    with copied(program).edit() as edit:
        live, before = edit.node(node.name), edit.node(source.name)
        live.replace_input_with(before, edit.call(torch.ops.aten.neg.default, (before,), label="minus"))
    return edit.program


def _retrained(program: Program) -> Program:
    """The same graph with new values in tensors of more than one element."""
    other = copied(program)
    attributes = {
        name: value * 1.25 + 0.125 if isinstance(value, torch.Tensor) and _trains(value) else value
        for name, value in other.attributes.items()
    }
    return Program(other.graph, attributes, other.interface, other.shapes)


def _trains(value: torch.Tensor) -> bool:
    return value.is_floating_point() and value.numel() > 1


def _flows(node: Node) -> bool:
    """Whether it is a float value that depends on the inputs."""
    return node.op in ("call_function", "placeholder") and _is_float(node)


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()
