"""`Edit`: the transaction in which passes rewrite. One Program goes in, one comes out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch.fx import Graph, Node

from fxopt.contracts.candidate import Candidate
from fxopt.errors import FootprintError, StaleCandidate
from fxopt.ir.graphs import copy_graph, new_node
from fxopt.ir.program import Attribute, Program
from fxopt.ir.shapes import same_type

_LONGEST_ROOT = 48


@dataclass
class Record:
    """What one candidate did.

    Attributes:
        created: names of the call nodes that it made.
        replaced: (old node, new node) by name.
        constants: names of the attributes that it made.
    """

    candidate: Candidate
    created: list[str] = field(default_factory=list)
    replaced: list[tuple[str, str]] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)


class Edit:
    """An editable copy of a Program.

    Passes use `node`, `tensor`, `constant`, `call` and `replace`; they never touch arguments of existing nodes.
    At the end dead code goes, the graph is checked, and fake values are computed anew downstream of what changed.

    Attributes:
        before: the Program that is edited, as it was.
        records: what each candidate did.
    """

    def __init__(self, program: Program, fitted: Mapping[str, torch.Tensor] | None = None) -> None:
        """Begin.

        Args:
            program: what to edit.
            fitted: tensors that take the place of those that a pass makes under their names: they are known already.
        """
        self.before = program
        self._fitted = fitted or {}
        self._graph = copy_graph(program.graph)
        self._attributes: dict[str, Attribute] = dict(program.attributes)
        self._by_name: dict[str, Node] = {node.name: node for node in self._graph.nodes}
        self._leaf = _last_leaf(self._graph)  # constants go after it
        self._retyped: set[Node] = set()
        self._active: Record | None = None
        self._after: Program | None = None
        self.records: list[Record] = []

    # -- the transaction -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._after = self._finish()

    @property
    def program(self) -> Program:
        """The outcome, once the transaction has ended."""
        if self._after is None:
            raise RuntimeError("the transaction has not ended")
        return self._after

    @contextmanager
    def step(self, candidate: Candidate) -> Iterator[Record]:
        """The part of the transaction that belongs to one candidate: new nodes take its name, changes stay in its footprint."""
        self._active = Record(candidate)
        try:
            yield self._active
            self.records.append(self._active)
        finally:
            self._active = None

    # -- what passes use -------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """The live node of that name.

        Raises:
            StaleCandidate: it is gone, or another rewrite has replaced it.
        """
        node = self._by_name.get(name)
        if node is None or (not node.users and node.op == "call_function"):
            raise StaleCandidate(f"node {name!r} is gone")
        return node

    def nodes(self, candidate: Candidate) -> list[Node]:
        """The live nodes of the candidate's site.

        Raises:
            StaleCandidate: one of them is gone.
        """
        return [self.node(name) for name in candidate.site]

    def tensor(self, node: object) -> torch.Tensor | None:
        """As `Program.tensor`."""
        if isinstance(node, Node) and node.op == "get_attr":
            value = self._attributes[str(node.target)]
            return value if isinstance(value, torch.Tensor) else None
        return None

    def constant(self, value: torch.Tensor, label: str = "constant") -> Node:
        """A get_attr node for a new tensor. The tensor must not be changed afterwards."""
        name = self._fresh(label)
        if name in self._fitted:
            value = self._fitted[name].to(value.dtype)
        self._attributes[name] = value.detach()
        node = new_node(self._graph, "get_attr", name, name)
        self._leaf.append(node)
        self._leaf = node
        node.meta["val"] = self.before.shapes.constant(value)
        self._own(node)
        if self._active:
            self._active.constants.append(name)
        return node

    def call(
        self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, label: str | None = None
    ) -> Node:
        """A new call, placed right after the last of its arguments; its shape is known at once.

        Raises:
            Exception: whatever the operator raises on arguments that do not fit.
        """
        name = self._fresh(label or getattr(target, "__name__", str(target)).split(".")[0])
        node = new_node(self._graph, "call_function", target, name, tuple(args), dict(kwargs or {}))
        inputs = node.all_input_nodes
        anchor = max(inputs) if inputs else self._leaf
        anchor.append(node)
        try:
            node.meta["val"] = self.before.shapes.infer(node)
        except Exception:
            self._graph.erase_node(node)
            raise
        self._own(node)
        if self._active:
            self._active.created.append(node.name)
        return node

    def replace(self, old: Node, new: Node) -> None:
        """Let every user of `old` use `new`; `old` dies with the transaction.

        Raises:
            FootprintError: `old` is not among what the candidate writes.
        """
        if self._active:
            if old.name not in self._active.candidate.writes:
                raise FootprintError(
                    f"{self._active.candidate.id} replaces {old.name!r}, which is not among its writes"
                )
            self._active.replaced.append((old.name, new.name))
        if not same_type(old.meta["val"], new.meta["val"]):
            self._retyped.add(new)
        old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)

    # -- the end ---------------------------------------------------------------------------------------------

    def _finish(self) -> Program:
        _sort(self._graph)
        for node in reversed(self._graph.nodes):
            if node.op in ("call_function", "get_attr") and not node.users:
                self._graph.erase_node(node)
        used = {str(node.target) for node in self._graph.nodes if node.op == "get_attr"}
        attributes = {name: value for name, value in self._attributes.items() if name in used}
        self._propagate()
        self._graph.lint()
        return Program(self._graph, attributes, self.before.interface, self.before.shapes)

    def _propagate(self) -> None:
        changed = set(self._retyped)
        if not changed:
            return
        for node in self._graph.nodes:
            if node.op == "call_function" and not changed.isdisjoint(node.all_input_nodes):
                before = node.meta.get("val")
                node.meta["val"] = self.before.shapes.infer(node)
                if not same_type(before, node.meta["val"]):
                    changed.add(node)

    def _own(self, node: Node) -> None:
        self._by_name[node.name] = node

    def _fresh(self, label: str) -> str:
        """A name from the candidate's site, so that leaving one step out does not rename what another makes."""
        if self._active:
            root = self._active.candidate.site[0].split("__")[0][:_LONGEST_ROOT]
            mark = hashlib.sha256(self._active.candidate.id.encode()).hexdigest()[:4]
            base = f"{root}__{label}_{mark}"
        else:
            base = label
        base = re.sub(r"\W", "_", base)
        name, count = base, 0
        while name in self._by_name or name in self._attributes:
            count += 1
            name = f"{base}_{count}"
        return name


def _last_leaf(graph: Graph) -> Node:
    """The last of the leading placeholders and get_attr nodes; the graph's root if there is none."""
    leaf: Node = next(iter(graph.nodes)).prev
    for node in graph.nodes:
        if node.op not in ("placeholder", "get_attr"):
            break
        leaf = node
    return leaf


def _sort(graph: Graph) -> None:
    """Put nodes that stand before one of their arguments after it; the order of the others stays.

    Raises:
        FootprintError: a rewrite made a cycle.
    """
    placed: set[Node] = set()
    waiting = []
    for node in list(graph.nodes):
        if node.op != "output" and not placed.issuperset(node.all_input_nodes):
            waiting.append(node)
            continue
        if node.op == "output":
            tail = node
        placed.add(node)
    while waiting:
        ready = [node for node in waiting if placed.issuperset(node.all_input_nodes)]
        if not ready:
            raise FootprintError(f"a rewrite made a cycle through {waiting[0].name!r}")
        for node in ready:
            tail.prepend(node)
            placed.add(node)
        waiting = [node for node in waiting if node not in placed]
