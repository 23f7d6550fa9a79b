"""TensorRT: an ONNX model and a script that builds the engine from it on the machine with the GPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.contracts.quantization import QuantScheme
from fxopt_plugins.engines.common import OnnxEngine, missing
from fxopt_plugins.engines.cuda import present
from fxopt_plugins.engines.onnx_on_cpu import PRECISIONS, check_precision, half_of_floats, in_half, on_cpu
from fxopt_plugins.engines.schemes import TENSORRT

if TYPE_CHECKING:
    from fxopt.ir.program import Program

SCRIPT = "build_engine.py"


@dataclass(frozen=True)
class TensorRt(OnnxEngine):
    """TensorRT, which builds its engine on the GPU that runs it: an artifact is ONNX with `build_engine.py` beside it.

    Here an artifact runs on the CPU by ONNX Runtime, which tells what it computes and not how fast: integers between Q and
    DQ are computed in floats, which hold their sums as TensorRT's 32 bits do.
    """

    name: ClassVar[str] = "tensorrt"
    extra: ClassVar[str | None] = "onnxruntime"
    quant_scheme: ClassVar[QuantScheme | None] = TENSORRT
    lossy_options: ClassVar[Collection[str]] = ("precision",)

    precision: str = field(default="f32", metadata={"help": f"{PRECISIONS}: what float arithmetic is done in"})

    def __post_init__(self) -> None:
        check_precision(self.precision)

    @classmethod
    def available(cls) -> str | None:
        if (
            present() and importlib.util.find_spec("tensorrt") is None
        ):  # else figures of the CPU would pass for the GPU's
            return "tensorrt is not installed: pip install tensorrt"
        return missing("onnxruntime", "onnxruntime")

    @classmethod
    def version(cls) -> str:
        try:
            return importlib.metadata.version("tensorrt")
        except importlib.metadata.PackageNotFoundError:
            return f"not here; checked by ONNX Runtime {importlib.metadata.version('onnxruntime')}"

    def emit(self, program: Program, out: Path) -> Artifact:
        from fxopt_plugins.engines import tensorrt_build
        from fxopt_plugins.engines.onnx_export import export_onnx

        file = export_onnx(program, out)
        if self.precision == "f16":
            in_half(file)
        shutil.copyfile(tensorrt_build.__file__, out / SCRIPT)
        told = {"precision": self.precision, "written": self.precision, "versions": {"tensorrt": self.version()}}
        return Artifact.write(out, self.name, file.name, program.interface, told)

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        return half_of_floats(told, dtypes)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        if present() and importlib.util.find_spec("tensorrt") is not None:
            from fxopt_plugins.engines.tensorrt_runtime import on_gpu

            return on_gpu(artifact, stage)
        return on_cpu(artifact, stage)
