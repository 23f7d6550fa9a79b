"""TorchInductor on a GPU: a `.pt2` of torch.export, which is compiled where it is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, FlatCallable, Stage, Unsupported
from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet
from fxopt_plugins.engines.common import TorchEngine, versions
from fxopt_plugins.engines.cuda import CudaCall, present
from fxopt_plugins.engines.onnx_on_cpu import PRECISIONS, check_precision, half_of_floats

if TYPE_CHECKING:
    from fxopt.ir.program import Program

_PACKAGE = "model.pt2"


@dataclass(frozen=True)
class InductorGpu(TorchEngine):
    """torch.compile at load, with autotuning and CUDA graphs; where there is no GPU it runs uncompiled on the CPU to be checked."""

    name: ClassVar[str] = "inductor_gpu"
    lossy_options: ClassVar[Collection[str]] = ("precision",)

    precision: str = field(
        default="f32", metadata={"help": f"{PRECISIONS}: what float arithmetic is done in; f16 by autocast"}
    )

    def __post_init__(self) -> None:
        check_precision(self.precision)

    @classmethod
    def available(cls) -> str | None:
        if present() and "+cpu" in cls.version():  # else figures of the CPU would pass for the GPU's
            return "inductor_gpu needs a PyTorch for CUDA: pip install torch"
        return None

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        from torch._ops import HigherOrderOperator

        yield from super().unsupported(program)
        for node in program.calls:
            if isinstance(node.target, HigherOrderOperator):
                yield Unsupported(node.name, "torch.export.save cannot write a nested graph")

    def emit(self, program: Program, out: Path) -> Artifact:
        import torch

        try:
            with quiet("torch.export"):
                torch.export.save(program.exported(), str(out / _PACKAGE))
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise EngineError(f"{self.name}: {type(error).__name__}: {lines[0]}") from error
        dtypes = [str(node.meta["val"].dtype).removeprefix("torch.") for node in program.outputs]
        told = {"precision": self.precision, "outputs": dtypes, "versions": versions("torch")}
        return Artifact.write(out, self.name, _PACKAGE, program.interface, told)

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        return half_of_floats(told, dtypes)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import torch
        from torch.export.passes import move_to_device_pass

        if present() and not torch.cuda.is_available():
            raise EngineError(f"{self.name}: there is a GPU here that PyTorch cannot use")
        half = artifact.options["precision"] == "f16"
        dtypes = [getattr(torch, name) for name in artifact.options["outputs"]]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with quiet("torch.export"):
            exported = torch.export.load(str(artifact.path / stage.file))
        module: Any = exported.module()
        if device == "cuda":
            module = torch.compile(move_to_device_pass(exported, device).module(), mode="max-autotune")

        def run(tensors: list[torch.Tensor]) -> Iterable[torch.Tensor]:
            with torch.no_grad(), torch.autocast(device, torch.float16, enabled=half):
                found = module(*tensors)
            return [value.to(dtype) for value, dtype in zip(found, dtypes, strict=True)]

        return CudaCall(run) if device == "cuda" else self.on_arrays(run)
