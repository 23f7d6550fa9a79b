"""Which calls an engine runs together: read from what it made of builds, and foretold by rules derived from that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
from torch.fx import Node

from fxopt.ir.program import Program
from fxopt.ir.work import is_view
from fxopt.prices.pieces import computed_on, cut_calls, kind, sort, sources


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
    written as part of one call) belongs to the next that does; a call that no kernel covers to what uses it first.

    Args:
        program: what was built.
        kernels: in the order of execution, as `Workshop.kernels` gives them.
    """
    calls = cut_calls(program)
    known = {node.name for node in calls}
    joined: nx.Graph[str] = nx.Graph()
    joined.add_nodes_from(known)
    times: dict[str, float | None] = {}
    waiting: list[float | None] = []
    last = None
    for kernel in kernels:
        covered = [name for name in kernel["covers"] if name in known]
        waiting.append(kernel["ms"])
        if covered:
            nx.add_path(joined, covered)
            last = covered[0]
            times[last] = _sum([times.get(last, 0.0), *waiting])
            waiting = []
    if last is not None:
        times[last] = _sum([times[last], *waiting])
    covered_names = {name for kernel in kernels for name in kernel["covers"]}
    for node in reversed(calls):
        if node.name not in covered_names:
            user = next((user for user in node.users if user.name in known), None)
            neighbour = user or next((used for used in sources(program, node) if used.name in known), None)
            if neighbour is not None:
                joined.add_edge(node.name, neighbour.name)
    place = {node.name: index for index, node in enumerate(calls)}
    found = (sorted(component, key=place.__getitem__) for component in nx.connected_components(joined))
    return [
        Cluster(tuple(names), _sum([times.get(name, 0.0) for name in names]))
        for names in sorted(found, key=lambda names: place[names[0]])
    ]


def _sum(times: Iterable[float | None]) -> float | None:
    found = list(times)
    return None if any(time is None for time in found) else sum(time for time in found if time is not None)


@dataclass
class FusionRules:
    """How often an engine ran two calls together of which one reads the other, by what they are and what came before.

    Attributes:
        seen: by description of an edge, how often its ends were in one cluster, and how often not.
    """

    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def learn(self, program: Program, found: Sequence[Cluster]) -> None:
        """Add what a build shows."""
        of = {name: index for index, cluster in enumerate(found) for name in cluster.nodes}
        before: dict[int, list[Node]] = {}
        for node in cut_calls(program):
            for used in sources(program, node):
                if used.op == "placeholder":
                    continue
                together = of[used.name] == of[node.name]
                for key in _keys(program, used, node, before.get(of[used.name], [])):
                    joined, apart = self.seen.get(key, (0, 0))
                    self.seen[key] = (joined + together, apart + (not together))
            before.setdefault(of[node.name], []).append(node)

    def foretell(self, program: Program) -> list[tuple[str, ...]]:
        """The calls of a Program as the engine would cluster them; a pair of calls that was never seen stays apart."""
        owner: dict[Node, list[Node]] = {}
        for node in cut_calls(program):
            mine = owner[node] = [node]
            for used in sources(program, node):
                if used.op == "placeholder" or owner[used] is mine:
                    continue
                if self._together(_keys(program, used, node, owner[used])):
                    mine = _merged(owner, owner[used], mine)
        place = {node: index for index, node in enumerate(cut_calls(program))}
        found = {id(group): sorted(group, key=place.__getitem__) for group in owner.values()}
        return [tuple(node.name for node in group) for group in sorted(found.values(), key=lambda g: place[g[0]])]

    def _together(self, keys: Sequence[str]) -> bool:
        for key in keys:
            if key in self.seen:
                joined, apart = self.seen[key]
                return joined > apart
        return False


def _merged(owner: dict[Node, list[Node]], first: list[Node], second: list[Node]) -> list[Node]:
    first += second
    for node in second:
        owner[node] = first
    return first


def _readers(program: Program) -> Counter[Node]:
    """How many calls read each value; who calls the Program reads its outputs."""
    reads = Counter(used for node in cut_calls(program) for used in sources(program, node))
    return reads + Counter(program.outputs)


def _keys(program: Program, used: Node, node: Node, before: Sequence[Node]) -> list[str]:
    """Descriptions of an edge, the most specific first."""
    others = [other for other in sources(program, node) if other.op != "placeholder"]
    place = program.memo("cut_order", lambda program: {call: i for i, call in enumerate(cut_calls(program))})
    latest = max(others, key=place.__getitem__) is used
    readers = program.memo("cut_readers", _readers)[used]
    ends = f"{_kind(program, used)} -> {_kind(program, node)}"
    shape = f"{'many' if readers > 1 else 'one'} {'latest' if latest else 'earlier'}"
    chain = " ".join(_kind(program, call) for call in before if not is_view(call))
    sorts = f"{_sort(used)} -> {_sort(node)}"
    ranks = " ".join(_sort(call) for call in before if not is_view(call))
    return [f"{ends} | {shape} | {chain}", f"{ends} | {shape}", f"{sorts} | {shape} | {ranks}", f"{sorts} | {shape}"]


def _kind(program: Program, node: Node) -> str:
    return f"{kind(program, node)} on {computed_on(node)}"


def _sort(node: Node) -> str:
    return f"{sort(node)} on {computed_on(node)}"
