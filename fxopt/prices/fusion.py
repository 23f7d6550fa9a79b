"""Which calls an engine runs together: read from what it made of builds, and foretold by rules derived from that."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
from torch.fx import Node

from fxopt.ir.program import Program
from fxopt.ir.work import is_view
from fxopt.prices.pieces import computed_on, cut_calls, is_silent, kind, makers, sort, sources


@dataclass(frozen=True)
class Cluster:
    """Calls that an engine runs together.

    Attributes:
        nodes: their names, in order.
        milliseconds: of the kernels that run them; None where one was not timed.
    """

    nodes: tuple[str, ...]
    milliseconds: float | None


def clusters(program: Program, kernels: Sequence[Mapping[str, Any]]) -> list[Cluster]:
    """What an engine runs together, by the kernels that it reports, so that each call is in one cluster.

    Kernels that share a call are taken together. One that covers none (it reorders, converts, or computes what is
    written as part of one call) belongs to the next that does; a call that no kernel covers, or for which nothing runs, to
    what uses it first.

    Args:
        program: what was built.
        kernels: in the order of execution, as `Workshop.kernels` gives them.
    """
    running = {node.name: node for node in cut_calls(program) if not is_silent(node)}
    joined: nx.Graph[str] = nx.Graph()
    times: dict[str, float | None] = {}
    waiting: list[float | None] = []
    last = None
    for kernel in kernels:
        covered = [name for name in kernel["covers"] if name in running]
        waiting.append(kernel["ms"])
        if covered:
            nx.add_path(joined, covered)  # also of one
            last = covered[0]
            times[last] = _sum([times.get(last, 0.0), *waiting])
            waiting = []
    if last is not None:
        times[last] = _sum([times[last], *waiting])
    groups = [[running[name] for name in group] for group in nx.connected_components(joined)]
    return [Cluster(names, _sum([times.get(name, 0.0) for name in names])) for names in _with_the_rest(program, groups)]


def _with_the_rest(program: Program, groups: Sequence[Sequence[Node]]) -> list[tuple[str, ...]]:
    """Names of the calls of groups; a call that is in none is with what uses it first, else with what it comes from.

    In the order of the first call of each group.
    """
    calls = cut_calls(program)
    place = {node: index for index, node in enumerate(calls)}
    users: dict[Node, list[Node]] = {}
    for node in calls:
        for used in sources(program, node):
            users.setdefault(used, []).append(node)
    group_of = {node: index for index, group in enumerate(groups) for node in group}
    first = [min(place[node] for node in group) for group in groups]
    for node in reversed(calls):
        if node not in group_of:
            beside = (group_of.get(other) for other in (*users.get(node, ()), *makers(program, node)))
            group_of[node] = next((index for index in beside if index is not None), len(first))
            if group_of[node] == len(first):
                first.append(place[node])
    members: list[list[str]] = [[] for _ in first]
    for node in calls:
        members[group_of[node]].append(node.name)
    return [tuple(members[index]) for index in sorted(range(len(first)), key=first.__getitem__)]


def _sum(times: Iterable[float | None]) -> float | None:
    found = list(times)
    return None if any(time is None for time in found) else sum(time for time in found if time is not None)


@dataclass
class FusionRules:
    """How often an engine ran two calls together of which one reads the other, by what they are and what is before and behind.

    Attributes:
        seen: by description of an edge, how often its ends were in one cluster, and how often not; by that of two calls that
            compute much, how often both were in one.
    """

    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def learn(self, program: Program, found: Sequence[Cluster]) -> None:
        """Add what a build shows."""
        of = {name: index for index, cluster in enumerate(found) for name in cluster.nodes}
        before: dict[int, list[Node]] = {}
        for node in _running(program):
            for used in makers(program, node):
                if used.op == "placeholder":
                    continue
                together = of[used.name] == of[node.name]
                for key in _keys(program, used, node, before.get(of[used.name], [])):
                    self._count(key, together)
            beside = before.setdefault(of[node.name], [])
            for pair in _pairs(beside, [node]):
                self._count(pair, True)
            beside.append(node)

    def _count(self, key: str, together: bool) -> None:
        joined, apart = self.seen.get(key, (0, 0))
        self.seen[key] = (joined + together, apart + (not together))

    def foretell(self, program: Program) -> list[tuple[str, ...]]:
        """The calls of a Program as the engine would cluster them.

        A pair of calls that was never seen stays apart, and so do two that compute much and were never seen in one cluster.
        """
        owner: dict[Node, list[Node]] = {}
        for node in _running(program):
            mine = owner[node] = [node]
            for used in makers(program, node):
                if used.op == "placeholder" or owner[used] is mine:
                    continue
                strangers = any(pair not in self.seen for pair in _pairs(owner[used], mine))
                if not strangers and self._together(_keys(program, used, node, owner[used])):
                    mine = _merged(owner, owner[used], mine)
        groups = {id(group): group for group in owner.values()}
        return _with_the_rest(program, list(groups.values()))

    def _together(self, keys: Sequence[str]) -> bool:
        for key in keys:
            if key in self.seen:
                joined, apart = self.seen[key]
                return joined > apart
        return False


def _running(program: Program) -> list[Node]:
    return [node for node in cut_calls(program) if not is_silent(node)]


def _pairs(left: Sequence[Node], right: Sequence[Node]) -> set[str]:
    """Descriptions of two calls that compute much, one of either."""
    first, second = ([sort(node) for node in nodes if sort(node) in _MUCH] for nodes in (left, right))
    return {f"{' and '.join(sorted(pair))} together" for pair in itertools.product(first, second)}


_MUCH = {"convolution", "product", "attention"}
_UNEQUAL = {"product", "attention"}  # what such a call does to its first operand is not what it does to its second


def _merged(owner: dict[Node, list[Node]], first: list[Node], second: list[Node]) -> list[Node]:
    first += second
    for node in second:
        owner[node] = first
    return first


def _readers(program: Program) -> dict[Node, list[str]]:
    """The kinds of calls that read each value; who calls the Program reads its outputs."""
    found: dict[Node, list[str]] = {}
    for node in _running(program):
        for used in makers(program, node):
            found.setdefault(used, []).append(kind(program, node))
    for node in map(_what_runs, program.outputs):
        found.setdefault(node, []).append("output")
    return found


def _what_runs(node: Node) -> Node:
    """What makes a value, past calls for which nothing runs."""
    while node.op == "call_function" and is_silent(node):
        node = node.all_input_nodes[0]
    return node


def _keys(program: Program, used: Node, node: Node, before: Sequence[Node]) -> list[str]:
    """Descriptions of an edge, the most specific first."""
    read = makers(program, node)
    others = [other for other in read if other.op != "placeholder"]
    place = program.memo("cut_order", lambda program: {call: i for i, call in enumerate(cut_calls(program))})
    latest = max(others, key=place.__getitem__) is used
    readers = program.memo("cut_readers", _readers)
    after = " and ".join(sorted(set(readers.get(node, ()))))
    ends = f"{_kind(program, used)} -> {_kind(program, node)}"
    shape = f"{'many' if len(readers[used]) > 1 else 'one'} {'latest' if latest else 'earlier'}"
    if sort(node) in _UNEQUAL:
        shape += f" {read.index(used)}"
    chain = " ".join(_kind(program, call) for call in before if not is_view(call))
    sorts = f"{_sort(used)} -> {_sort(node)}"
    ranks = " ".join(_sort(call) for call in before if not is_view(call))
    return [
        f"{ends} | {shape} | {chain} | {after}",
        f"{ends} | {shape} | {chain}",
        f"{ends} | {shape}",
        f"{sorts} | {shape} | {ranks}",
        f"{sorts} | {shape}",
    ]


def _kind(program: Program, node: Node) -> str:
    return f"{kind(program, node)} on {computed_on(node)}"


def _sort(node: Node) -> str:
    return f"{sort(node)} on {computed_on(node)}"
