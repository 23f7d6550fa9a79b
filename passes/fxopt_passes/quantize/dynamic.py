"""`int8_dynamic`: linear layers on integers whose activations are quantized as they come."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt.ir.quantized import operators
from fxopt_passes.matching import arguments, without_defaults
from fxopt_passes.quantize.stored import StoredWeights, Weight, weight_of
from fxopt_passes.quantize.weights import absmax_scales

if TYPE_CHECKING:
    from fxopt import Candidate, Edit, View

_ENDS = (0, 255, torch.uint8)
_LEAST_RANGE = 1e-9


@dataclass(frozen=True)
class Int8Dynamic(StoredWeights):
    """Run linear layers on 8-bit integers, with the range of each input measured in each call. Needs no data.

    Weights have one scale an output channel. ONNX Runtime has a kernel (`DynamicQuantizeMatMul`) on any CPU. OpenVINO has
    none and computes in float, so there nothing is offered: `int8_weight` takes the same room and rounds less. Without
    VNNI-like instructions weights have as many bits as a test on the machine found exact.
    """

    name: ClassVar[str] = "int8_dynamic"

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        if not weight.linear:
            return "only linear layers quantize their input as it comes"
        if any(0 in layer.all_input_nodes[0].meta["val"].shape for layer in weight.layers):
            return "its input holds no numbers, so they have no range"
        isa = view.capabilities.isa if view.capabilities else ()
        if view.scheme is not None and not view.scheme.runs(self.name, isa):
            return "the engine has no kernel that quantizes its input as it comes: int8_weight takes the same room"
        if view.scheme is not None and not view.scheme.weight_bits:
            return "integer sums of this engine are wrong on this machine"
        return {"kind": self.name, "bits": view.scheme.weight_bits[0] if view.scheme else 8}

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        return weight.value.numel() + weight.value.shape[0] * 4

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        high = 2 ** (candidate.parameters["bits"] - 1) - 1
        scales = absmax_scales(weight.value.float(), high)
        integers = (weight.value.float() / scales[:, None]).round().clamp(-high, high).to(torch.int8)
        stored, step = edit.constant(integers, "int8"), edit.constant(scales.to(weight.value.dtype), "scale")
        numbers = (stored, step, None, 0, -high, high, torch.int8)
        return edit.call(operators().dequantize_per_channel.default, numbers, {"out_dtype": weight.value.dtype})

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        weight = weight_of(edit, candidate)
        floats = self.unpack(edit, weight, candidate)
        for layer in weight.layers:
            call = arguments(layer)
            call |= {"input": _as_it_comes(edit, call["input"]), "weight": floats}
            edit.replace(layer, edit.call(layer.target, without_defaults(layer, call)))


def _as_it_comes(edit: Edit, value: Node) -> Node:
    """A value through 8 bits whose scale and zero-point are those of its own range."""
    qd = operators()
    measured = edit.call(qd.choose_qparams.tensor, (value, *_ENDS[:2], _LEAST_RANGE, _ENDS[2]))
    scale, zero = (edit.call(operator.getitem, (measured, index)) for index in (0, 1))
    rounded = edit.call(qd.quantize_per_tensor.tensor, (value, scale, zero, *_ENDS))
    dtype = value.meta["val"].dtype
    return edit.call(qd.dequantize_per_tensor.tensor, (rounded, scale, zero, *_ENDS), {"out_dtype": dtype})
