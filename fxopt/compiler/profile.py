"""`fxopt profile`: a target's probes on its engines, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler import limits
from fxopt.compiler.lowered import of_made_up_data
from fxopt.errors import InputError
from fxopt.prices import table as tables
from fxopt.prices.calibrate import calibrate
from fxopt.prices.machine import profile
from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program


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
    engines = [found for found in limits.engines(registry, made, engine).values() if found.name != "eager"]
    machine, variants = made.machine(), Variants(registry, made, engines)
    table = KernelTable(note=progress.note)
    try:
        with progress.phase("time the kernels of this machine", len(probes)):
            left = calibrate(probes, variants, machine, table, progress, limit_s)
        configured = [one for engine in engines for one in variants.configured(engine)]
        counts = sorted({1, machine.cores})
        places = [Place.of(dataclasses.replace(one, threads=count), machine) for one in configured for count in counts]
        return profile(table, places, machine), file, left
    finally:
        table.close()


class Variants:
    """What is built of a probe: in floats on each engine and under its tunings, and in the kinds that it computes in."""

    def __init__(self, registry: Registry, target: Target, engines: Sequence[Engine]) -> None:
        self._registry, self._target, self._engines = registry, target, engines
        self._dtypes, self._isa = target.capabilities().dtypes, target.capabilities().isa

    def __call__(self, program: Program) -> Iterator[tuple[Engine, Program]]:
        """Engines with what they are to build."""
        for engine in self._engines:
            for configured in self.configured(engine):
                yield configured, program
            scheme = engine.quant_scheme
            if scheme is None or not scheme.runs("int8", self._isa) or "int8" not in self._registry.passes:
                continue
            lower = of_made_up_data(program, "int8", self._registry, self._target, engine)
            if lower is not None:
                yield engine, lower

    def configured(self, engine: Engine) -> Iterator[Engine]:
        """An engine as it is, and with other options that may be faster, but for threads."""
        yield engine
        told = {field.name: getattr(engine, field.name) for field in dataclasses.fields(engine)}
        for changes in engine.tunings(told, self._dtypes):
            if "threads" not in changes:
                yield dataclasses.replace(engine, **changes)


def _has_folder(file: Path) -> bool:
    """Whether the folder of a file is there; that of the prices is made."""
    if file.parent == tables.folder():
        file.parent.mkdir(parents=True, exist_ok=True)
    return file.absolute().parent.is_dir()
