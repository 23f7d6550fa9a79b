"""Engines that misbehave, each in one way, and one that does not. Their artifact is a manifest alone."""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fxopt.contracts.engine import Artifact, Engine, EngineGraph, FlatCallable, Kernel, Stage, Unsupported, signature_of
from fxopt.errors import InputError


def artifact(folder: Path, stages: int = 1) -> Path:
    """An artifact of identity stages."""
    folder.mkdir(parents=True)
    chain = tuple(Stage("honest", "none", (f"v{i}",), (f"v{i + 1}",)) for i in range(stages))
    Artifact(folder, chain).write_manifest({})
    return folder


@dataclass(frozen=True)
class Honest(Engine):
    """Adds one, after `work` multiplications of 64x64 matrices."""

    name: ClassVar[str] = "honest"

    work: int = 10

    @classmethod
    def available(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        return "1"

    def unsupported(self, program: Any) -> Iterable[Unsupported]:
        return [Unsupported("x", "as a test")]

    def emit(self, program: Any, out: Path) -> Artifact:
        (out / "file").write_text("x")
        Artifact(out, (Stage("honest", "file", ("x",), ("y",)),)).write_manifest({})
        return Artifact.read(out)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        matrix = np.full((64, 64), 1 / 64, np.float32)

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            for _ in range(self.work):
                matrix @ matrix
            return self.answer(inputs)

        return call

    def answer(self, inputs: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        return [array + 1 for array in inputs]

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        return EngineGraph((Kernel("k", "Add", ("add",)),), signature_of(["Add"]))

    def profile(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        return (Kernel("k", "Add", ("add",), 0.5),)


class HasAClock(Honest):
    """Its device tells what a call takes: as many ns as the call has numbers."""

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        call: Any = super().load(artifact, stage)
        call.timer = lambda inputs, calls: np.full(calls, inputs[0].size, np.int64)
        return call


class Segfaults(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        ctypes.string_at(0)
        return []


class Hangs(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        time.sleep(1000)
        return []


class HangsHoldingTheGil(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        ctypes.PyDLL(None).sleep(1000)
        return []


class Prints(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        print("garbage on stdout", flush=True)
        os.write(1, b'{"arrays": 3}\n')
        return super().answer(inputs)


class ReadsStdin(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        assert os.read(0, 10) == b""
        return super().answer(inputs)


class Allocates(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        hoard = []
        while True:
            hoard.append(np.ones(1 << 22))
            time.sleep(0.005)


class AllocatesInAChild(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        if os.fork() == 0:
            Allocates().answer(inputs)
        time.sleep(1000)
        return []


class Raises(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        raise ValueError("first line\nno kernel for Foo")


class Refuses(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        raise InputError("give it float32")


class Exits(Honest):
    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        os.write(2, b"license expired\n")
        os._exit(3)


class ReturnsNothing(Honest):
    def answer(self, inputs: Sequence[Any]) -> Any:
        return None


class ReturnsObjects(Honest):
    def answer(self, inputs: Sequence[Any]) -> Any:
        return [np.array([object()])]


class IsFickle(Honest):
    """Gives other outputs in each process."""

    offset: ClassVar[float] = random.random()

    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        return [array * self.offset for array in inputs]


class CrashesLater(Honest):
    """Loads and warms up, then dies after some calls."""

    calls: ClassVar[list[int]] = []

    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        self.calls.append(1)
        if len(self.calls) > 2500:
            os.abort()
        return super().answer(inputs)


class FailsToEmit(Honest):
    def emit(self, program: Any, out: Path) -> Artifact:
        (out / "half").write_text("x")
        raise RuntimeError("out of ideas")


class EmitsNoManifest(Honest):
    def emit(self, program: Any, out: Path) -> Artifact:
        return Artifact(out, ())
