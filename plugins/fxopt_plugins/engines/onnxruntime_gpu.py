"""ONNX Runtime on an NVIDIA GPU, by its CUDA or its TensorRT execution provider; where there is none, on the CPU to be checked."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.contracts.quantization import QuantScheme
from fxopt.errors import EngineError
from fxopt_plugins.engines.common import OnnxEngine, missing
from fxopt_plugins.engines.cuda import present
from fxopt_plugins.engines.onnx_on_cpu import PRECISIONS, check_precision, half_of_floats, in_half, on_cpu, session_call
from fxopt_plugins.engines.schemes import TENSORRT

if TYPE_CHECKING:
    from fxopt.ir.program import Program

_TENSORRT = "TensorrtExecutionProvider"
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxRuntimeCuda(OnnxEngine):
    """ONNX Runtime with its CUDA kernels, in floats: for integers it has none there."""

    name: ClassVar[str] = "onnxruntime_cuda"
    extra: ClassVar[str | None] = "onnxruntime"
    lossy_options: ClassVar[Collection[str]] = ("precision",)
    providers: ClassVar[tuple[str, ...]] = (_CUDA,)

    precision: str = field(default="f32", metadata={"help": f"{PRECISIONS}: what float arithmetic is done in"})

    def __post_init__(self) -> None:
        check_precision(self.precision)

    @classmethod
    def available(cls) -> str | None:
        if present() and not _version("onnxruntime-gpu"):  # else figures of the CPU would pass for the GPU's
            return f"{cls.name} needs onnxruntime-gpu: pip install onnxruntime-gpu"
        return missing("onnxruntime", "onnxruntime")

    @classmethod
    def version(cls) -> str:
        return _version("onnxruntime-gpu") or _version("onnxruntime") or "unknown"

    def emit(self, program: Program, out: Path) -> Artifact:
        from fxopt_plugins.engines.onnx_export import export_onnx

        file = export_onnx(program, out)
        if self.precision == "f16":
            in_half(file)
        told = {"precision": self.precision, "written": self.precision, "versions": {"onnxruntime": self.version()}}
        return Artifact.write(out, self.name, file.name, program.interface, told)

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        return half_of_floats(told, dtypes)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import onnxruntime as ort

        if self.providers[0] not in ort.get_available_providers():
            if present():
                raise EngineError(f"{self.name}: the ONNX Runtime that is imported has no {self.providers[0]}")
            return on_cpu(artifact, stage)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        return session_call(artifact, stage, options, [*self._configured(), "CPUExecutionProvider"])

    def _configured(self) -> list[tuple[str, dict[str, str]]]:
        """The providers with their options."""
        own = {
            _CUDA: {"cudnn_conv_algo_search": "EXHAUSTIVE", "use_tf32": "0"},
            _TENSORRT: {"trt_int8_enable": "1", "trt_builder_optimization_level": "5"},
        }
        return [(name, own[name]) for name in self.providers]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """ONNX Runtime that hands to TensorRT what TensorRT runs, integers included; it builds the engine when it loads."""

    name: ClassVar[str] = "onnxruntime_tensorrt"
    quant_scheme: ClassVar[QuantScheme | None] = TENSORRT
    providers: ClassVar[tuple[str, ...]] = (_TENSORRT, _CUDA)
