"""Compute equal calls on equal arguments once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Edit, Pass, Program, Stage, StaleCandidate, View
from fxopt.ir.program import tensor_digest
from fxopt_passes.local import merges_outputs
from fxopt_passes.matching import Source

_SMALL = 65536  # bytes; larger constants are equal only where they are one


@dataclass(frozen=True)
class CommonSubexpressions(Pass):
    """Let users of a repeated call use the first one."""

    name: ClassVar[str] = "common_subexpressions"
    stage: ClassVar[Stage] = Stage.CLEAN

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        first: dict[Hashable, Node] = {}
        same: dict[Node, Node] = {}  # each node to the first that has its value
        for node in program.nodes:
            key = _key(program, node, same)
            same[node] = first.setdefault(key, node) if key is not None else node
            reason = merges_outputs(node, same[node]) if same[node] is not node else None
            if reason:
                view.decline(node, reason)
                same[node] = node
        repeated = {node for node, kept in same.items() if kept is not node and node.op == "call_function"}
        for node in program.calls:
            if node in repeated and not repeated.issuperset(node.users):
                dying = _dying(node, repeated)
                reads = {kept.name for item in dying for kept in (same[item], *same[item].all_input_nodes)}
                writes = frozenset(item.name for item in dying)
                yield Candidate(self.name, (node.name, same[node].name), writes=writes, reads=frozenset(reads) - writes)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node, kept = edit.nodes(candidate)
        if not _equal(edit, node, kept):
            raise StaleCandidate(f"{candidate.id}: {node.name} and {kept.name} are no longer equal")
        edit.replace(node, kept)


def _key(source: Source, node: Node, same: dict[Node, Node]) -> Hashable | None:
    """Equal for nodes that surely have one value; None where nothing may be said."""
    tensor = source.tensor(node)
    if tensor is not None and tensor.numel() * tensor.element_size() <= _SMALL:
        return ("tensor", tensor_digest(tensor))
    if node.op != "call_function" or isinstance(node.target, torch._ops.HigherOrderOperator):
        return None
    return (node.target, _freeze(node.args, same), _freeze(node.kwargs, same))


def _freeze(value: Any, same: dict[Node, Node]) -> Hashable:
    if isinstance(value, Node):
        return same.get(value, value)
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item, same) for item in value)
    if isinstance(value, dict):
        return tuple((key, _freeze(item, same)) for key, item in sorted(value.items()))
    return (type(value), repr(value))  # 1, 1.0 and True are different arguments, nan is itself


def _dying(node: Node, repeated: set[Node]) -> set[Node]:
    """The node, and the repeated calls that only it, or what dies with it, uses."""
    dying, waiting = {node}, list(node.all_input_nodes)
    while waiting:
        item = waiting.pop()
        if item in repeated and item not in dying and dying.issuperset(item.users):
            dying.add(item)
            waiting += item.all_input_nodes
    return dying


def _equal(source: Source, left: Node, right: Node) -> bool:
    """Whether both are equal calls all the way down to what they share."""
    same: dict[Node, Node] = {}
    waiting = [(left, right)]
    while waiting:
        a, b = waiting[-1]
        pairs = list(zip(a.all_input_nodes, b.all_input_nodes, strict=False))
        todo = [(x, y) for x, y in pairs if x is not y and same.get(x) is not y]
        if any(x.op == "placeholder" or y.op == "placeholder" for x, y in todo):
            return False
        leaves = [(x, y) for x, y in todo if not x.all_input_nodes]
        if any(_key(source, x, same) is None or _key(source, x, same) != _key(source, y, same) for x, y in leaves):
            return False
        same.update(leaves)
        deeper = [pair for pair in todo if pair not in leaves]
        if deeper:
            waiting.append(deeper[0])
        elif _key(source, a, same) is not None and _key(source, a, same) == _key(source, b, same):
            same[a] = b
            waiting.pop()
        else:
            return False
    return True
