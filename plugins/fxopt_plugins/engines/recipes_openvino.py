"""NNCF's post-training quantization, which is OpenVINO's own."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    import openvino

    from fxopt.ir.program import Program

RECIPES = {"nncf": "nncf.quantize with its default preset, and as a transformer what has attention or a layer norm"}
_SAMPLES = 300  # NNCF's default
_OF_INPUT = re.compile(r"_\d+_\d+(?=/nncf_smooth_quant)")  # ports, behind the name of the node whose output is scaled


def quantize(
    model: openvino.Model, program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]]
) -> openvino.Model:
    """The quantized form of a model in floats.

    Args:
        model: made from `program`.
        program: tells names of inputs and whether it is a transformer.
        samples: batches; those with the first 300 samples are used.

    Raises:
        EngineError: there are no samples, or nothing that it quantizes.
    """
    os.environ.setdefault("NNCF_CI", "1")  # its switch against sending usage statistics
    import nncf

    names = [item.name for item in program.interface.inputs]
    takes = {name for port in model.inputs for name in port.names}
    fed = [
        {name: array for name, array in zip(names, batch, strict=True) if name in takes}
        for batch in _small(program, samples)
    ]
    if not fed:
        raise EngineError("needs samples")
    with quiet("nncf"), contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            model,
            nncf.Dataset(fed),
            subset_size=len(fed),
            model_type=nncf.ModelType.TRANSFORMER if _is_transformer(program) else None,
        )
    if not any(operation.get_type_name() == "FakeQuantize" for operation in quantized.get_ops()):
        raise EngineError("finds nothing in this model to quantize")
    for operation in quantized.get_ops():
        operation.set_friendly_name(_OF_INPUT.sub("", operation.get_friendly_name()))
    return quantized


def _small(program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]]) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The first 300 samples, one by one where the batch is dynamic: NNCF takes means of the ranges of what it is fed."""
    least = {dim.name: dim.min for dim in program.interface.dims}
    single = all(item.shape and least.get(str(item.shape[0]), 2) <= 1 for item in program.interface.inputs)
    count = 0
    for batch in samples:
        size = max((array.shape[0] for array in batch if array.ndim), default=1)
        for row in range(size if single else 1):
            if count >= _SAMPLES:
                return
            yield [array[row : row + 1] for array in batch] if single else list(batch)
            count += 1 if single else size


def _is_transformer(program: Program) -> bool:
    import torch

    aten = torch.ops.aten
    marks = {aten.scaled_dot_product_attention, aten.layer_norm, aten.native_layer_norm}
    return any(getattr(node.target, "overloadpacket", None) in marks for node in program.calls)
