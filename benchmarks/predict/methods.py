"""Ways to foretell what builds of a family take, from what is known of others and of the machine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.predict.cases import THREADS, Case
from fxopt.prices.micro import time_unknown
from fxopt_plugins.targets.cpu import Cpu

if TYPE_CHECKING:
    from fxopt.contracts.price import Prediction
    from fxopt.prices import KernelTable, Place
    from fxopt.prices.builds import Builder
    from fxopt.prices.predict import Predictor
    from fxopt.prices.table import Price


@dataclass(frozen=True)
class Known:
    """What several tables know together, as a table.

    Attributes:
        tables: those named first count more.
        joined: whether it is known which calls run together.
    """

    tables: Sequence[KernelTable | Known]
    joined: bool = True

    def prices(self, place: Place) -> dict[str, Price]:
        """As `KernelTable.prices`."""
        return {kernel: price for table in reversed(self.tables) for kernel, price in table.prices(place).items()}

    def fusions(self, place: Place) -> dict[str, tuple[int, int]]:
        """As `KernelTable.fusions`."""
        found: dict[str, tuple[int, int]] = {}
        for table in self.tables if self.joined else ():
            for edge, (joined, apart) in table.fusions(place).items():
                before = found.get(edge, (0, 0))
                found[edge] = (before[0] + joined, before[1] + apart)
        return found


def learnt(file: Path, cases: Sequence[Case]) -> KernelTable:
    """A table of builds alone."""
    from fxopt.prices import KernelTable
    from fxopt.prices.predict import learn

    table = KernelTable(file)
    for case in cases:
        learn(table, case.place, case.program, case.kernels, case.milliseconds)
    return table


class ByTable:
    """Predictions from tables; nothing is measured for them."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._predictors: dict[Place, Predictor] = {}

    def __call__(self, case: Case) -> Prediction:
        """Of a build."""
        if case.place not in self._predictors:
            self._predictors[case.place] = predictor(self._known, case.place)
        return self._predictors[case.place].predict(case.program)


def predictor(known: Known, place: Place) -> Predictor:
    """Of a place."""
    from fxopt.prices.predict import Predictor

    return Predictor(known, place, Cpu().roofline(place))  # type: ignore[arg-type]


def cut_as_foretold(case: Case, prediction: Prediction) -> float:
    """Share of the time of a build's kernels that lies in pieces which were foretold as the engine made them."""
    from fxopt.prices.fusion import clusters

    foretold = {frozenset(item.piece.nodes) for item in prediction.pieces}
    found = [
        (frozenset(cluster.nodes), cluster.milliseconds or 0.0) for cluster in clusters(case.program, case.kernels)
    ]
    total = sum(ms for _, ms in found)
    return sum(ms for nodes, ms in found if nodes in foretold) / total if total else 1.0


class OnMiss:
    """Predictions after the kernels that matter most, and were never timed, have been timed in parts of the program."""

    def __init__(self, known: Known, folder: Path, builder: Builder) -> None:
        """Begin.

        Args:
            known: what is known beforehand.
            folder: where what was timed is kept, in a table for each program and engine.
            builder: builds the parts.
        """
        self._known, self._folder, self._builder = known, folder, builder
        self._before = ByTable(known)

    def __call__(self, case: Case) -> Prediction:
        """Of a build."""
        from fxopt.prices import KernelTable

        file = self._folder / f"{case.model} {case.copy} {case.kind} {case.engine.name} parts.sqlite"
        new = not file.exists()
        timed = KernelTable(file)
        try:
            if new:
                self._time(case, timed)
            return predictor(Known([timed, self._known]), case.place).predict(case.program)
        finally:
            timed.close()

    def _time(self, case: Case, timed: KernelTable) -> None:
        """Time what is missing with any number of threads with all of them."""
        alike = [(count, replace(case, place=replace(case.place, threads=count))) for count in THREADS]
        priced = [({"threads": count}, self._before(one)) for count, one in alike]
        time_unknown(case.program, priced, case.engine, self._builder, Cpu().machine(), timed)


def by_flops(cases: Sequence[Case], others: Sequence[Case]) -> dict[str, float]:
    """Milliseconds by case's name: a line through the FLOPs of other builds of the same kind at the same place."""
    from fxopt.ir.work import flops

    found = {}
    for case in cases:
        like = [other for other in others if (other.place, other.kind) == (case.place, case.kind)]
        slopes = [math.log(other.milliseconds / flops(other.program)) for other in like]
        if slopes:
            found[case.name] = math.exp(statistics.mean(slopes)) * flops(case.program)
    return found


def by_roofline(cases: Sequence[Case]) -> dict[str, float]:
    """Milliseconds by case's name, by the target's roofline, call by call."""
    return {case.name: Cpu().by_roofline(case.program, case.engine) for case in cases}
