"""Fill the kernel table from a target's probes, on each engine and with each number of threads."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError
from fxopt.ir.capture import capture, export
from fxopt.ir.samples import sample_inputs
from fxopt.measure import Limits, Worker
from fxopt.prices.place import Place
from fxopt.prices.predict import learn, whole

if TYPE_CHECKING:
    import numpy as np

    from fxopt.compiler.progress import Progress
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Machine, Probe
    from fxopt.ir.program import Program
    from fxopt.prices.table import KernelTable

_CALLS, _TOO_WIDE = 30, 0.25  # calls that are timed; how far apart the middle half may lie before more are


Variants = Callable[["Program"], Iterable[tuple["Engine", "Program"]]]


def calibrate(
    probes: Iterable[Probe],
    variants: Variants,
    machine: Machine,
    table: KernelTable,
    progress: Progress,
    limit_s: float,
) -> int:
    """Measure what the table does not know yet of each probe, until time is out.

    Args:
        probes: networks whose kernels are timed; the most telling first.
        variants: gives what is built of a probe's program: engines, each with the program or one in lower precision. An
            engine that has no profile learns nothing, and is passed over.
        machine: at hand.
        table: is added to after each build, so that another call goes on from there.
        progress: is told how far it is, and what failed.
        limit_s: seconds after which no new probe is begun.

    Returns:
        How many probes were left for another time.
    """
    deadline = time.monotonic() + limit_s
    left = 0
    for probe in probes:
        if time.monotonic() > deadline:
            left += 1
            continue
        progress.detail(probe.name)
        for engine, program in variants(_program(probe)):
            counts = [
                count for count in sorted({1, machine.cores}) if not _known(table, engine, count, machine, program)
            ]
            try:
                for there, kernels, milliseconds in profiled(engine, counts, program) if counts else ():
                    learn(table, Place.of(there, machine), program, kernels, milliseconds)
            except EngineError as error:
                progress.note(f"{probe.name}: {error}")
        progress.advance()
    return left


def _known(table: KernelTable, engine: Engine, threads: int, machine: Machine, program: Program) -> bool:
    return whole(program) in table.prices(Place.of(replace(engine, threads=threads), machine))


def _program(probe: Probe) -> Program:
    import torch

    torch.manual_seed(probe.seed)
    module, inputs = probe.make(probe.seed)
    return capture(export(module.eval(), inputs))


def profiled(
    engine: Engine, threads: Sequence[int], program: Program
) -> Iterator[tuple[Engine, list[dict[str, Any]], float]]:
    """A build of a Program, profiled and timed with each number of threads.

    Yields:
        The engine as it was configured, the kernels as `Workshop.kernels` gives them, and milliseconds of a call without a
        profiler. Nothing for an engine that has no profile.

    Raises:
        EngineError: the engine cannot build the program, or fails at it.
    """
    with emitted(engine, program) as (worker, out, values):
        for count in threads:
            there = replace(engine, threads=count)
            Artifact.change(out, {"threads": count})
            kernels = worker.profile(there.spec(), out, values)
            if not kernels:
                return
            found = [
                {"name": k.name, "kind": k.kind, "covers": list(k.covers), "dtype": k.dtype, "ms": k.milliseconds}
                for k in kernels
            ]
            yield there, found, latency_ms(there, out, values)


@contextmanager
def emitted(engine: Engine, program: Program) -> Iterator[tuple[Worker, Path, list[np.ndarray[Any, Any]]]]:
    """The process that has built a Program, the artifact, and inputs for it; all are gone afterwards.

    Raises:
        EngineError: the engine cannot build the program.
    """
    values = [value.numpy() for value in sample_inputs(program, seed=0)]
    with tempfile.TemporaryDirectory() as folder, Worker(Limits()) as worker:
        saved, out = Path(folder) / "program", Path(folder) / "artifact"
        saved.mkdir()
        program.save(saved)
        worker.emit(engine.spec(), saved, out)
        yield worker, out, values


def latency_ms(engine: Engine, artifact: Path, values: Sequence[np.ndarray[Any, Any]]) -> float:
    """Median milliseconds of a call in a process of its own; where the machine is busy, of more calls.

    Raises:
        EngineError: the engine fails at it.
    """
    with Worker(Limits()) as worker:
        worker.load(engine.spec(), artifact)
        worker.run(values)
        times: list[float] = []
        for _ in range(3):
            times += [nanoseconds / 1e6 for nanoseconds in worker.time(_CALLS).tolist()]
            low, middle, high = statistics.quantiles(times, n=4)
            if high - low <= _TOO_WIDE * middle:
                break
    return statistics.median(times)
