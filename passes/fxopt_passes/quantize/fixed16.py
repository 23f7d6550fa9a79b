"""`fixed16`: weights of 16-bit fixed point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt.ir.quantized import operators
from fxopt_passes.quantize.stored import StoredWeights, Weight

if TYPE_CHECKING:
    from fxopt import Candidate, Edit, View

LOW, HIGH = -(2**15), 2**15 - 1
_FINEST = -126  # a scale below the least normal float32 is none


@dataclass(frozen=True)
class Fixed16(StoredWeights):
    """Store weights as 16-bit fixed point: integers of 16 bits times one power of two a tensor. For size only.

    No engine on CPUs has kernels for them; they are made floats when the model is loaded. It is the form that
    microcontrollers and FPGAs take. The power is the least that holds the largest weight.
    """

    name: ClassVar[str] = "fixed16"

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        return {"kind": self.name}

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        return weight.value.numel() * 2

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        scale = 2.0 ** exponent(weight.value)
        integers = (weight.value.double() / scale).round().clamp(LOW, HIGH).to(torch.int16)
        stored = edit.constant(integers, self.name)
        return edit.call(
            operators().dequantize_per_tensor.default,
            (stored, scale, 0, LOW, HIGH, torch.int16),
            {"out_dtype": weight.value.dtype},
        )


def exponent(weight: torch.Tensor) -> int:
    """The least exponent of 2 with which 16 bits hold the largest weight; -126 at least."""
    largest = float(weight.float().abs().max())
    return max(_FINEST, math.ceil(math.log2(largest / HIGH))) if largest else 0
