"""`bf16` and `fp16`: weights of 16 bits, and layers that compute in them where the engine does."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt_passes.fusion.linear_maps import TARGETS
from fxopt_passes.matching import arguments, is_call, without_defaults
from fxopt_passes.quantize.stored import StoredWeights, Weight, weight_of

if TYPE_CHECKING:
    from fxopt import Candidate, Edit, View

aten = torch.ops.aten


@dataclass(frozen=True)
class _Half(StoredWeights):
    """Weights in a float dtype of 16 bits with a cast behind; computed in it where `computes` says so."""

    dtype: ClassVar[torch.dtype]

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        if float(weight.value.abs().max()) > torch.finfo(self.dtype).max:
            return f"its weight goes beyond {torch.finfo(self.dtype).max:g}"
        return {"kind": self.name, "computes": self.computes(weight, view)}

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        return weight.value.numel() * 2

    @abc.abstractmethod
    def computes(self, weight: Weight, view: View) -> bool:
        """Whether the engine computes the weight's layers in the dtype."""

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        return _cast(edit, edit.constant(weight.value.to(self.dtype), self.name), weight.value.dtype)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        if not candidate.parameters["computes"]:
            return super().apply(edit, candidate)
        weight = weight_of(edit, candidate)
        narrow = edit.constant(weight.value.to(self.dtype), self.name)
        for layer in weight.layers:
            call = arguments(layer)
            call |= {"input": _cast(edit, call["input"], self.dtype), "weight": narrow}
            if isinstance(call["bias"], Node):
                call["bias"] = _cast(edit, call["bias"], self.dtype)
            made = edit.call(layer.target, without_defaults(layer, call))
            edit.replace(layer, _cast(edit, made, weight.value.dtype))
        return None


@dataclass(frozen=True)
class Bfloat16(_Half):
    """Store weights in bfloat16, and compute linear layers and convolutions in it where the engine does.

    OpenVINO does on CPUs with bfloat16 arithmetic (`avx512_bf16`, `amx_bf16`): a layer whose input, weight and bias are
    cast runs in a kernel of that dtype though all else is computed in float32. Everywhere else, with ONNX Runtime and
    TorchInductor always, it is for size only: the cast is folded when the model is loaded.
    """

    name: ClassVar[str] = "bf16"
    dtype: ClassVar[torch.dtype] = torch.bfloat16

    def computes(self, weight: Weight, view: View) -> bool:
        isa = view.capabilities.isa if view.capabilities else ()
        native = view.scheme is not None and view.scheme.runs("bf16", isa)
        return native and all(is_call(layer, *TARGETS) for layer in weight.layers)


@dataclass(frozen=True)
class Float16(_Half):
    """Store weights in float16, for size only: no engine on CPUs computes in it, the cast is folded at load."""

    name: ClassVar[str] = "fp16"
    dtype: ClassVar[torch.dtype] = torch.float16

    def computes(self, weight: Weight, view: View) -> bool:
        return False


def _cast(edit: Edit, value: Node, dtype: torch.dtype) -> Node:
    return edit.call(aten._to_copy.default, (value,), {"dtype": dtype})  # noqa: SLF001
