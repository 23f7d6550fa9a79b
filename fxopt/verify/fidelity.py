"""Is a rewrite what it claims to be? EXACT is checked in float64 and in the program's own arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.candidate import Fidelity
from fxopt.errors import InputError
from fxopt.ir.edit import Record
from fxopt.ir.evaluate import run_graph, run_node, run_nodes
from fxopt.ir.export_error import reason
from fxopt.ir.program import Program
from fxopt.ir.samples import other_sizes, sample_inputs
from fxopt.ir.twin import as_inputs, double
from fxopt.verify.error import worst

FLOAT64_BOUND = 1e-9  # a correct fold differs by some 6e-16, one that forgets eps by 4e-6
FLOAT32_FACTOR = 4.0  # how much larger the native error may be than the original's own


@dataclass(frozen=True)
class Evidence:
    """What checking found.

    Attributes:
        float64_error: relative difference in float64; nan where the original's values are nan throughout, which tells nothing.
        native_error: relative error in the program's own dtypes against float64.
        original_error: the same of what was replaced.
        floor: one unit in the last place of the coarsest float dtype involved.
        exact: whether the rewrite claims to be exact; if not, how far it is off is no fault by itself.
    """

    float64_error: float
    native_error: float
    original_error: float
    floor: float
    exact: bool = True

    @property
    def float64_bound(self) -> float:
        """What the difference in float64 may be.

        `FLOAT64_BOUND`, but for results that are rounding alone (the mean of a normalised tensor, say), of which the
        original has no digit right: there as many units of float64's rounding as are allowed of float32's.
        """
        if not self.floor or not math.isfinite(self.original_error):
            return FLOAT64_BOUND
        return max(FLOAT64_BOUND, FLOAT32_FACTOR * self.original_error / self.floor * torch.finfo(torch.float64).eps)

    @property
    def growth(self) -> float:
        """Native error over the original's; below 1 it shrank."""
        return self.native_error / max(self.original_error, self.floor) if self.native_error else 0.0

    @property
    def fault(self) -> str | None:
        """Why this is not what it claims to be; None if it is."""
        if math.isnan(self.float64_error):
            return "cannot be checked: on the inputs that it is tried with, the original's values are nan"
        if not self.exact:
            return None
        if self.float64_error > self.float64_bound:
            return f"differs from the original by {self.float64_error:.1e} in float64 (bound {self.float64_bound:.0e})"
        # An original that by luck errs less than one unit in the last place is no measure for others.
        if self.native_error > FLOAT32_FACTOR * max(self.original_error, self.floor):
            return (
                f"its rounding error {self.native_error:.1e} is over {FLOAT32_FACTOR:g} times "
                f"the original's {self.original_error:.1e}"
            )
        return None


class Oracle:
    """The float64 twin of a Program, kept in step with it, and the values of all its nodes from one cached run."""

    def __init__(self, program: Program, inputs: list[torch.Tensor] | None = None) -> None:
        self.twin = double(program)
        flat = as_inputs(self.twin, sample_inputs(program) if inputs is None else inputs)
        self.values: dict[str, Any] = {}

        def see(node: Node, value: Any) -> None:
            if node.op != "get_attr":
                self.values[node.name] = value

        try:
            with torch.no_grad():
                run_graph(self.twin.graph, self.twin.attributes, flat, see)
        except Exception as error:
            raise InputError(
                f"the model fails on inputs made up from their shapes and dtypes ({reason(error)}); "
                "integers are taken from the tables that they index directly: fold offsets into the tables"
            ) from error

    def check(self, before: Program, after: Program, records: Sequence[Record], twin: Program) -> dict[str, Evidence]:
        """Check each rewrite of a round on its own region; evidence by candidate id.

        Args:
            before: the Program before the round.
            after: the Program after it.
            records: what each candidate of the round did.
            twin: `self.twin` after the same round.
        """
        origin = {new: old for record in records for old, new in record.replaced}
        evidence = {}
        with torch.no_grad():
            for record in records:
                part = _Region(record, before, after, self.twin, twin, self.values, origin)
                exact = record.candidate.fidelity is Fidelity.EXACT
                evidence[record.candidate.id] = replace(part.evidence(), exact=exact)
        return evidence

    def learn(self, twin: Program) -> None:
        """Go on to the twin after a checked round: values of new nodes are computed, those of dead ones forgotten."""
        values: dict[Node, Any] = {}
        with torch.no_grad():
            for node in twin.calls:
                if node.name not in self.values:
                    for used in node.all_input_nodes:
                        constant = used.op == "get_attr"
                        values[used] = twin.attributes[str(used.target)] if constant else self.values[used.name]
                    self.values[node.name] = run_node(node, values, twin.attributes)
        self.values = {name: value for name, value in self.values.items() if name in twin}
        self.twin = twin


class _Region:
    """What one candidate replaced, and what it put there; both run from the same border values.

    The border values are those of the float64 run, rounded to the dtypes that they have in the Program.
    """

    def __init__(
        self,
        record: Record,
        before: Program,
        after: Program,
        twin_before: Program,
        twin_after: Program,
        values: dict[str, Any],
        origin: dict[str, str],
    ) -> None:
        self.before, self.after, self.twin_before, self.twin_after = before, after, twin_before, twin_after
        self.origin = origin
        pairs = [(old, new) for old, new in record.replaced if new in after]
        self.olds, self.news = [old for old, _ in pairs], [new for _, new in pairs]
        created, footprint = set(record.created), record.candidate.footprint
        self.new_inside = lambda node: node.name in created
        _, border = region([after.node(name) for name in self.news], self.new_inside)
        stop = {origin.get(node.name, node.name) for node in border if node.op != "get_attr"}
        self.old_inside = lambda node: node.name in footprint and node.name not in stop
        _, old_border = region([before.node(name) for name in self.olds], self.old_inside)
        stop |= {node.name for node in old_border if node.op != "get_attr"}
        self.border = {name: _rounded(values[name], before.node(name)) for name in stop}

    def evidence(self) -> Evidence:
        oracle = self.run(self.twin_before, self.olds, self.old_inside)
        return Evidence(
            float64_error=_difference(self.run(self.twin_after, self.news, self.new_inside), oracle),
            native_error=worst(self.run(self.after, self.news, self.new_inside), oracle),
            original_error=worst(self.run(self.before, self.olds, self.old_inside), oracle),
            floor=max((_epsilon(self.before.node(name)) for name in self.olds), default=0.0),
        )

    def run(self, program: Program, wanted: list[str], inside: Callable[[Node], bool]) -> list[Any]:
        targets = [program.node(name) for name in wanted]
        nodes, border = region(targets, inside)
        values: dict[Node, Any] = {}
        for node in border:
            if node.op == "get_attr":
                values[node] = program.attributes[str(node.target)]
            else:
                value, kind = self.border[self.origin.get(node.name, node.name)], node.meta["val"]
                values[node] = value.to(kind.dtype) if isinstance(value, torch.Tensor) else value
        run_nodes(nodes, values, program.attributes)
        return [values[node] for node in targets]


def check_whole(before: Program, after: Program, twin: Program, seeds: Sequence[int] = (0, 1)) -> Evidence:
    """Evidence over the whole Program: the worst over sample inputs, in float64 and in its own arithmetic.

    All inputs but the first are of other sizes where the Program has dynamic ones.

    Args:
        before: the unmodified Program.
        after: the rewritten Program.
        twin: the float64 twin of `before`, rewritten by the same steps.
        seeds: of the sample inputs.
    """
    original = double(before)
    found = []
    for index, seed in enumerate(seeds):
        inputs = sample_inputs(before, other_sizes(before) if index else None, seed)
        doubles = as_inputs(original, inputs)
        oracle = original.run(doubles)
        found.append(
            (
                _difference(twin.run(doubles), oracle),
                worst(after.run(inputs), oracle),
                worst(before.run(inputs), oracle),
            )
        )
    floor = max((_epsilon(node) for node in before.outputs), default=0.0)
    twins, natives, originals = zip(*found, strict=True)
    return Evidence(math.nan if any(map(math.isnan, twins)) else max(twins), max(natives), max(originals), floor)


def _difference(found: Sequence[Any], oracle: Sequence[Any]) -> float:
    """The worst relative difference; nan where a value to compare with is nan throughout."""
    floats = (value for value in oracle if isinstance(value, torch.Tensor) and value.is_floating_point())
    return math.nan if any(value.numel() and bool(value.isnan().all()) for value in floats) else worst(found, oracle)


def region(targets: Sequence[Node], inside: Callable[[Node], bool]) -> tuple[list[Node], set[Node]]:
    """Nodes that lead to the targets as far as `inside` holds, in order, and the nodes at their border."""
    inner: set[Node] = set()
    border: set[Node] = set()
    front = list(targets)
    while front:
        node = front.pop()
        if node in inner or node in border:
            continue
        if node.op == "call_function" and inside(node):
            inner.add(node)
            front.extend(node.all_input_nodes)
        else:
            border.add(node)
    return sorted(inner), border


def _rounded(value: Any, node: Node) -> Any:
    kind = node.meta["val"]
    return value.to(kind.dtype) if isinstance(value, torch.Tensor) and isinstance(kind, torch.Tensor) else value


def _epsilon(node: Node) -> float:
    value = node.meta["val"]
    if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
        return float(torch.finfo(value.dtype).eps)
    return 0.0
