"""Programs built, profiled and timed, to see what they and their kernels take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError
from fxopt.ir.samples import sample_inputs
from fxopt.measure import Limits, Worker, least_disturbed

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program

_CALLS, _BURST_S, _LONG_S = 30, 0.06, 0.6  # calls that are timed; seconds in one go; seconds after which fewer will do


class Builder:
    """Builds Programs. Its processes are kept from one build to the next: each takes seconds to start.

    One process builds for all engines, which so share what they make of a Program. What comes of it runs in a process for
    each engine, as thread pools that spin disturb one another.
    """

    def __init__(self) -> None:
        self._processes = ExitStack()
        self._building = self._start()
        self._running: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def _start(self) -> Worker:
        return self._processes.enter_context(Worker(Limits()))

    @contextmanager
    def build(self, engine: Engine, program: Program) -> Iterator[Build]:
        """A Program as an engine runs it; gone afterwards.

        Raises:
            EngineError: the engine cannot build the program, or take its inputs.
        """
        try:
            values = [value.numpy() for value in sample_inputs(program, seed=0)]
        except TypeError as error:  # bfloat16, which NumPy lacks
            raise EngineError(f"{engine.name}: inputs: {error}") from error
        with tempfile.TemporaryDirectory() as folder:
            saved, out = Path(folder) / "program", Path(folder) / "artifact"
            saved.mkdir()
            program.save(saved)
            self._building.emit(engine.spec(), saved, out)
            yield Build(engine, out, values, self._runs(engine))

    def _runs(self, engine: Engine) -> Worker:
        if engine.name not in self._running:
            self._running[engine.name] = self._start()
        return self._running[engine.name]


@dataclass(frozen=True)
class Build:
    """A build of a Program.

    Attributes:
        engine: that it was built for.
        artifact: its folder.
        inputs: that it is called with.
        running: the process that it runs in.
    """

    engine: Engine
    artifact: Path
    inputs: Sequence[np.ndarray[Any, Any]]
    running: Worker

    def under(self, options: Mapping[str, Any]) -> Engine:
        """The engine with other options, which the artifact has from here on."""
        Artifact.change(self.artifact, options)
        return replace(self.engine, **options)

    def kernels(self, engine: Engine) -> list[dict[str, Any]]:
        """What it runs and how long that takes, as `Workshop.kernels` gives it; nothing where the engine has no profile.

        Raises:
            EngineError: the engine, as it is configured, fails at it.
        """
        found = self.running.profile(engine.spec(), self.artifact, self.inputs)
        return [
            {"name": k.name, "kind": k.kind, "covers": list(k.covers), "dtype": k.dtype, "ms": k.milliseconds}
            for k in found
        ]

    def milliseconds(self, engine: Engine) -> float:
        """What a call takes without a profiler while nothing disturbs it, as far as that can be had: the mean of the fastest quarter.

        Raises:
            EngineError: the engine fails at it.
        """
        self.running.load(engine.spec(), self.artifact)
        self.running.run(self.inputs)
        one_s = float(self.running.time(1)[0]) / 1e9
        calls = max(1, round(_BURST_S / one_s))
        seconds = min(_CALLS * one_s, _LONG_S)
        times = self.running.time_undisturbed(calls, seconds, engine.threads)
        return float(np.mean(times[least_disturbed(times.tolist())])) / 1e6
