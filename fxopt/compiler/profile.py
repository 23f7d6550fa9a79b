"""`fxopt profile`: a target's probes on its engines, then the kernels of a model, and what came of it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler import limits
from fxopt.compiler.calibrate import Job, calibrate, turns
from fxopt.compiler.context import Context
from fxopt.compiler.lowered import Lowering, of_made_up_data
from fxopt.compiler.misses import Misses, time_misses
from fxopt.compiler.optimize import load_program
from fxopt.compiler.search import search
from fxopt.errors import InputError
from fxopt.ir.threads import one_thread
from fxopt.prices import table as tables
from fxopt.prices.machine import profile
from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.compiler.request import Request
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program

FLOAT = "float"
_PROBES = 0.5  # of the time, where a model is to be profiled as well
_FEW = 1 / 6  # of the probes, that are timed in kinds which have few kernels of their own: one of each sort
_AFTER = 1 / 3  # of the probes, that are timed in floats and int8 before: a slow machine gets no further in its time
_SHARE = 0.1  # of a network's FLOPs, that a kind has to be offered for: else it tells too little of it


@dataclass(frozen=True)
class Profiled:
    """What came of it.

    Attributes:
        profile: of the machine, nested plain data.
        file: that it is to be written to.
        probes_left: how many probes time did not allow.
        misses: kernels of the model, if there is one, in as much of the time as is left.
    """

    profile: dict[str, Any]
    file: Path
    probes_left: int
    misses: Misses | None


@one_thread()
def profile_machine(
    target: str,
    engine: str,
    limit_s: float,
    progress: Progress,
    out: Path | None = None,
    model: Request | None = None,
) -> Profiled:
    """Fill the kernel table from a target's probes, and with the kernels of a model that are still missing then.

    Args:
        target: a spec, as of `fxopt.optimize`.
        engine: likewise.
        limit_s: seconds after which nothing new is begun.
        progress: is told how far it is.
        out: the file that the profile is to go to.
        model: names a model, its weights and its inputs.

    Raises:
        InputError: there is no such target or engine, it has nothing to measure here, or the file cannot be written; or the
            model cannot be loaded.
    """
    started = time.monotonic()
    registry = Registry.load()
    made = registry.make_target(target)
    probes = list(made.probes())
    if not probes:
        raise InputError(f"--target {target}: there is nothing to measure here for it")
    file = out or tables.folder() / f"{made.name}.toml"
    if file.is_dir() or not _has_folder(file):
        raise InputError(f"-o {file}: cannot be written: give a file in a folder that is there")
    engines = [found for found in limits.engines(registry, made, engine).values() if found.has_profile()]
    program = None if model is None else load_program(model, registry, progress)[0]
    share = 1.0 if program is None else _PROBES
    machine, made_up = made.machine(), MadeUp(registry, made)
    jobs = _jobs(registry, made, engines, machine.cores, len(probes))
    table = KernelTable(note=progress.note)
    try:
        with progress.phase("time the kernels of this machine", len(turns(probes, jobs))):
            left = calibrate(probes, jobs, made_up, machine, table, progress, limit_s * share)
        misses = None
        if program is not None:
            misses = _of_model(program, jobs, made_up, table, progress, started + limit_s)
        there = [dataclasses.replace(job.engine, **changes) for job in jobs for changes in job.options]
        places = dict.fromkeys(Place.of(one, machine) for one in there)
        return Profiled(profile(table, places, machine), file, left, misses)
    finally:
        table.close()


def _of_model(
    program: Program, jobs: Sequence[Job], made_up: MadeUp, table: KernelTable, progress: Progress, deadline: float
) -> Misses:
    """Time what is missing of a model as it is, and with all exact rewrites, in floats and on integers."""
    rewritten, found = made_up.exact(program), Misses()
    todo = [(rewritten, jobs)]
    if rewritten.digest != program.digest:
        todo.append((program, [job for job in jobs if job.kind == FLOAT]))
    made_up.target.refresh()
    for engine in {job.engine.name: job.engine for job in jobs}.values():
        if made_up.target.price(program, engine) is None:
            progress.note(f"{engine.name}: too little is known of it here to price the model: probes come first")
    with progress.phase("time kernels of the model", sum(len(each) for _, each in todo)):
        for one, each in todo:
            found += time_misses(one, each, made_up, made_up.target, table, progress, deadline)
    return found


def _jobs(registry: Registry, target: Target, engines: Sequence[Engine], cores: int, probes: int) -> list[Job]:
    """Floats under all options of an engine that may be faster, and each kind of integers that it computes in here.

    Floats of 16 bits are among the options. Kinds other than int8 have few kernels of their own: they get few probes, and later.
    So do networks half of which is int8, for what comes between integers and floats.
    """
    dtypes, isa = target.capabilities().dtypes, target.capabilities().isa
    counts = [{"threads": count} for count in sorted({1, cores})]
    jobs = []
    for engine in engines:
        told = {field.name: getattr(engine, field.name) for field in dataclasses.fields(engine)}
        faster = [changes for changes in engine.tunings(told, dtypes) if "threads" not in changes]
        jobs.append(Job(engine, FLOAT, [{**changes, **count} for changes in ({}, *faster) for count in counts]))
    native = [
        (kind, engine)
        for engine in engines
        if (scheme := engine.quant_scheme) is not None
        for kind in scheme.native
        if kind.startswith("int") and kind in registry.passes and scheme.runs(kind, isa)
    ]
    rare = partial(Job, first=math.ceil(_FEW * probes), after=math.ceil(_AFTER * probes))
    jobs += [Job(engine, kind, counts) if kind == "int8" else rare(engine, kind, counts) for kind, engine in native]
    return jobs + [rare(engine, kind, counts, every=2) for kind, engine in native if kind == "int8"]


class MadeUp:
    """Programs in kinds of lower precision, fitted to made-up inputs."""

    def __init__(self, registry: Registry, target: Target) -> None:
        self._registry, self.target = registry, target

    def exact(self, program: Program) -> Program:
        """A Program with all exact rewrites."""
        context = Context(self.target.capabilities(), lossy=False)
        return search(program, self._registry.make_passes(None), self._registry, context).program

    def __call__(self, program: Program, jobs: Sequence[Job]) -> Iterator[tuple[Job, Program]]:
        """Jobs with what they build."""
        yield from ((job, program) for job in jobs if job.kind == FLOAT)
        wanted = {Lowering(job.kind, job.engine, job.every): job for job in jobs if job.kind != FLOAT}
        for lowering, lower in of_made_up_data(program, wanted, self._registry, self.target, _SHARE):
            yield wanted[lowering], lower


def _has_folder(file: Path) -> bool:
    """Whether the folder of a file is there; that of the prices is made."""
    if file.parent == tables.folder():
        file.parent.mkdir(parents=True, exist_ok=True)
    return file.absolute().parent.is_dir()
