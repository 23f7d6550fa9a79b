"""Rewrites of one value: `LocalRewrite` finds a node whose value can be had in another way, given as an expression."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._dispatch.python import enable_python_dispatcher
from torch.fx import Node
from torch.fx.node import map_arg

from fxopt import Candidate, Edit, Pass, Program, StaleCandidate, View
from fxopt_passes.matching import Source, is_call


@dataclass(frozen=True)
class Call:
    """A call that does not exist yet. Arguments may be nodes, literals, tensors (new constants) and further calls."""

    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None


@dataclass(frozen=True)
class Found:
    """What a match found.

    Attributes:
        value: the node or the expression that the matched node is replaced by.
        inner: nodes between the matched node and the value's arguments; they must have no users elsewhere.
        reads: further nodes whose definition the match relies on.
    """

    value: Node | Call
    inner: Iterable[Node] = ()
    reads: Iterable[Node] = ()


class LocalRewrite(Pass, abc.ABC):
    """A pass whose site is one node. Subclasses say in `match` what the node may become.

    What stays as it is, is checked here: shape and dtype, inner values that others use, and outputs that would become
    one value.
    """

    @abc.abstractmethod
    def match(self, source: Source, node: Node) -> Found | str | None:
        """What `node`, a call, may become; the reason of a near miss; or None."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            found = self.match(program, node)
            if isinstance(found, Found):
                found = self._checked(program, node, found)
            if isinstance(found, str):
                view.decline(node, found)
            elif found is not None:
                writes = frozenset(item.name for item in _dying(node, found))
                reads = frozenset(item.name for item in found.reads) - writes
                yield Candidate(self.name, (node.name,), writes=writes, reads=reads)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        found = self.match(edit, node) if is_call(node) else None
        if not isinstance(found, Found):
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        edit.replace(node, emit(edit, found.value))

    def _checked(self, program: Program, node: Node, found: Found) -> Found | str | None:
        shared = used_elsewhere(node, found.inner)
        if shared:
            return shared
        if isinstance(found.value, Node):
            merged = merges_outputs(node, found.value)
            if merged:
                return merged
        try:
            value = fake(program, found.value)
        except (RuntimeError, ValueError, NotImplementedError):
            return None  # the operator does not take these arguments, so it is no match
        return found if _same_kind(node.meta["val"], value) else None


def emit(edit: Edit, value: Any) -> Any:
    """Create what an expression describes; nodes and literals are themselves."""
    if isinstance(value, Call):
        args = [emit(edit, item) for item in value.args]
        kwargs = {key: emit(edit, item) for key, item in value.kwargs.items()}
        return edit.call(value.target, args, kwargs, label=value.label)
    return edit.constant(value) if isinstance(value, torch.Tensor) else value


def fake(program: Program, value: Any) -> Any:
    """The fake value of an expression."""
    if isinstance(value, Call):
        args = [fake(program, item) for item in value.args]
        kwargs = {key: fake(program, item) for key, item in value.kwargs.items()}
        with program.shapes.mode, enable_python_dispatcher():
            return value.target(*args, **kwargs)
    if isinstance(value, torch.Tensor):
        return program.shapes.constant(value)
    return map_arg(value, lambda node: node.meta["val"])


def is_output(node: Node) -> bool:
    """Whether the node's value is an output."""
    return any(user.op == "output" for user in node.users)


def merges_outputs(node: Node, value: Node) -> str | None:
    """Why an output may not be replaced by `value`, which engines would have to return twice or untouched."""
    if is_output(node) and value.op != "call_function":
        return f"the output would be {value.name} itself"
    if is_output(node) and is_output(value):
        return f"{node.name} and {value.name} are both outputs"
    return None


def used_elsewhere(root: Node, inner: Iterable[Node]) -> str | None:
    """The reason where an inner value has a user outside the match."""
    inside = {root, *inner}
    for item in inside - {root}:
        outside = next((user for user in item.users if user not in inside), None)
        if outside is not None:
            return f"{item.name} is used elsewhere, by {outside.name}"
    return None


def _dying(root: Node, found: Found) -> list[Node]:
    """The match, and what it is computed from that nothing else uses, the new value neither."""
    kept = _nodes(found.value)
    dying = [root, *found.inner]
    for node in dying:
        for used in node.all_input_nodes:
            if (
                used.op == "call_function"
                and used not in kept
                and used not in dying
                and set(dying).issuperset(used.users)
            ):
                dying.append(used)
    return dying


def _nodes(value: Any) -> set[Node]:
    """The nodes that an expression takes."""
    found: set[Node] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Call):
            waiting += [*item.args, *item.kwargs.values()]
        else:
            map_arg(item, found.add)
    return found


def _same_kind(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return type(left) is type(right)
    return left.dtype == right.dtype and list(map(str, left.shape)) == list(map(str, right.shape))
