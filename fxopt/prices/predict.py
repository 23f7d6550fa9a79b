"""What a Program takes on an engine, foretold: its pieces as the engine would run them, priced one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from fxopt.contracts.price import Prediction, Priced
from fxopt.prices.estimate import Estimator, Roofline
from fxopt.prices.fusion import FusionRules, clusters
from fxopt.prices.pieces import piece
from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable, Observation, Price

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Machine
    from fxopt.ir.program import Program

_LEAST = 0.2  # share of the sum of its pieces that a build takes at the least
_BUILD_ERROR = 0.05  # of a build's latency, relative
_SHARED_ERROR = 0.6  # of the spread of pieces that is not their own: they are interpolated from the same measurements
_WHOLE, _SUM = "whole ", "kernels of "  # names of what builds take, and what their kernels do
# How far a build is thought to be from the sum of its pieces: share, ms a piece, ms a call.
_PRIOR = (0.1, 0.0005, 0.01)


@dataclass(frozen=True)
class Overheads:
    """By how much a build differs from the sum of its pieces, which were timed under a profiler.

    Attributes:
        share: of the sum.
        piece_ms: for each piece.
        call_ms: for each call.
    """

    share: float = 1.0
    piece_ms: float = 0.0
    call_ms: float = 0.0

    def whole(self, total: float, pieces: int) -> float:
        """Milliseconds of a build of so many pieces that take so long in all."""
        return self.share * total + self.piece_ms * pieces + self.call_ms


class Predictor:
    """Prices of Programs at one place, from what a table knows when it is made."""

    def __init__(self, table: KernelTable, place: Place, roofline: Roofline) -> None:
        """Read what is known.

        Args:
            table: what was measured.
            place: that Programs are priced for.
            roofline: of the place.
        """
        known = table.prices(place)
        self._rules = FusionRules(table.fusions(place.without_threads))
        self._estimator = Estimator(known, roofline)
        self.overheads = overheads(known)
        self.known = sum(map(_is_piece, known.values()))

    def predict(self, program: Program) -> Prediction:
        """What a Program is expected to take."""
        found = [piece(program, names) for names in self._rules.foretell(program)]
        priced = tuple(Priced(item, self._estimator.estimate(item)) for item in found)
        times = np.array([item.estimate.milliseconds for item in priced])
        spreads = np.array([item.estimate.spread for item in priced])
        total = float(times.sum())
        if not total:
            return Prediction(0.0, 0.0, priced)
        milliseconds = max(self.overheads.whole(total, len(priced)), _LEAST * total)
        own = math.sqrt(float(((times * spreads) ** 2).sum())) / total
        shared = _SHARED_ERROR * float((times * spreads).sum()) / total
        return Prediction(milliseconds, math.hypot(own, shared, _BUILD_ERROR), priced)


@dataclass(frozen=True)
class Experience:
    """What profiles of builds on one machine teach a table."""

    table: KernelTable
    machine: Machine

    def add(self, engine: Engine, program: Program, kernels: Sequence[Mapping[str, Any]]) -> None:
        """Learn from the profile of a build by an engine as it was configured."""
        learn(self.table, Place.of(engine, self.machine), program, kernels)


def learn(
    table: KernelTable,
    place: Place,
    program: Program,
    kernels: Sequence[Mapping[str, Any]],
    milliseconds: float | None = None,
    label: str = "",
) -> None:
    """Add what a build shows to a table: what its pieces take, which calls were run together, what they take as a whole.

    Args:
        table: to be added to.
        place: that was measured at.
        program: what was built.
        kernels: the engine's profile of the build, as `Workshop.kernels` gives it.
        milliseconds: latency of the build without a profiler; None if it was not measured.
        label: to find the build again by (`labels`).
    """
    found = clusters(program, kernels)
    if not found or not kernels:
        return
    observations = []
    for cluster in found:
        if cluster.milliseconds:
            item = piece(program, cluster.nodes)
            observations.append(Observation(item.kernel, cluster.milliseconds, "profile", item.features))
    if (label or milliseconds is not None) and all(cluster.milliseconds is not None for cluster in found):
        total = sum(cluster.milliseconds or 0.0 for cluster in found)
        # Features belong to a kernel wherever it runs: what differs from engine to engine is in the name, or a price.
        features = {"pieces": len(found), "label": label}
        build = f"{program.structure_digest} in {len(found)}"
        observations.append(Observation(_SUM + build, total, "profile", features))
        if milliseconds is not None:
            observations.append(Observation(_WHOLE + build, milliseconds, "profile", features))
    table.record(place, observations)
    rules = FusionRules()
    rules.learn(program, found)
    table.record_fusions(place.without_threads, rules.seen)


def labels(known: Iterable[Price]) -> set[str]:
    """Those of the builds that are known."""
    return {price.features["label"] for price in known if not _is_piece(price)}


def wholes(known: Iterable[str]) -> int:
    """How many builds were timed without a profiler, by the names of what is known."""
    return sum(name.startswith(_WHOLE) for name in known)


def _is_piece(price: Price) -> bool:
    return "bare" in price.features


def overheads(known: Mapping[str, Price]) -> Overheads:
    """What prices of whole builds show, drawn to no difference where there are few.

    It has the least relative errors, of which large ones count by their size and not its square: now and then something
    else runs on a machine.
    """
    rows = [
        np.array([known[_SUM + name.removeprefix(_WHOLE)].milliseconds, price.features["pieces"], 1.0])
        / price.milliseconds
        / _BUILD_ERROR
        for name, price in known.items()
        if name.startswith(_WHOLE)
    ]
    matrix = np.array([*rows, *np.diag([1 / width for width in _PRIOR])])
    wanted = np.array([*(1 / _BUILD_ERROR for _ in rows), 1 / _PRIOR[0], 0.0, 0.0])
    found = optimize.least_squares(lambda x: matrix @ x - wanted, (1.0, 0.0, 0.0), loss="soft_l1", x_scale=_PRIOR)
    return Overheads(*map(float, found.x))
