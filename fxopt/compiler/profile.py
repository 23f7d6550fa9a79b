"""`fxopt profile`: a target's probes on its engines, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler import limits
from fxopt.compiler.calibrate import Job, calibrate
from fxopt.compiler.lowered import of_made_up_data
from fxopt.errors import InputError
from fxopt.prices import table as tables
from fxopt.prices.machine import profile
from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program

FLOAT = "float"


def profile_machine(
    target: str, engine: str, limit_s: float, progress: Progress, out: Path | None = None
) -> tuple[dict[str, Any], Path, int]:
    """Fill the kernel table from a target's probes.

    Args:
        target: a spec, as of `fxopt.optimize`.
        engine: likewise.
        limit_s: seconds after which no new probe is begun.
        progress: is told how far it is.
        out: the file that the profile is to go to.

    Returns:
        The profile as nested plain data, the file that it is to be written to, and how many probes are left.

    Raises:
        InputError: there is no such target or engine, it has nothing to measure here, or the file cannot be written.
    """
    registry = Registry.load()
    made = registry.make_target(target)
    probes = list(made.probes())
    if not probes:
        raise InputError(f"--target {target}: there is nothing to measure here for it")
    file = out or tables.folder() / f"{made.name}.toml"
    if file.is_dir() or not _has_folder(file):
        raise InputError(f"-o {file}: cannot be written: give a file in a folder that is there")
    engines = [found for found in limits.engines(registry, made, engine).values() if found.has_profile()]
    machine, made_up = made.machine(), MadeUp(registry, made)
    jobs = _jobs(registry, made, engines, machine.cores)
    table = KernelTable(note=progress.note)
    try:
        with progress.phase("time the kernels of this machine", len(probes)):
            left = calibrate(probes, jobs, made_up, machine, table, progress, limit_s)
        there = [dataclasses.replace(job.engine, **changes) for job in jobs for changes in job.options]
        places = dict.fromkeys(Place.of(one, machine) for one in there)
        return profile(table, places, machine), file, left
    finally:
        table.close()


def _jobs(registry: Registry, target: Target, engines: Sequence[Engine], cores: int) -> list[Job]:
    """Floats under all options of an engine that may be faster, and integers where the CPU has instructions for them."""
    dtypes, isa = target.capabilities().dtypes, target.capabilities().isa
    counts = [{"threads": count} for count in sorted({1, cores})]
    jobs = []
    for engine in engines:
        told = {field.name: getattr(engine, field.name) for field in dataclasses.fields(engine)}
        faster = [changes for changes in engine.tunings(told, dtypes) if "threads" not in changes]
        jobs.append(Job(engine, FLOAT, [{**changes, **count} for changes in ({}, *faster) for count in counts]))
    if "int8" in registry.passes:
        able = [engine for engine in engines if (scheme := engine.quant_scheme) and scheme.runs("int8", isa)]
        jobs += [Job(engine, "int8", counts) for engine in able]
    return jobs


class MadeUp:
    """Programs in kinds of lower precision, fitted to made-up inputs."""

    def __init__(self, registry: Registry, target: Target) -> None:
        self._registry, self._target = registry, target

    def __call__(self, program: Program, jobs: Sequence[Job]) -> Iterator[tuple[Job, Program]]:
        """Jobs with what they build."""
        yield from ((job, program) for job in jobs if job.kind == FLOAT)
        for kind in dict.fromkeys(job.kind for job in jobs if job.kind != FLOAT):
            by_engine = {job.engine: job for job in jobs if job.kind == kind}
            for engine, lower in of_made_up_data(program, kind, self._registry, self._target, by_engine):
                yield by_engine[engine], lower


def _has_folder(file: Path) -> bool:
    """Whether the folder of a file is there; that of the prices is made."""
    if file.parent == tables.folder():
        file.parent.mkdir(parents=True, exist_ok=True)
    return file.absolute().parent.is_dir()
