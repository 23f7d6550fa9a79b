"""`fxopt profile`: a target's probes on its engines, and what came of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler import limits
from fxopt.errors import InputError
from fxopt.prices import table as tables
from fxopt.prices.calibrate import calibrate
from fxopt.prices.machine import profile
from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress


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
    machine = made.machine()
    table = KernelTable(note=progress.note)
    try:
        with progress.phase("time the kernels of this machine", len(probes)):
            left = calibrate(probes, engines, machine, table, progress, limit_s)
        counts = sorted({1, machine.cores})
        places = [Place.of(dataclasses.replace(one, threads=count), machine) for one in engines for count in counts]
        return profile(table, places, machine), file, left
    finally:
        table.close()


def _has_folder(file: Path) -> bool:
    """Whether the folder of a file is there; that of the prices is made."""
    if file.parent == tables.folder():
        file.parent.mkdir(parents=True, exist_ok=True)
    return file.absolute().parent.is_dir()
