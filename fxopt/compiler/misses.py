"""The kernels of one Program that were never timed, timed in small parts of it: how prices become known on a miss."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxopt.errors import EngineError
from fxopt.prices.builds import Builder
from fxopt.prices.micro import Part, unknown
from fxopt.prices.place import Place

if TYPE_CHECKING:
    from fxopt.compiler.calibrate import Job, Kinds
    from fxopt.compiler.progress import Progress
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.price import Piece, Prediction
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.prices.table import KernelTable

_MOST = 24  # kernels of a build that are timed at once, those first that leave most in doubt
_PROFILES = 3  # of each part


@dataclass(frozen=True)
class Misses:
    """How many kernels were timed, and how many are left that never were."""

    timed: int = 0
    left: int = 0

    def __add__(self, other: Misses) -> Misses:
        return Misses(self.timed + other.timed, self.left + other.left)


def time_misses(
    program: Program,
    jobs: Sequence[Job],
    kinds: Kinds,
    target: Target,
    table: KernelTable,
    progress: Progress,
    limit_s: float,
) -> Misses:
    """Time the kernels of a Program that the target's prices leave most in doubt, in the kinds and under the options of jobs.

    Args:
        program: the whole.
        jobs: what is built of it.
        kinds: makes what jobs build.
        target: which prices programs from the table.
        table: is added to after each part, so that another call goes on from there.
        progress: is told how far it is, and what failed.
        limit_s: seconds after which no part is begun.
    """
    deadline = time.monotonic() + limit_s
    found = Misses()
    with Builder() as builder:
        for job, lower in kinds(program, jobs):
            progress.detail(f"{job.kind} on {job.engine.name}")
            target.refresh()  # what was timed just now may be in this one as well
            there = [replace(job.engine, **changes) for changes in job.options]
            priced = {engine: price for engine in there if (price := target.price(lower, engine)) is not None}
            if not priced:
                progress.note(
                    f"{job.engine.name}: too little is known of it here to price a model; time more probes first"
                )
            every, first = _missing(priced.values(), len(lower)), _missing(priced.values(), _MOST)
            timed: set[str] = set()
            if first and time.monotonic() <= deadline:
                try:
                    timed = _time(lower, priced, list(first.values()), job, builder, target, table)
                except EngineError as error:
                    progress.note(f"{job.kind} on {job.engine.name}: {error}")
            found += Misses(len(timed & every.keys()), len(every.keys() - timed))
            progress.advance()
    return found


def _missing(prices: Iterable[Prediction], most: int) -> dict[str, Piece]:
    """What is missing under any options, by kernel: of each the most doubtful."""
    return {piece.kernel: piece for price in prices for piece in unknown(price, most)}


def _time(
    program: Program,
    priced: Mapping[Engine, Prediction],
    wanted: Sequence[Piece],
    job: Job,
    builder: Builder,
    target: Target,
    table: KernelTable,
) -> set[str]:
    """Time pieces of a Program under all options of a job, and tell which kernels are known then.

    Raises:
        EngineError: the engine fails at them.
    """
    part = Part.around(program, next(iter(priced.values())).pieces, wanted)
    found: set[str] = set()
    with builder.build(job.engine, part.program) as build:
        for changes in job.options:
            engine = build.under(changes)
            found |= part.learn(table, Place.of(engine, target.machine()), build.kernels(engine, _PROFILES))
    return found
