"""PyTorch's eager kernels: the reference that every other engine is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt_plugins.engines.common import TorchEngine, thread_count, versions

if TYPE_CHECKING:
    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Eager(TorchEngine):
    """Runs the Program node by node."""

    name: ClassVar[str] = "eager"

    @classmethod
    def available(cls) -> str | None:
        return None

    def emit(self, program: Program, out: Path) -> Artifact:
        program.save(out)
        options = {"threads": thread_count(self.threads), "precision": "as written", "versions": versions("torch")}
        return Artifact.write(out, self.name, "program.fx", program.interface, options)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import torch

        from fxopt.ir.program import Program

        torch.set_num_threads(int(artifact.options["threads"]))
        return self.on_arrays(Program.load(artifact.path).run)
