"""Compute calls on constants now, and write sizes that are known as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from fxopt import Candidate, Edit, Pass, Program, Stage, StaleCandidate, View
from fxopt.ir.quantized import is_dequantize
from fxopt_passes.local import Call, Found, LocalRewrite, is_output
from fxopt_passes.matching import Source

_FLAGS = (torch.Tag.nondeterministic_seeded, torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replace the last call of each part of the graph that depends on no input by its value."""

    name: ClassVar[str] = "fold_constants"
    stage: ClassVar[Stage] = Stage.CLEAN
    max_growth_bytes: int = field(
        default=65536, metadata={"help": "how much larger the value may be than what it is computed from"}
    )

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        leaves: dict[Node, frozenset[Node]] = {}  # foldable nodes, and the tensors that they are computed from
        for node in program.nodes:
            if program.tensor(node) is not None:
                leaves[node] = frozenset({node})
            elif _computable(node) and all(item in leaves for item in node.all_input_nodes):
                sources = frozenset().union(*(leaves[item] for item in node.all_input_nodes))
                growth = _bytes(node) - sum(_bytes(item) for item in sources)
                if growth > self.max_growth_bytes:
                    view.decline(node, f"its value is {growth} bytes larger than what it is computed from")
                elif is_output(node):
                    view.decline(node, "the output would be a constant")
                else:
                    leaves[node] = sources
        for node in program.calls:
            if node in leaves and not all(user in leaves for user in node.users):
                inside = _inside(node)
                writes = {item.name for item in inside if all(user in inside for user in item.users)} | {node.name}
                reads = {item.name for item in inside} - writes
                yield Candidate(self.name, (node.name,), writes=frozenset(writes), reads=frozenset(reads))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        values: dict[Node, Any] = {}
        for item in reversed(_inside(node)):
            if not _computable(item):
                raise StaleCandidate(f"{candidate.id}: {item.name} is not constant")
            args, kwargs = map_arg((item.args, item.kwargs), lambda n: values[n] if n in values else _tensor(edit, n))
            with torch.no_grad():
                values[item] = item.target(*args, **kwargs)  # type: ignore[operator]
        edit.replace(node, edit.constant(values[node].contiguous().clone(), label="folded"))


@dataclass(frozen=True)
class FoldSizes(LocalRewrite):
    """Write sizes that are known, like the static axes of a tensor, as numbers into the calls that take them."""

    name: ClassVar[str] = "fold_sizes"
    stage: ClassVar[Stage] = Stage.CLEAN

    def match(self, source: Source, node: Node) -> Found | str | None:
        known = {item: size for item in node.all_input_nodes if (size := _known_size(item)) is not None}
        if not known or not isinstance(node.meta.get("val"), torch.Tensor):
            return None
        args, kwargs = map_arg((node.args, node.kwargs), lambda item: known.get(item, item))
        return Found(Call(node.target, args, kwargs), reads=known)


def _known_size(node: Node) -> int | None:
    value = node.meta.get("val")
    if isinstance(value, torch.SymInt):
        value = int(value.node.expr) if value.node.expr.is_Integer else None
    return value if isinstance(value, int) and not isinstance(value, bool) and node.op == "call_function" else None


def _computable(node: Node) -> bool:
    """Whether the call is a pure function to one dense tensor, and not floats that integers are stored for."""
    if is_dequantize(node):
        return False
    overload = isinstance(node.target, torch._ops.OpOverload)
    if node.op != "call_function" or not overload or any(flag in node.target.tags for flag in _FLAGS):  # type: ignore[union-attr]
        return False
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and all(isinstance(size, int) for size in value.shape)


def _bytes(node: Node) -> int:
    value = node.meta["val"]
    return int(value.numel()) * value.element_size()


def _inside(node: Node) -> list[Node]:
    """The calls that the node is computed by, itself first, each after its users."""
    calls, waiting = {node}, [node]
    while waiting:
        fresh = {item for item in waiting.pop().all_input_nodes if item.op != "get_attr"} - calls
        calls |= fresh
        waiting += fresh
    return sorted(calls, reverse=True)


def _tensor(source: Source, node: Node) -> torch.Tensor:
    tensor = source.tensor(node)
    if tensor is None:
        raise StaleCandidate(f"{node.name} is not constant")
    return tensor
