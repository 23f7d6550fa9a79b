"""What an ONNX model for another device computes, found on the CPU by ONNX Runtime; it tells nothing of how fast it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnxruntime

PRECISIONS = "f32 or f16"


def check_precision(precision: str) -> None:
    """Refuse what is none of `PRECISIONS`."""
    if precision not in ("f32", "f16"):
        raise ValueError(f"precision is {PRECISIONS}, not {precision!r}")


def in_half(file: Path) -> None:
    """Rewrite an ONNX model from float32 to float16, scales of Q and DQ too; inputs and outputs stay as they are.

    Raises:
        EngineError: the weights lie beside the file, which is over 1.5 GB.
    """
    import onnx

    from fxopt_plugins.engines.onnx_export import WEIGHTS

    if (file.parent / WEIGHTS).exists():
        raise EngineError(
            "a model of over 1.5 GB cannot be rewritten in float16: build the engine with --precision f16"
        )
    onnx.save(half(onnx.load(file)), file)


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model in float16, as `in_half`."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return converted


def on_cpu(artifact: Artifact, stage: Stage) -> FlatCallable:
    """A callable as `session_call` gives it, on the CPU.

    Each operator is computed in the dtype that it is written in, those between Q and DQ in floats: sums of products of
    8 bits are exact that way, also on CPUs whose integer kernels saturate.

    Raises:
        EngineError: ONNX Runtime cannot load the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return session_call(artifact, stage, options, ["CPUExecutionProvider"])


def half_of_floats(told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
    """The tunings of engines on a GPU: float16 for what is in floats; threads of the host are of no account."""
    if told["precision"] == "f32" and "float16" in dtypes:
        yield {"precision": "f16"}


def session_call(
    artifact: Artifact, stage: Stage, options: onnxruntime.SessionOptions, providers: Sequence[Any]
) -> FlatCallable:
    """A callable for an artifact whose options say its `precision`, and in which one the file is `written`.

    Raises:
        EngineError: ONNX Runtime cannot load the model.
    """
    import numpy as np
    import onnxruntime as ort

    file = artifact.path / stage.file
    try:
        source: str | bytes = str(file)
        if artifact.options["precision"] != artifact.options["written"]:
            import onnx

            source = half(onnx.load(file)).SerializeToString()
        session = ort.InferenceSession(source, options, providers=providers)
    except Exception as error:
        raise EngineError(f"{stage.engine}: {(str(error).strip().splitlines() or ['no message'])[0]}") from error
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if first not in session.get_providers():  # it falls back by itself, and is slower
        raise EngineError(f"{stage.engine}: {first} did not start")
    session.disable_fallback()
    outputs = list(stage.outputs)

    def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        return [np.asarray(value) for value in session.run(outputs, dict(zip(stage.inputs, inputs, strict=True)))]

    return call
