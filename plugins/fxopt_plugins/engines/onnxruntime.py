"""ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact, EngineGraph, FlatCallable, Kernel, Stage
from fxopt.contracts.memory import MemoryUse
from fxopt.contracts.quantization import QuantScheme
from fxopt.errors import EngineError
from fxopt_plugins.engines.common import OnnxEngine, profiled_calls, typical
from fxopt_plugins.engines.huffman import pack, unpacked
from fxopt_plugins.engines.memory_onnxruntime import MEMORY
from fxopt_plugins.engines.onnxruntime_profiler import added_ms, node_times, read_events
from fxopt_plugins.engines.recipes_onnxruntime import RECIPES, quantize
from fxopt_plugins.engines.schemes import ONNX_RUNTIME

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

    from fxopt.ir.program import Program


@dataclass(frozen=True)
class OnnxRuntime(OnnxEngine):
    """ONNX Runtime with all its graph optimizations, from an ONNX model that runs on any machine."""

    name: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str | None] = "onnxruntime"
    quant_scheme: ClassVar[QuantScheme | None] = ONNX_RUNTIME
    recipes: ClassVar[Mapping[str, str]] = RECIPES
    remedies: ClassVar[Collection[str]] = ("static_u8s8_reduced",)
    memory: ClassVar[MemoryUse] = MEMORY

    spinning: bool = field(default=True, metadata={"help": "let idle threads spin during a call, which lowers latency"})
    dynamic_quantization: bool = field(
        default=False, metadata={"help": "let it quantize what meets integer weights as it comes; lossy"}
    )
    huffman: bool = field(default=False, metadata={"help": "store the model Huffman-coded; it is unpacked at load"})

    def emit(self, program: Program, out: Path) -> Artifact:
        from fxopt_plugins.engines.onnx_export import export_onnx

        file = export_onnx(program, out, onnxruntime=True)
        float_weights = not self.dynamic_quantization and _is_faster_in_float(program)
        return self._written(program, file, float_weights=float_weights)

    def quantize(
        self, recipe: str, program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]], out: Path
    ) -> Artifact:
        from fxopt_plugins.engines.onnx_export import export_onnx

        inputs = [item.name for item in program.interface.inputs]
        with self.by_recipe(recipe, program, out) as scratch:
            file = export_onnx(program, scratch)
            quantize(recipe, file, inputs, samples, out / file.name, scratch)
        return self._written(program, out / file.name, recipe=recipe)

    def _written(self, program: Program, file: Path, **options: Any) -> Artifact:
        told = self.told(
            spinning=self.spinning,
            precision="as written",
            dynamic_quantization=self.dynamic_quantization,
            **options,
        )
        if self.huffman:
            _pack(file)
        return Artifact.write(file.parent, self.name, file.name, program.interface, told)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import numpy as np

        session = _session(artifact, stage, _options(artifact))
        outputs = list(stage.outputs)

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            return [np.asarray(value) for value in session.run(outputs, dict(zip(stage.inputs, inputs, strict=True)))]

        return call

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        with tempfile.TemporaryDirectory() as folder:
            options = _showing_its_graph(artifact, Path(folder))
            _session(artifact, artifact.stages[0], options)
            return self._graph(artifact, options)

    def _graph(self, artifact: Artifact, options: onnxruntime.SessionOptions) -> EngineGraph:
        """What a session has written that was made under options that show its graph."""
        import onnx

        from fxopt_plugins.engines.onnx_dtypes import dtypes
        from fxopt_plugins.engines.onnx_graph import covers, kind, signature

        stage = artifact.stages[0]
        optimized = onnx.load(options.optimized_model_filepath, load_external_data=False)
        content = unpacked(artifact.path / stage.file)
        source = (
            onnx.load(artifact.path / stage.file, load_external_data=False)
            if content is None
            else onnx.load_model_from_string(content)
        )
        covered = covers(source.graph, optimized.graph)
        computes = dtypes(optimized.graph)
        kernels = tuple(
            Kernel(node.name, kind(node), covered[index], dtype=computes[index])
            for index, node in enumerate(optimized.graph.node)
        )
        return EngineGraph(kernels, signature(optimized.graph))

    def peak_bytes(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> int | None:
        stage = artifact.stages[0]
        with tempfile.TemporaryDirectory() as folder:
            options = _options(artifact)
            options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
            options.enable_mem_pattern = False  # it would take the whole of the last call at once
            session = _session(artifact, stage, options)
            session.run(None, dict(zip(stage.inputs, inputs, strict=True)))
            return _peak_bytes(read_events(Path(session.end_profiling())))

    def profile(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        stage = artifact.stages[0]
        with tempfile.TemporaryDirectory() as folder:
            # From one session to the next kernels that convert layouts have other names, and stand at other places.
            options = _showing_its_graph(artifact, Path(folder))
            options.enable_profiling = True
            options.profile_file_prefix = f"{folder}/profile"
            session = _session(artifact, stage, options)
            values = dict(zip(stage.inputs, inputs, strict=True))
            made, counted = profiled_calls(lambda: session.run(None, values), int(artifact.options["threads"]))
            events = read_events(Path(session.end_profiling()))
            graph = self._graph(artifact, options)
        added = _added_ms(options.intra_op_num_threads, bool(artifact.options["spinning"]))
        found = {name: _a_call(each, made, counted) for name, each in node_times(events, added).items()}
        return tuple(replace(k, milliseconds=found.get(k.name, 0.0)) for k in graph.kernels)


def _peak_bytes(events: Sequence[Mapping[str, Any]]) -> int | None:
    """Most bytes that kernels have asked of the arena for, beyond what it holds before the first runs; None if it does not tell."""
    told = [event["args"] for event in events if "mem_bytes_requested_in_use" in event.get("args", ())]
    if not told:
        return None
    before = int(told[0]["mem_bytes_requested_in_use"]) - int(told[0]["mem_requested_in_use_delta"])
    return max(int(event["mem_bytes_requested_in_use"]) for event in told) - before


def _a_call(times: Sequence[float], made: int, counted: Sequence[int]) -> float:
    """What a node takes in those calls of all made that count. One in a loop or a branch may run in none, or in turns."""
    runs, odd = divmod(len(times), made)
    if odd or not runs:
        return sum(times) / made
    return typical([sum(times[call * runs : (call + 1) * runs]) for call in counted])


def _pack(file: Path) -> None:
    from fxopt_plugins.engines.onnx_export import WEIGHTS

    if (file.parent / WEIGHTS).exists():  # ONNX Runtime finds them beside a file alone
        raise EngineError("onnxruntime: a model of over 1.5 GB keeps its weights apart, and is not Huffman-coded")
    pack(file)


def _is_faster_in_float(program: Program) -> bool:
    """Whether nothing is run on integers, weights of 8 bits are only stored: on float activations it has no kernel for them."""
    from fxopt.ir.quantized import bounds, is_dequantize, is_quantize

    widths = [high - low for low, high in map(bounds, filter(is_dequantize, program.calls))]
    return bool(widths) and min(widths) >= 16 and not any(map(is_quantize, program.calls))


def _options(artifact: Artifact) -> onnxruntime.SessionOptions:
    import onnxruntime as ort

    options = _in_threads(int(artifact.options["threads"]), bool(artifact.options["spinning"]))
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    level = "4" if artifact.options.get("dynamic_quantization") else "1"  # 1: in float32, 4: in int8
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", level)
    # Without its rules for Q and DQ it folds weights into floats when it loads them, which it leaves to each call else.
    options.add_session_config_entry(
        "session.disable_quant_qdq", str(int(artifact.options.get("float_weights", False)))
    )
    return options


def _in_threads(threads: int, spinning: bool) -> onnxruntime.SessionOptions:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else idle threads spin between calls
    return options


@cache
def _added_ms(threads: int, spinning: bool) -> float:
    """What the profiler adds to a node in this process."""
    return added_ms(partial(_in_threads, threads, spinning))


def _showing_its_graph(artifact: Artifact, folder: Path) -> onnxruntime.SessionOptions:
    """Options under which a session writes the graph that it runs to a folder."""
    options = _options(artifact)
    options.optimized_model_filepath = f"{folder}/optimized.onnx"
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    return options


def _session(artifact: Artifact, stage: Stage, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    import onnxruntime as ort

    try:
        file = artifact.path / stage.file
        return ort.InferenceSession(unpacked(file) or file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(f"onnxruntime: {(str(error).strip().splitlines() or ['no message'])[0]}") from error
