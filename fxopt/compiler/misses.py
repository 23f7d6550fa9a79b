"""The kernels of one Program that were never timed, timed in small parts of it: how prices become known on a miss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxopt.errors import FxoptError
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

_MOST = 24  # kernels of a build that are timed at once under each set of options, those first that leave most in doubt
_PROFILES = 3  # of each part


@dataclass(frozen=True)
class Misses:
    """Kernels, by engine and name.

    Attributes:
        timed: that were never timed before.
        left: that still never were.
    """

    timed: frozenset[tuple[str, str]] = frozenset()
    left: frozenset[tuple[str, str]] = frozenset()

    def __add__(self, other: Misses) -> Misses:
        timed = self.timed | other.timed
        return Misses(timed, (self.left | other.left) - timed)


def time_misses(
    program: Program,
    jobs: Sequence[Job],
    kinds: Kinds,
    target: Target,
    table: KernelTable,
    progress: Progress,
    deadline: float,
) -> Misses:
    """Time the kernels of a Program that the target's prices leave most in doubt, in the kinds and under the options of jobs.

    Args:
        program: the whole.
        jobs: what is built of it.
        kinds: makes what jobs build.
        target: which prices programs from the table.
        table: is added to after each part, so that another call goes on from there.
        progress: is told how far it is, and what failed.
        deadline: of `time.monotonic`, after which nothing is begun.
    """
    found = Misses()
    with Builder() as builder:
        for job, lower in kinds(program, jobs):
            progress.detail(f"{job.kind} on {job.engine.name}")
            priced = _priced(lower, job, target)
            before = after = _missing(priced)
            if before and time.monotonic() <= deadline:
                try:
                    _time(lower, priced, job, builder, target, table)
                except (FxoptError, ValueError) as error:  # the engine's, or of what cannot be taken apart
                    progress.note(f"{job.kind} on {job.engine.name}: {error}")
                after = _missing(_priced(lower, job, target))
            name = job.engine.name
            found += Misses(
                frozenset((name, kernel) for kernel in before.keys() - after.keys()),
                frozenset((name, kernel) for kernel in after),
            )
            progress.advance()
            if time.monotonic() > deadline:
                break
    return found


def _priced(program: Program, job: Job, target: Target) -> dict[Engine, Prediction]:
    """What a Program is expected to take under each set of options of a job, by what is known now."""
    target.refresh()
    there = [replace(job.engine, **changes) for changes in job.options]
    return {engine: price for engine in there if (price := target.price(program, engine)) is not None}


def _missing(priced: Mapping[Engine, Prediction], most: int | None = None) -> dict[str, Piece]:
    """By kernel, pieces that are missing under any options; of each at most so many, those first that leave most in doubt."""
    counts = [(price, len(price.pieces) if most is None else most) for price in priced.values()]
    return {piece.kernel: piece for price, count in counts for piece in unknown(price, count)}


def _time(
    program: Program,
    priced: Mapping[Engine, Prediction],
    job: Job,
    builder: Builder,
    target: Target,
    table: KernelTable,
) -> None:
    """Time what is missing of a Program most under all options of a job.

    Raises:
        EngineError: the engine fails at it.
        InputError: no part of the Program holds it.
    """
    part = Part.around(program, next(iter(priced.values())).pieces, list(_missing(priced, _MOST).values()))
    with builder.build(job.engine, part.program) as build:
        for changes in job.options:
            engine = build.under(changes)
            profiles = [build.kernels(engine) for _ in range(_PROFILES)]
            part.learn(table, Place.of(engine, target.machine()), *profiles)
