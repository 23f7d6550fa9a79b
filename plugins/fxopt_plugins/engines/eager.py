"""PyTorch's eager kernels: the reference that every other engine is compared with."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, Engine, FlatCallable, Stage, Unsupported
from fxopt_plugins.engines.common import thread_count, versions, without_numpy

if TYPE_CHECKING:
    import numpy as np

    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Eager(Engine):
    """Runs the Program node by node."""

    name: ClassVar[str] = "eager"

    @classmethod
    def available(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version("torch")

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        return without_numpy(program)

    def emit(self, program: Program, out: Path) -> Artifact:
        program.save(out)
        interface = program.interface
        stage = Stage(self.name, "program.fx", tuple(item.name for item in interface.inputs), interface.outputs)
        options = {"threads": thread_count(self.threads), "precision": "as written", "versions": versions("torch")}
        artifact = Artifact(out, (stage,), options=options)
        artifact.write_manifest(interface.to_json())
        return artifact

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import numpy as np
        import torch

        from fxopt.ir.program import Program

        program = Program.load(artifact.path)
        torch.set_num_threads(int(artifact.options["threads"]))

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            tensors = [torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in inputs]
            return [value.detach().contiguous().numpy() for value in program.run(tensors)]

        return call
