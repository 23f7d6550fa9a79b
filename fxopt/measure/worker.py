"""The worker process: `python -m fxopt.measure.worker`. It serves the requests of one `fxopt.measure.process.Worker`.

Each public method of `Host` answers one request. What an engine prints goes to stderr, never into the answers.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fxopt.contracts.engine import Artifact, Engine, FlatCallable, in_sequence
from fxopt.contracts.options import split_spec
from fxopt.errors import InputError
from fxopt.measure import wire

_PR_SET_PDEATHSIG = 1

Answer = tuple[dict[str, Any], wire.Arrays]


def make_engine(spec: str) -> Engine:
    """The engine that a spec names: of the registry, or by import path if there is a colon (`module:Class{a=1}`)."""
    name, brace, options = spec.partition("{")
    if ":" not in name:
        from fxopt.registry import Registry

        return Registry.find_engine(spec)
    module, _, attribute = name.partition(":")
    engine_class: type[Engine] = getattr(importlib.import_module(module), attribute)
    return engine_class.from_options(split_spec("engine" + brace + options)[1])


def bind(engine: Engine, artifact: Artifact) -> FlatCallable:
    """One callable for all stages of an artifact: the first stage's inputs to the last stage's outputs."""
    stages, calls = artifact.stages, [engine.load(artifact, stage) for stage in artifact.stages]
    return calls[0] if len(calls) == 1 else in_sequence(stages, calls, stages[0].inputs, stages[-1].outputs)


class Host:
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

    def graph(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """What the engine made of an artifact."""
        graph = self._engine(engine).fused_kernels(Artifact.read(Path(artifact)))
        return {"kernels": [asdict(kernel) for kernel in graph.kernels], "signature": graph.signature}, []

    def profile(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """Kernels of an artifact with their times on the inputs in `arrays`."""
        kernels = self._engine(engine).profile(Artifact.read(Path(artifact)), arrays)
        return {"kernels": [asdict(kernel) for kernel in kernels]}, []

    def load(self, arrays: wire.Arrays, engine: str, artifact: str) -> Answer:
        """Load an artifact for `run` and `time`, in place of the one loaded before."""
        self._call = None
        self._call = bind(self._engine(engine), Artifact.read(Path(artifact)))
        return {}, []

    def run(self, arrays: wire.Arrays) -> Answer:
        """Call it once on the inputs in `arrays`, which are kept for `time`."""
        self._inputs = arrays
        outputs = self._loaded()(arrays)
        if not isinstance(outputs, list | tuple) or not all(isinstance(o, np.ndarray | np.generic) for o in outputs):
            raise TypeError(f"the call returned {type(outputs).__name__}, not a list of arrays")
        return {}, list(outputs)

    def time(self, arrays: wire.Arrays, calls: int) -> Answer:
        """Nanoseconds of each of `calls` calls, after one that is not counted."""
        call, inputs, clock = self._loaded(), self._inputs, time.perf_counter_ns
        marks = np.empty(calls + 1, np.int64)
        gc.disable()  # or a collection is charged to the engine
        call(inputs)
        for index in range(calls):
            marks[index] = clock()
            call(inputs)
        marks[calls] = clock()
        gc.enable()
        return {}, [np.diff(marks)]

    def _loaded(self) -> FlatCallable:
        if self._call is None:
            raise RuntimeError("no artifact is loaded")
        return self._call


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when `parent` ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout to ourselves: from here on, prints go to stderr and reads find the end of file."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the pipe ends."""
    host = Host()
    while True:
        try:
            message, arrays = wire.receive(requests)
        except EOFError:
            return
        method: Callable[..., Answer] = getattr(host, message.pop("request"))
        try:
            answer, outputs = method(arrays, **message)
            wire.send(answers, answer, outputs)
        except Exception as error:  # noqa: BLE001 - an engine may raise anything; the answer carries it to the parent
            lines = str(error).strip().splitlines()
            cause = f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
            kind = ("input", str(error)) if isinstance(error, InputError) else ("engine", cause)
            wire.send(answers, dict(zip(("kind", "error"), kind, strict=True)))


def main() -> None:
    """Run the worker; the one argument is the parent's process id."""
    _die_with(int(sys.argv[1]))
    serve(*_claim_pipes())


if __name__ == "__main__":
    main()
