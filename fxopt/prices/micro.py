"""Kernels of a Program that were never timed, timed in small parts of it.

A kernel by itself is another than in a network: its inputs come in the layout that the engine chose for what made them. So a
part holds what makes the inputs of a piece and what reads its outputs as well, and the time of the piece alone is kept. A part
that is run again and again also finds its weights in the caches, where in the network they had to make room for the rest: so a
part reads as many bytes more as the rest of the network holds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from fxopt.ir.samples import sample_inputs
from fxopt.ir.shrink import inseparable, part, seen_values
from fxopt.ir.work import is_view
from fxopt.prices.besides import reading
from fxopt.prices.fusion import FusionRules, clusters
from fxopt.prices.memory import footprint
from fxopt.prices.pieces import cut_calls, piece, sources
from fxopt.prices.place import Place
from fxopt.prices.table import Observation

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.price import Piece, Prediction, Priced
    from fxopt.contracts.target import Machine
    from fxopt.ir.program import Program
    from fxopt.prices.builds import Builder
    from fxopt.prices.table import KernelTable

_MOST = 24  # kernels of a build that are timed at once under each set of options
_PROFILES = 3  # of each part
_MEASURED = ("profile", "micro")


def unknown(prediction: Prediction, most: int, known: Collection[str] = ()) -> list[Piece]:
    """Pieces that were not timed, one of each kernel, those first that leave most in doubt.

    Args:
        prediction: of a Program.
        most: how many are wanted.
        known: kernels that are not.
    """
    doubts: dict[str, float] = {}
    pieces: dict[str, Piece] = {}
    for item in prediction.pieces:
        if item.estimate.source not in _MEASURED and item.piece.kernel not in known:
            pieces.setdefault(item.piece.kernel, item.piece)
            doubt = item.estimate.milliseconds * item.estimate.spread
            doubts[item.piece.kernel] = doubts.get(item.piece.kernel, 0.0) + doubt
    return [pieces[kernel] for kernel in sorted(doubts, key=lambda kernel: -doubts[kernel])[:most]]


@dataclass(frozen=True)
class Part:
    """Some pieces of a Program with what stands around them.

    Attributes:
        program: the part.
        wanted: calls whose kernels are to be timed.
    """

    program: Program
    wanted: frozenset[str]

    @classmethod
    def around(cls, program: Program, pieces: Sequence[Priced], wanted: Sequence[Piece]) -> Part:
        """A part of a Program.

        Args:
            program: the whole.
            pieces: all pieces of it, as foretold.
            wanted: those to be timed.
        """
        of = {name: item.piece.nodes for item in pieces for name in item.piece.nodes}
        inside = {name for item in wanted for name in item.nodes}
        taken = set(inside)
        front = [used for name in inside for used in sources(program, program.node(name))]
        while front:
            used = front.pop()
            taken |= set(of.get(used.name, ()))
            if is_view(used):  # the layout is that of what is seen through it
                front += sources(program, used)
        for node in cut_calls(program):
            if any(used.name in inside for used in sources(program, node)):
                taken |= set(of[node.name])
        values = seen_values(program, sample_inputs(program))
        found, _ = part(program, _whole(program, taken, values), values)
        return cls(reading(found, footprint(program) - footprint(found)), frozenset(inside))

    def learn(self, table: KernelTable, place: Place, *profiles: Sequence[Mapping[str, Any]]) -> None:
        """Add to a table what profiles of the part say of the pieces that were wanted: of several, the least time of each.

        What else runs on a machine only adds. From one profile to the next an engine may run independent kernels in another
        order, and name those that convert layouts otherwise: pieces are the same, kernels need not be.
        """
        found = [clusters(self.program, kernels) for kernels in profiles]
        least: dict[tuple[str, ...], float] = {}
        for cluster in chain.from_iterable(found):
            if cluster.milliseconds and not self.wanted.isdisjoint(cluster.nodes):
                least[cluster.nodes] = min(least.get(cluster.nodes, math.inf), cluster.milliseconds)
        seen = [
            Observation(item.kernel, milliseconds, "micro", item.features)
            for nodes, milliseconds in least.items()
            for item in [piece(self.program, nodes)]
        ]
        table.record(place, seen)
        rules = FusionRules()
        rules.learn(self.program, found[0])
        table.record_fusions(place.without_threads, rules.seen)


def time_unknown(
    program: Program,
    priced: Sequence[tuple[Mapping[str, Any], Prediction]],
    engine: Engine,
    builder: Builder,
    machine: Machine,
    table: KernelTable,
) -> None:
    """Time kernels of a Program that were never timed in one part of it, those that leave most in doubt.

    Args:
        program: the whole.
        priced: what it is expected to take, under each set of options of the engine.
        engine: that builds.
        builder: likewise.
        machine: at hand.
        table: is added to.

    Raises:
        EngineError: the engine fails at it.
        InputError: no part of the Program holds them.
    """
    wanted = {piece.kernel: piece for _, price in priced for piece in unknown(price, _MOST)}
    if not wanted:
        return
    part = Part.around(program, priced[0][1].pieces, list(wanted.values()))
    with builder.build(engine, part.program) as build:
        for options, _ in priced:
            there = build.under(options)
            profiles = [build.kernels(there) for _ in range(_PROFILES)]
            part.learn(table, Place.of(there, machine), *profiles)


def _whole(program: Program, names: Collection[str], values: Mapping[str, Any]) -> set[str]:
    """Calls with those that they cannot be without: what is computed from constants alone, dequantizes, what yields tuples."""
    bound, cut = inseparable(program, values), {node.name for node in cut_calls(program)}
    found, front = set(names), list(names)
    while front:
        node = program.node(front.pop())
        used = [other.name for other in node.all_input_nodes if other.op == "call_function" and other.name not in cut]
        for name in (*used, *bound[node.name]):
            if name not in found:
                found.add(name)
                front.append(name)
    return found
