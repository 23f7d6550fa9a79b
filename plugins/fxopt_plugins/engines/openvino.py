"""OpenVINO on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, EngineGraph, FlatCallable, Kernel, Stage, signature_of
from fxopt.contracts.quantization import QuantScheme
from fxopt.errors import EngineError
from fxopt_plugins.engines.common import OnnxEngine, missing, profiled_calls, typical
from fxopt_plugins.engines.huffman import pack, unpacked
from fxopt_plugins.engines.onnx_graph import covered_nodes
from fxopt_plugins.engines.recipes_openvino import RECIPES, quantize
from fxopt_plugins.engines.schemes import BFLOAT16, OPENVINO

if TYPE_CHECKING:
    import numpy as np
    import openvino

    from fxopt.ir.program import Program

_IR = "model.xml"
_GROUP = 32  # values that share a scale where activations are quantized as they come: OpenVINO's own choice
_DISSOLVE = ("Add", "Subtract", "Multiply", "Divide", "Constant", "Reshape")
_LINEAR = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul")

_LINEAR_LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_MOVES = frozenset(
    (
        "Broadcast",
        "Concatenation",
        "Convert",
        "FakeQuantize",
        "Gather",
        "Pad",
        "Reorder",
        "Reshape",
        "ShapeOf",
        "Split",
        "StridedSlice",
        "Tile",
        "Transpose",
    )
)
_DTYPES = {"f": "float", "bf": "bfloat", "i": "int", "u": "uint"}


@dataclass(frozen=True)
class OpenVino(OnnxEngine):
    """OpenVINO from its own IR. In f32 unless told otherwise: its own choice, bf16 where the CPU has it, is lossy."""

    name: ClassVar[str] = "openvino"
    extra: ClassVar[str | None] = "openvino"
    quant_scheme: ClassVar[QuantScheme | None] = OPENVINO
    bfloat16_ops: ClassVar[frozenset[str]] = BFLOAT16
    recipes: ClassVar[Mapping[str, str]] = RECIPES
    lossy_options: ClassVar[Collection[str]] = ("precision", "dynamic_quantization")

    precision: str = field(default="f32", metadata={"help": "f32, bf16 or f16: what float arithmetic may be done in"})
    pinning: bool = field(default=False, metadata={"help": "bind threads to cores; disturbs other processes"})

    dynamic_quantization: bool = field(
        default=False, metadata={"help": "let it quantize what meets integer weights as it comes; lossy"}
    )
    huffman: bool = field(default=False, metadata={"help": "store weights Huffman-coded; they are unpacked at load"})

    def __post_init__(self) -> None:
        if self.precision not in ("f32", "bf16", "f16"):
            raise ValueError(f"precision is f32, bf16 or f16, not {self.precision!r}")

    @classmethod
    def recipe_available(cls, recipe: str) -> str | None:
        return super().recipe_available(recipe) or missing("nncf", "nncf")

    def emit(self, program: Program, out: Path) -> Artifact:
        with tempfile.TemporaryDirectory() as folder:
            return self._written(program, _model(program, Path(folder)), out)

    def quantize(
        self, recipe: str, program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]], out: Path
    ) -> Artifact:
        with self.by_recipe(recipe, program, out) as scratch:
            quantized = quantize(_model(program, scratch), program, samples)
            return self._written(program, quantized, out, "nncf", recipe=recipe)

    def _written(self, program: Program, model: openvino.Model, out: Path, *packages: str, **options: Any) -> Artifact:
        import openvino as ov

        ov.save_model(model, out / _IR, compress_to_fp16=False)
        if self.huffman:
            pack((out / _IR).with_suffix(".bin"))
        told = self.told(
            *packages,
            precision=self.precision,
            pinning=self.pinning,
            dynamic_quantization=self.dynamic_quantization,
            **options,
        )
        return Artifact.write(out, self.name, _IR, program.interface, told)

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        """One thread; and bf16 for what is in floats, where the CPU has it."""
        yield from super().tunings(told, dtypes)
        if told["precision"] == "f32" and "bfloat16" in dtypes:
            yield {"precision": "bf16"}

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import numpy as np

        compiled = _compile(artifact, stage)
        request = compiled.create_infer_request()
        ports = {name: index for index, port in enumerate(compiled.outputs) for name in port.names}
        takes = {name for port in compiled.inputs for name in port.names}
        order = [ports[name] for name in stage.outputs]

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            fed = zip(stage.inputs, inputs, strict=True)
            arrays = {name: np.require(array, requirements="C") for name, array in fed if name in takes}
            request.infer(arrays, share_inputs=True)
            # The request's memory is used again by the next call.
            return [request.get_output_tensor(index).data.copy() for index in order]

        return call

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        compiled = _compile(artifact, artifact.stages[0])
        return _graph(artifact, compiled, {})

    def profile(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        stage = artifact.stages[0]
        compiled = _compile(artifact, stage, PERF_COUNT=True)
        takes = {name for port in compiled.inputs for name in port.names}
        request = compiled.create_infer_request()
        values = {name: v for name, v in zip(stage.inputs, inputs, strict=True) if name in takes}
        calls: list[dict[str, float]] = []

        def call() -> None:
            request.infer(values, share_inputs=True)
            times: dict[str, float] = {}
            for entry in request.profiling_info:
                milliseconds = entry.real_time.total_seconds() * 1000
                times[entry.node_name] = times.get(entry.node_name, 0.0) + milliseconds
            calls.append(times)

        _, counted = profiled_calls(call, int(artifact.options["threads"]))
        times = {name: typical([calls[index].get(name, 0.0) for index in counted]) for name in calls[-1]}
        return _graph(artifact, compiled, times).kernels


def _model(program: Program, folder: Path) -> openvino.Model:
    """A Program as OpenVINO reads it, by way of a file in the folder that must outlive it."""
    import openvino as ov

    from fxopt_plugins.engines.onnx_export import export_onnx

    file = export_onnx(program, folder)
    try:
        model = ov.Core().read_model(file)
    except RuntimeError as error:
        raise EngineError(f"openvino: {_cause(error)}") from error
    _name_operations(model, program)
    return model


def _name_operations(model: openvino.Model, program: Program) -> None:
    """Name operations so that OpenVINO's copies of them tell what they are copies of.

    It names what makes an output after the output, and a copy of `q` `q_1`, which is the Program's name of another call; a copy
    of `q/0` is `q/0_1`.
    """
    for operation in model.get_ops():
        name = operation.get_friendly_name()
        if operation.get_type_name() not in ("Parameter", "Constant", "Result") and "/" not in name:
            operation.set_friendly_name(f"{name}/0")
    for index, (result, node) in enumerate(zip(model.get_results(), program.outputs, strict=True)):
        maker = result.input_value(0).get_node()
        if maker.get_friendly_name() not in (node.name, f"{node.name}/0"):
            maker.set_friendly_name(f"{node.name}/out{index}")


def _stored(artifact: Artifact, stage: Stage) -> openvino.Model:
    """The model of an artifact."""
    import openvino as ov

    file = artifact.path / stage.file
    weights = unpacked(file.with_suffix(".bin"))
    if weights is None:
        return ov.Core().read_model(file)
    return ov.Core().read_model(file.read_bytes(), weights)


def _compile(artifact: Artifact, stage: Stage, **more: Any) -> openvino.CompiledModel:
    import openvino as ov

    options = artifact.options
    config = {
        "INFERENCE_PRECISION_HINT": options["precision"],
        "INFERENCE_NUM_THREADS": int(options["threads"]),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": bool(options["pinning"]),
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if options.get("dynamic_quantization") else 0,
        **more,
    }
    try:
        return ov.Core().compile_model(_stored(artifact, stage), "CPU", config)
    except RuntimeError as error:
        raise EngineError(f"openvino: {_cause(error)}") from error


def _graph(artifact: Artifact, compiled: openvino.CompiledModel, milliseconds: dict[str, float]) -> EngineGraph:
    """Kernels and signature of the graph that OpenVINO runs."""
    model = _stored(artifact, artifact.stages[0])
    source = {operation.get_friendly_name(): operation for operation in model.get_ops()}
    known: dict[tuple[str, int], str] = {}
    constant: set[str] = set()
    kernels, digests, outputs = [], [], []
    for operation in compiled.get_runtime_model().get_ordered_ops():
        info = {key: str(entry.value) for key, entry in operation.get_rt_info().items()}
        layer, primitive, name = info["layerType"], info.get("primitiveType", ""), operation.get_name()
        before = operation.input_values()
        types = [(str(o.get_element_type()), str(o.get_partial_shape())) for o in operation.outputs()]
        if layer == "Const" or (before and all(value.get_node().get_name() in constant for value in before)):
            constant.add(name)  # computed once, when the model is compiled
            known |= {(name, index): f"constant {types[index]}" for index in range(len(types))}
            continue
        merged = [part for part in info.get("originalLayersNames", "").split(",") if part]
        inputs = [known[value.get_node().get_name(), value.get_index()] for value in before]
        fused = _fused([source[part] for part in merged if part in source], layer)
        runs = (layer, primitive, info.get("runtimePrecision"), info.get("outputLayouts"))
        digest = signature_of([*runs, types, inputs, fused])
        known |= {(name, index): f"{digest} {index}" for index in range(len(types))}
        digests.append(digest)
        if layer == "Output":
            outputs.append(digest)
        elif layer != "Input":
            covered = tuple(dict.fromkeys(node for part in merged for node in covered_nodes(part)))
            friendly = operation.get_friendly_name()
            time = milliseconds.get(friendly)
            read = [v for v in before if v.get_node().get_name() not in constant]
            dtype = None if layer in _MOVES else _dtype(layer, read, before, artifact.options)
            kernels.append(Kernel(friendly, f"{layer} {primitive}".strip(), covered, time, dtype))
    return EngineGraph(tuple(kernels), signature_of([*sorted(digests), "->", *outputs]))


def _dtype(
    layer: str, read: Sequence[openvino.Output], inputs: Sequence[openvino.Output], options: Mapping[str, Any]
) -> str | None:
    """What a kernel computes with: a linear one with its first input's dtype, others with floats as soon as they read some.

    Where OpenVINO may quantize a linear kernel's input by itself, nothing tells whether it does.
    """
    types = [value.get_element_type().get_type_name() for value in (inputs[:2] if layer in _LINEAR_LAYERS else read)]
    if layer == "FullyConnected" and options.get("dynamic_quantization") and types[0][0] != types[1][0]:
        return None
    found = types[0] if layer in _LINEAR_LAYERS else next((name for name in types if "f" in name), types[0])
    letters = found.rstrip("0123456789")
    return _DTYPES.get(letters, letters) + found.removeprefix(letters)


def _kind(operation: openvino.Node) -> str:
    attributes = {key: value for key, value in operation.get_attributes().items() if key != "shape"}
    return f"{operation.get_type_name()} {sorted(attributes.items())}"


def _fused(operations: Sequence[openvino.Node], layer: str) -> list[str]:
    """What the operators merged into a kernel say about how it runs.

    Those that scale and shift a linear kernel's result before anything else is done to it dissolve in its weights and
    bias and say nothing; after an activation they are work of their own.
    """
    told = []
    linear = layer in _LINEAR_LAYERS
    for operation in operations:
        kind = operation.get_type_name()
        if linear and kind in _DISSOLVE:
            continue
        linear = linear and kind in _LINEAR
        told.append(_kind(operation))
    return sorted(told)


def _cause(error: BaseException) -> str:
    """The line of OpenVINO's message that tells: the last one that is not a source location."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Exception from", "Check '")) or len(lines) == 1]
    return lines[-1] if lines else type(error).__name__
