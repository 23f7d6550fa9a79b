"""ONNX Runtime's own quantizer (`onnxruntime.quantization`), as it comes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    import onnx

RECIPES = {
    "static_u8s8": "quantize_static: activations unsigned, by their min and max, weights signed, a scale a channel",
    "static_u8s8_reduced": "the same with weights of 7 bits, for CPUs whose sums of 8 bits saturate",
    "static_s8s8": "quantize_static: activations and weights signed, its defaults",
    "dynamic": "quantize_dynamic: linear layers, activations by their range in each call; needs no data",
}
_EXTERNAL_BYTES = 1_500_000_000  # protobuf's limit is 2 GiB

# What calibration found last, by model and samples: recipes that a process makes one after the other share it.
_ranges: dict[str, bytes] = {}


def quantize(
    recipe: str,
    source: Path,
    inputs: Sequence[str],
    samples: Iterable[Sequence[np.ndarray[Any, Any]]],
    target: Path,
    scratch: Path,
) -> None:
    """Write the quantized form of an ONNX model in floats.

    Args:
        recipe: one of `RECIPES`.
        source: the model.
        inputs: names of its inputs, in the order of `samples`.
        samples: batches; all are used. `dynamic` looks at none.
        target: the file to write.
        scratch: a folder for files on the way.

    Raises:
        EngineError: there are no samples, or nothing that it quantizes.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    large = source.stat().st_size > _EXTERNAL_BYTES or any(source.parent.glob("*.data"))
    prepared = scratch / "prepared.onnx"
    with quiet("root"):
        quant_pre_process(source, prepared, auto_merge=True, save_as_external_data=large)
        common = {"per_channel": True, "use_external_data_format": large}
        if recipe == "dynamic":
            # It has no kernel for convolutions with signed weights, and slow ones for the others.
            quantization.quantize_dynamic(prepared, target, op_types_to_quantize=["MatMul", "Gemm"], **common)
        else:
            options = common | {
                "reduce_range": recipe.endswith("reduced"),
                "activation_type": getattr(quantization.QuantType, "QInt8" if "s8s8" in recipe else "QUInt8"),
            }
            _quantize_static(prepared, target, inputs, samples, scratch / "ranges.json", options)
    model = onnx.load(target, load_external_data=False)
    if not any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in model.graph.node):
        raise EngineError("finds nothing in this model to quantize")
    _name_nodes(model, onnx.load(prepared, load_external_data=False))
    onnx.save(model, target)


def _quantize_static(
    prepared: Path,
    target: Path,
    inputs: Sequence[str],
    samples: Iterable[Sequence[np.ndarray[Any, Any]]],
    ranges: Path,
    options: dict[str, Any],
) -> None:
    from onnxruntime.quantization import quantize_static

    newer = "calibration_cache_path" in inspect.signature(quantize_static).parameters
    if not newer or options["use_external_data_format"]:
        quantize_static(prepared, target, _reader(inputs, samples), **options)
        return
    key = _digest(prepared, samples)
    if key in _ranges:
        ranges.write_bytes(_ranges[key])
    try:
        quantize_static(prepared, target, _reader(inputs, samples), calibration_cache_path=ranges, **options)
    finally:  # what was found serves the next recipe, whatever this one fails at
        if ranges.exists():
            _ranges.clear()
            _ranges[key] = ranges.read_bytes()


def _digest(model: Path, samples: Iterable[Sequence[np.ndarray[Any, Any]]]) -> str:
    found = hashlib.blake2b(model.read_bytes())
    for batch in samples:
        for array in batch:
            found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def _reader(inputs: Sequence[str], samples: Iterable[Sequence[np.ndarray[Any, Any]]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else dict(zip(inputs, batch, strict=True))

    return Reader()


def _name_nodes(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Name what the tool has added after the Program's node that it computes, if any, else after its operator."""
    known = sorted((node.name for node in source.graph.node), key=len, reverse=True)
    own, counts = set(known), dict[str, int]()
    for node in model.graph.node:
        if node.name in own:
            continue
        base = node.op_type
        if "Quantize" not in base and "Dequantize" not in base:
            base = next((f"{name}/{base}" for name in known if node.name.startswith(f"{name}_")), base)
        count = counts[base] = counts.get(base, -1) + 1
        node.name = f"{base}/{count}"
