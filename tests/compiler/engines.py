"""Engines for whole runs: each computes with PyTorch what it was given, and misbehaves in one way.

Their specs are import paths, so that worker processes find them without a registry.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fxopt.contracts.engine import Artifact, Engine, FlatCallable, Stage


@dataclass(frozen=True)
class Misbehaves(Engine):
    """The base: honest, and quick to build."""

    @classmethod
    def available(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        return "1"

    def spec(self) -> str:
        return f"{__name__}:{type(self).__name__}{{threads={self.threads}}}"

    def emit(self, program: Any, out: Path) -> Artifact:
        program.save(out)
        names = tuple(item.name for item in program.interface.inputs)
        stage = Stage(self.name, "program.fx", names, program.interface.outputs)
        artifact = Artifact(out, (stage,), options={"threads": self.threads, "spec": self.spec()})
        artifact.write_manifest(program.interface.to_json())
        return artifact

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import torch

        from fxopt.ir.program import Program

        program = Program.load(artifact.path)

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            return self.answer([t.numpy() for t in program.run([torch.from_numpy(np.copy(i)) for i in inputs])])

        return call

    def answer(self, outputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        return outputs


class CrashesAtBuild(Misbehaves):
    name: ClassVar[str] = "crashes_at_build"

    def emit(self, program: Any, out: Path) -> Artifact:
        os.abort()


class CrashesAtRun(Misbehaves):
    name: ClassVar[str] = "crashes_at_run"

    def answer(self, outputs: list[Any]) -> list[Any]:
        os.abort()


class Hangs(Misbehaves):
    name: ClassVar[str] = "hangs"

    def answer(self, outputs: list[Any]) -> list[Any]:
        time.sleep(1000)
        return outputs


class Lies(Misbehaves):
    """Is fast, and wrong by one part in a hundred."""

    name: ClassVar[str] = "lies"

    def answer(self, outputs: list[Any]) -> list[Any]:
        return [output * np.float32(1.01) for output in outputs]


class FasterAlone(Misbehaves):
    """Takes a third of the time on one thread; and has tunings that break it."""

    name: ClassVar[str] = "faster_alone"

    def tunings(self, told: Mapping[str, Any], dtypes: Any) -> Iterator[Mapping[str, Any]]:
        if told["threads"] > 1:
            yield {"threads": 1}
            yield {"spec": "nonsense"}

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        if artifact.options["spec"] == "nonsense":
            raise RuntimeError("cannot run so")
        call, pause = super().load(artifact, stage), 0.003 if artifact.options["threads"] > 1 else 0.001

        def paused(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            time.sleep(pause)
            return call(inputs)

        return paused


class TellsItsProcess(Misbehaves):
    """Gives the number of its process."""

    name: ClassVar[str] = "tells_its_process"

    def answer(self, outputs: list[Any]) -> list[Any]:
        return [np.array([os.getpid()])]


class IsMissing(Misbehaves):
    name: ClassVar[str] = "is_missing"

    @classmethod
    def available(cls) -> str | None:
        return "is_missing: not installed; pip install nothing"
