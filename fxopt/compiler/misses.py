"""The kernels of one Program that were never timed, timed in small parts of it: how prices become known on a miss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fxopt.errors import FxoptError
from fxopt.prices.builds import Builder
from fxopt.prices.micro import time_unknown, unknown

if TYPE_CHECKING:
    from fxopt.compiler.calibrate import Job, Kinds
    from fxopt.compiler.progress import Progress
    from fxopt.contracts.price import Prediction
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.prices.table import KernelTable


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
                    time_unknown(lower, priced, job.engine, builder, target.machine(), table)
                except (FxoptError, ValueError) as error:  # the engine's, or of what cannot be taken apart
                    progress.note(f"{job.kind} on {job.engine.name}: {error}")
                after = _missing(_priced(lower, job, target))
            name = job.engine.name
            found += Misses(
                frozenset((name, kernel) for kernel in before - after),
                frozenset((name, kernel) for kernel in after),
            )
            progress.advance()
            if time.monotonic() > deadline:
                break
    return found


def _priced(program: Program, job: Job, target: Target) -> list[tuple[Mapping[str, Any], Prediction]]:
    """What a Program is expected to take under each set of options of a job, by what is known now."""
    target.refresh()
    found = [(changes, target.price(program, replace(job.engine, **changes))) for changes in job.options]
    return [(changes, price) for changes, price in found if price is not None]


def _missing(priced: Sequence[tuple[Mapping[str, Any], Prediction]]) -> set[str]:
    """Kernels that were not timed under some options."""
    return {piece.kernel for _, price in priced for piece in unknown(price, len(price.pieces))}
