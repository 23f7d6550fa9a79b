"""Engines in a process of their own, seen from the parent: `Worker`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fxopt.contracts.engine import Artifact, EngineGraph, Kernel, Unsupported
from fxopt.errors import EngineError, InputError
from fxopt.measure import cores
from fxopt.worker import wire
from fxopt.worker.process import Process, WorkerFault, three_quarters_of_memory


@dataclass(frozen=True)
class Limits:
    """What one request to an engine may use.

    Attributes:
        build_s: seconds for `emit`, `quantize`, `unsupported`, `graph` and `profile`.
        load_s: seconds for `load`, start of the process included.
        run_s: seconds for `run` and for one block of `time`.
        memory_bytes: resident bytes of the worker and its children.
    """

    build_s: float = 300.0
    load_s: float = 120.0
    run_s: float = 60.0
    memory_bytes: int = field(default_factory=three_quarters_of_memory)


class Worker(Process):
    """A process that hosts engines.

    An idle `Worker` is also the warm builder: keep one for all `emit` and `graph` requests (importing torch costs
    seconds), and one for each artifact that is measured. Every request raises `EngineError` with one line
    `ENGINE: STAGE: CAUSE`, or `InputError` where the engine said so.
    """

    HOST = "fxopt.measure.host"

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        super().__init__(self.limits.memory_bytes)
        self._loaded = ""

    def unsupported(self, engine: str, program: Path) -> list[Unsupported]:
        """Nodes of the Program saved in the directory `program` that the engine (a spec) cannot run."""
        answer, _ = self._request(engine, "unsupported", self.limits.build_s, engine=engine, program=str(program))
        return [Unsupported(node, reason) for node, reason in answer["nodes"]]

    def emit(self, engine: str, program: Path, out: Path) -> Artifact:
        """Let the engine emit the Program saved in `program` into the new directory `out`; on failure there is none."""
        return self._build(engine, "emit", out, engine=engine, program=str(program))

    def quantize(self, engine: str, recipe: str, program: Path, samples: Path, out: Path) -> Artifact:
        """Let the engine quantize the Program saved in `program` by a recipe of its own (`Engine.quantize`).

        Args:
            engine: a spec.
            recipe: one of the engine's `recipes`.
            program: a directory.
            samples: a file that `fxopt.measure.samples.write` has made.
            out: the new directory of the artifact; on failure there is none.
        """
        fields = {"engine": engine, "recipe": recipe, "program": str(program), "samples": str(samples)}
        return self._build(f"{engine}: {recipe}", "quantize", out, **fields)

    def graph(self, engine: str, artifact: Path) -> EngineGraph:
        """What the engine made of the artifact in a directory (`Engine.fused_kernels`)."""
        answer, _ = self._request(engine, "graph", self.limits.build_s, engine=engine, artifact=str(artifact))
        return EngineGraph(_kernels(answer["kernels"]), answer["signature"])

    def profile(self, engine: str, artifact: Path, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        """The artifact's kernels with their milliseconds (`Engine.profile`)."""
        asked = {"engine": engine, "artifact": str(artifact), "cores": cores.known()}
        answer, _ = self._request(engine, "profile", self.limits.build_s, inputs, **asked)
        cores.learn(answer["cores"])
        return _kernels(answer["kernels"])

    def peak_bytes(self, engine: str, artifact: Path, inputs: Sequence[np.ndarray[Any, Any]]) -> int | None:
        """What the artifact in a directory reports of its memory (`Engine.peak_bytes`)."""
        fields = {"engine": engine, "artifact": str(artifact)}
        answer, _ = self._request(engine, "peak_bytes", self.limits.build_s, inputs, **fields)
        found: int | None = answer["bytes"]
        return found

    def load(self, engine: str, artifact: Path) -> None:
        """Load an artifact for `run` and `time`."""
        self._request(engine, "load", self.limits.load_s, engine=engine, artifact=str(artifact))
        self._loaded = engine

    def unload(self) -> None:
        """Let go of the loaded artifact and its inputs, if there is a process that has one."""
        if self.started:
            self._request(self._loaded, "unload", self.limits.load_s)

    def run(self, inputs: Sequence[np.ndarray[Any, Any]]) -> wire.Arrays:
        """Call the loaded artifact on its flat inputs; the flat outputs. `time` uses the same inputs."""
        return self._request(self._loaded, "run", self.limits.run_s, inputs)[1]

    def time(self, calls: int) -> NDArray[np.int64]:
        """Nanoseconds of each of `calls` calls on the inputs of the last `run`, after a call that is not counted."""
        return self._request(self._loaded, "time", self.limits.run_s, calls=calls)[1][0]

    def time_undisturbed(self, calls: int, seconds: float, threads: int) -> NDArray[np.int64]:
        """As `time`, of calls of so many threads, until some took so many seconds together while nobody else was on their cores.

        As far as that can be had; the others are not among them.
        """
        asked: dict[str, Any] = {"calls": calls, "together_s": seconds, "threads": threads, "cores": cores.known()}
        answer, (times,) = self._request(self._loaded, "time_undisturbed", self.limits.run_s, **asked)
        cores.learn(answer["cores"])
        found: NDArray[np.int64] = times
        return found

    def _build(self, name: str, stage: str, out: Path, **fields: Any) -> Artifact:
        """Ask for an artifact in the new directory `out`; on failure there is none."""
        out.mkdir(parents=True)
        try:
            self._request(name, stage, self.limits.build_s, out=str(out), **fields)
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise
        return Artifact.read(out)

    def _request(
        self, name: str, stage: str, seconds: float, arrays: Sequence[np.ndarray[Any, Any]] = (), **fields: Any
    ) -> tuple[dict[str, Any], wire.Arrays]:
        try:
            return self.ask(stage, seconds, arrays, **fields)
        except WorkerFault as fault:
            error = InputError if fault.bad_input else EngineError
            raise error(f"{name}: {stage}: {fault}") from None


def _kernels(entries: Sequence[Mapping[str, Any]]) -> tuple[Kernel, ...]:
    return tuple(Kernel(e["name"], e["kind"], tuple(e["covers"]), e["milliseconds"], e["dtype"]) for e in entries)
