"""Fill the kernel table from a target's probes, on each engine and under its options."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from fxopt.errors import EngineError
from fxopt.ir.capture import capture, export
from fxopt.prices.builds import Builder
from fxopt.prices.place import Place
from fxopt.prices.predict import labels, learn, wholes

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Machine, Probe
    from fxopt.ir.program import Program
    from fxopt.prices.table import KernelTable

_WHOLES = 12  # builds at a place that are also timed without a profiler: so few show by how much that differs


@dataclass(frozen=True)
class Job:
    """A build of each probe.

    Attributes:
        engine: that builds.
        kind: what it computes in: `"float"`, or a kind of lower precision.
        options: of the engine, sets under each of which the build is timed.
        first: of how many probes it is built, the most telling ones; None: of all.
        after: how many probes are built before by jobs that are not to wait.
        every: as of a `Lowering`.
    """

    engine: Engine
    kind: str
    options: Sequence[Mapping[str, Any]]
    first: int | None = None
    after: int = 0
    every: int = 1

    def left(self, probe: Probe, machine: Machine, table: KernelTable) -> Job:
        """The job without what the table knows of a probe."""
        places = [Place.of(replace(self.engine, **changes), machine) for changes in self.options]
        known = [self.label(probe) in labels(table.prices(place).values()) for place in places]
        return replace(self, options=[changes for changes, done in zip(self.options, known, strict=True) if not done])

    def label(self, probe: Probe) -> str:
        """By which the table knows that a probe was measured."""
        return f"{probe.name}, {self.kind}" + (f", every {self.every}" if self.every > 1 else "")

    def run(self, builder: Builder, probe: Probe, program: Program, machine: Machine, table: KernelTable) -> None:
        """Build, and learn from it under all options.

        Raises:
            EngineError: the engine fails.
        """
        with builder.build(self.engine, program) as build:
            for changes in self.options:
                there = build.under(changes)
                place, kernels = Place.of(there, machine), build.kernels(there)
                milliseconds = build.milliseconds(there) if wholes(table.prices(place)) < _WHOLES else None
                learn(table, place, program, kernels, milliseconds, self.label(probe))


class Kinds(Protocol):
    """Makes what jobs build."""

    def __call__(self, program: Program, jobs: Sequence[Job]) -> Iterable[tuple[Job, Program]]:
        """The program of a probe in the kinds of the jobs, as far as there are."""


def calibrate(
    probes: Iterable[Probe],
    jobs: Sequence[Job],
    kinds: Kinds,
    machine: Machine,
    table: KernelTable,
    progress: Progress,
    limit_s: float,
) -> int:
    """Measure what the table does not know yet of each probe, until time is out.

    Args:
        probes: networks whose kernels are timed; the most telling first.
        jobs: what is built of each.
        kinds: makes what jobs build.
        machine: at hand.
        table: is added to after each build, so that another call goes on from there.
        progress: is told how far it is, and what failed.
        limit_s: seconds after which nothing new is begun.

    Returns:
        How many probes were left for another time, whole or in part.
    """
    deadline = time.monotonic() + limit_s
    left = set()
    # To probes that jobs wait for one comes back after as many others, and after those that came back in between.
    captured = lru_cache(maxsize=1 + max((job.after + (job.first or 0) for job in jobs), default=0))(program_of)
    with Builder() as builder:
        for probe, wanted in turns(list(probes), jobs):
            open_jobs = [rest for job in wanted if (rest := job.left(probe, machine, table)).options]
            if open_jobs and time.monotonic() > deadline:
                left.add(probe.name)
                continue
            progress.detail(probe.name)
            for job, program in kinds(captured(probe), open_jobs) if open_jobs else ():
                if time.monotonic() > deadline:
                    left.add(probe.name)
                    break
                try:
                    job.run(builder, probe, program, machine, table)
                except EngineError as error:
                    progress.note(f"{probe.name}: {error}")
            progress.advance()
    return len(left)


def turns(probes: Sequence[Probe], jobs: Sequence[Job]) -> list[tuple[Probe, list[Job]]]:
    """Probes with what is built of them at a time, in order; those come again for which jobs wait."""
    at: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        for number in range(len(probes) if job.first is None else min(job.first, len(probes))):
            at.setdefault((number + job.after, number), []).append(job)
    return [(probes[number], at[turn, number]) for turn, number in sorted(at)]


def program_of(probe: Probe) -> Program:
    """A probe's network, captured."""
    import torch

    torch.manual_seed(probe.seed)
    module, inputs = probe.make(probe.seed)
    return capture(export(module.eval(), inputs))
