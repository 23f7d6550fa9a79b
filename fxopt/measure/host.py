"""The process that hosts engines: `python -m fxopt.measure.host`. It serves one `fxopt.measure.worker.Worker`."""

from __future__ import annotations

import gc
import importlib
import random
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fxopt.contracts.engine import Artifact, Engine, FlatCallable, in_sequence
from fxopt.contracts.options import split_spec
from fxopt.measure.cores import known, learn, undisturbed
from fxopt.worker import wire
from fxopt.worker.host import Answer, Host, main


def make_engine(spec: str) -> Engine:
    """The engine that a spec names: of the registry, or by import path if there is a colon (`module:Class{a=1}`)."""
    name, brace, options = spec.partition("{")
    if ":" not in name:
        from fxopt.registry import Registry

        found: Engine = Registry.find("engines", spec)
        return found
    module, _, attribute = name.partition(":")
    engine_class: type[Engine] = getattr(importlib.import_module(module), attribute)
    return engine_class.from_options(split_spec("engine" + brace + options)[1])


def bind(engine: Engine, artifact: Artifact) -> FlatCallable:
    """One callable for all stages of an artifact: the first stage's inputs to the last stage's outputs."""
    stages, calls = artifact.stages, [engine.load(artifact, stage) for stage in artifact.stages]
    return calls[0] if len(calls) == 1 else in_sequence(stages, calls, stages[0].inputs, stages[-1].outputs)


class EngineHost(Host):
    """What the worker holds between requests: the engine objects, and at most one loaded artifact with its inputs."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._call: FlatCallable | None = None
        self._inputs: wire.Arrays = []

    def _engine(self, spec: str) -> Engine:
        if spec not in self._engines:
            self._engines[spec] = make_engine(spec)
        return self._engines[spec]

    def unsupported(self, arrays: wire.Arrays, engine: str, program: str) -> Answer:
        """Nodes of a saved Program that the engine cannot run."""
        from fxopt.ir.program import Program

        found = self._engine(engine).unsupported(Program.load(Path(program)))
        return {"nodes": [[entry.node, entry.reason] for entry in found]}, []

    def emit(self, arrays: wire.Arrays, engine: str, program: str, out: str) -> Answer:
        """Emit a saved Program into the empty directory `out`."""
        from fxopt.ir.program import Program

        self._engine(engine).emit(Program.load(Path(program)), Path(out))
        Artifact.read(Path(out))  # an engine that left no manifest behind is found out here
        return {}, []

    def quantize(self, arrays: wire.Arrays, engine: str, recipe: str, program: str, samples: str, out: str) -> Answer:
        """Quantize a saved Program by a recipe of the engine's, into the empty directory `out`."""
        from fxopt.ir.program import Program
        from fxopt.measure.samples import Samples

        random.seed(0)
        np.random.seed(0)
        self._engine(engine).quantize(recipe, Program.load(Path(program)), Samples(Path(samples)), Path(out))
        Artifact.read(Path(out))
        return {}, []

    def graph(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """What the engine made of an artifact."""
        graph = self._engine(engine).fused_kernels(Artifact.read(Path(artifact)))
        return {"kernels": [asdict(kernel) for kernel in graph.kernels], "signature": graph.signature}, []

    def profile(self, arrays: wire.Arrays, engine: str, artifact: str, cores: dict[str, list[float]]) -> Answer:
        """Kernels of an artifact with their times on the inputs in `arrays`; `cores` as of `time_undisturbed`."""
        learn(cores)
        kernels = self._engine(engine).profile(Artifact.read(Path(artifact)), arrays)
        return {"kernels": [asdict(kernel) for kernel in kernels], "cores": known()}, []

    def peak_bytes(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """What an artifact reports of its memory in a call on the inputs in `arrays`."""
        return {"bytes": self._engine(engine).peak_bytes(Artifact.read(Path(artifact)), arrays)}, []

    def load(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """Load an artifact for `run` and `time`, in place of the one loaded before."""
        self._call = None
        self._call = bind(self._engine(engine), Artifact.read(Path(artifact)))
        return {}, []

    def unload(self, arrays: wire.Arrays) -> Answer:
        """Let go of what is loaded."""
        self._call, self._inputs = None, []
        gc.collect()
        return {}, []

    def run(self, arrays: wire.Arrays) -> Answer:
        """Call it once on the inputs in `arrays`, which are kept for `time`."""
        self._inputs = arrays
        outputs = self._loaded()(arrays)
        if not isinstance(outputs, list | tuple) or not all(isinstance(o, np.ndarray | np.generic) for o in outputs):
            raise TypeError(f"the call returned {type(outputs).__name__}, not a list of arrays")
        return {}, list(outputs)

    def time(self, arrays: wire.Arrays, calls: int) -> Answer:
        """Nanoseconds of each of `calls` calls, after one that is not counted.

        A callable of an engine whose device has a clock of its own tells them itself: by `timer(inputs, calls)`.
        """
        call, inputs, clock = self._loaded(), self._inputs, time.perf_counter_ns
        if (timer := getattr(call, "timer", None)) is not None:
            return {}, [timer(inputs, calls)]
        marks = np.empty(calls + 1, np.int64)
        gc.disable()  # or a collection is charged to the engine
        call(inputs)
        for index in range(calls):
            marks[index] = clock()
            call(inputs)
        marks[calls] = clock()
        gc.enable()
        return {}, [np.diff(marks)]

    def time_undisturbed(
        self, arrays: wire.Arrays, calls: int, together_s: float, threads: int, cores: dict[str, list[float]]
    ) -> Answer:
        """As `time`, of calls for so many seconds while nobody else was on their cores, as far as that can be had.

        `cores` is what other processes know of them, as of `cores.known`; so it is in the answer.
        """
        learn(cores)
        bursts = undisturbed(lambda: self.time(arrays, calls)[1][0], together_s, threads)
        return {"cores": known()}, [np.concatenate(bursts)]

    def _loaded(self) -> FlatCallable:
        if self._call is None:
            raise RuntimeError("no artifact is loaded")
        return self._call


if __name__ == "__main__":
    main(EngineHost())
