"""Is a rewrite what it claims to be? EXACT is checked in float64 and in the program's own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from fxopt.ir.edit import Record
from fxopt.ir.evaluate import DOUBLE, NATIVE, Native, run_graph, run_node, run_nodes
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.verify.error import worst

FLOAT64_BOUND = 1e-9  # a correct fold differs by some 6e-16, one that forgets eps by 4e-6
FLOAT32_FACTOR = 4.0  # how much larger the native error may be than the original's own


@dataclass(frozen=True)
class Evidence:
    """What checking found.

    Attributes:
        float64_error: relative difference in float64.
        native_error: relative error in the program's own dtypes against float64.
        original_error: the same of what was replaced.
        floor: one unit in the last place of the coarsest float dtype involved.
    """

    float64_error: float
    native_error: float
    original_error: float
    floor: float

    @property
    def fault(self) -> str | None:
        """Why this is not exact; None if it is."""
        if self.float64_error > FLOAT64_BOUND:
            return f"differs from the original by {self.float64_error:.1e} in float64 (bound {FLOAT64_BOUND:.0e})"
        if self.native_error > FLOAT32_FACTOR * self.original_error + self.floor:
            return (
                f"its rounding error {self.native_error:.1e} is over {FLOAT32_FACTOR:g} times "
                f"the original's {self.original_error:.1e}"
            )
        return None


class Oracle:
    """The float64 values of every node of a Program and of all that was made from it by checked rewrites."""

    def __init__(self, program: Program, inputs: Sequence[torch.Tensor] | None = None) -> None:
        flat = sample_inputs(program) if inputs is None else inputs
        self.values: dict[str, Any] = {}
        with torch.no_grad():
            names = frozenset(node.name for node in program.calls)
            placeholders = [node for node in program.nodes if node.op == "placeholder"]
            for node, value in zip(placeholders, flat, strict=True):
                self.values[node.name] = DOUBLE.tensor(value)
            self.values.update(run_graph(program.graph, program.attributes, flat, DOUBLE, names)[1])

    def check(self, before: Program, after: Program, records: Sequence[Record]) -> dict[str, Evidence]:
        """Check each record's rewrite on its own region; evidence by candidate id.

        The region's inputs are the float64 values of its border, rounded to the dtypes they have in the Program.
        """
        origin = {new: old for record in records for old, new in record.replaced}
        evidence = {}
        with torch.no_grad():
            for record in records:
                evidence[record.candidate.id] = self._check_region(before, after, record, origin)
        return evidence

    def learn(self, after: Program) -> None:
        """Take in the values of nodes that checked rewrites have made, and forget those that are gone."""
        with torch.no_grad():
            values: dict[Node, Any] = {}
            for node in after.nodes:
                if node.op == "output":
                    continue
                if node.op == "get_attr":
                    continue
                if node.name not in self.values:
                    for used in node.all_input_nodes:
                        values[used] = self._value(used, after)
                    self.values[node.name] = run_node(node, values, after.attributes, DOUBLE)
        self.values = {name: value for name, value in self.values.items() if name in after}

    def _value(self, node: Node, program: Program) -> Any:
        return DOUBLE.attribute(program.attributes[str(node.target)]) if node.op == "get_attr" else self.values[node.name]

    def _check_region(self, before: Program, after: Program, record: Record, origin: dict[str, str]) -> Evidence:
        pairs = [(before.node(old), after.node(new)) for old, new in record.replaced if new in after]
        created = set(record.created)
        new_nodes, new_border = _region([new for _, new in pairs], lambda node: node.name in created)
        inside = record.candidate.footprint
        border_names = {origin.get(node.name, node.name) for node in new_border}
        old_nodes, old_border = _region(
            [old for old, _ in pairs], lambda node: node.name in inside and node.name not in border_names
        )
        rounded = {node.name: self._rounded(node, before) for node in old_border if node.op != "get_attr"}
        for node in new_border:
            name = origin.get(node.name, node.name)
            if node.op != "get_attr" and name not in rounded:
                rounded[name] = self._rounded(before.node(name), before)

        def run(nodes: list[Node], border: set[Node], program: Program, wanted: list[Node], arithmetic: Native) -> list[Any]:
            values = {}
            for node in border:
                if node.op == "get_attr":
                    values[node] = arithmetic.attribute(program.attributes[str(node.target)])
                else:
                    value = rounded[origin.get(node.name, node.name)]
                    values[node] = arithmetic.tensor(value) if isinstance(value, torch.Tensor) else value
            run_nodes(nodes, values, program.attributes, arithmetic)
            return [values[node] for node in wanted]

        olds, news = [old for old, _ in pairs], [new for _, new in pairs]
        oracle = run(old_nodes, old_border, before, olds, DOUBLE)
        return Evidence(
            float64_error=worst(run(new_nodes, new_border, after, news, DOUBLE), oracle),
            native_error=worst(run(new_nodes, new_border, after, news, NATIVE), oracle),
            original_error=worst(run(old_nodes, old_border, before, olds, NATIVE), oracle),
            floor=max((_epsilon(old) for old in olds), default=0.0),
        )

    def _rounded(self, node: Node, program: Program) -> Any:
        value, kind = self.values[node.name], node.meta["val"]
        return value.to(kind.dtype) if isinstance(value, torch.Tensor) and isinstance(kind, torch.Tensor) else value


def check_whole(before: Program, after: Program, seeds: Sequence[int] = (0, 1)) -> Evidence:
    """Evidence over the whole Program: the worst over sample inputs, in float64 and in its own arithmetic."""
    found = []
    with torch.no_grad():
        for seed in seeds:
            inputs = sample_inputs(before, seed=seed)
            oracle, _ = run_graph(before.graph, before.attributes, inputs, DOUBLE)
            twin, _ = run_graph(after.graph, after.attributes, inputs, DOUBLE)
            found.append((worst(twin, oracle), worst(after.run(inputs), oracle), worst(before.run(inputs), oracle)))
    floor = max((_epsilon(node) for node in before.outputs), default=0.0)
    return Evidence(*(max(column) for column in zip(*found, strict=True)), floor=floor)


def _region(targets: Sequence[Node], inside: Any) -> tuple[list[Node], set[Node]]:
    """Nodes that lead to the targets as far as `inside` holds, in order, and the nodes at their border."""
    region: set[Node] = set()
    border: set[Node] = set()
    front = list(targets)
    while front:
        node = front.pop()
        if node in region or node in border:
            continue
        if node.op == "call_function" and inside(node):
            region.add(node)
            front.extend(node.all_input_nodes)
        else:
            border.add(node)
    return sorted(region), border


def _epsilon(node: Node) -> float:
    value = node.meta["val"]
    if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
        return float(torch.finfo(value.dtype).eps)
    return 0.0
