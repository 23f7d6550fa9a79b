"""`int8_weight` and `int4_weight`: integers for weights alone."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt.ir.quantized import operators
from fxopt_passes.quantize.gptq import ROUNDINGS, hessians, round_weights
from fxopt_passes.quantize.stored import StoredWeights, Weight, weights

if TYPE_CHECKING:
    from fxopt import Candidate, Edit, Program, View

GROUPS = (16, 32, 64, 128, 256)
_GROUP = 128  # of 4-bit weights, where it can be had
_SHRUNK = [1 - 0.025 * step for step in range(21)]  # of a group's range: what lies beyond is cut off


@dataclass(frozen=True)
class _IntegerWeights(StoredWeights):
    """Weights of few bits, dequantized before their layers."""

    bits: ClassVar[int]

    group: int = field(
        default=0, metadata={"help": "weights along a row of a linear layer that share a scale; 0: as the kind says"}
    )
    rounding: str = field(
        default="nearest", metadata={"help": "nearest, or gptq: so that outputs on calibration data are off least"}
    )

    def __post_init__(self) -> None:
        if self.group not in (0, *GROUPS):
            raise ValueError(f"group is 0 or one of {', '.join(map(str, GROUPS))}, not {self.group}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"rounding is {' or '.join(ROUNDINGS)}, not {self.rounding!r}")

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        group = self.group_of(weight, view)
        if isinstance(group, str):
            return group
        return {"kind": self.name, "bits": self.bits, "group": group, "rounding": self.rounding}

    @abc.abstractmethod
    def group_of(self, weight: Weight, view: View) -> int | str:
        """How many weights share a scale, 0 for those of an output channel; or why it cannot be."""

    def refused(self, weight: Weight, view: View) -> str:
        """Why no group fits."""
        if not weight.linear:
            return "groups are along the rows of linear layers"
        row = weight.value.shape[1]
        groups = ", ".join(map(str, view.scheme.group_sizes if view.scheme else GROUPS))
        return f"no group fits its row of {row}: {self.group or groups or 'the engine has none'}"

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        count = weight.value.numel()
        group = parameters["group"] or count // weight.value.shape[weight.axis]
        return count * self.bits / 8 + count // group * 4

    def fitting(
        self, program: Program, view: View
    ) -> Callable[[Weight, dict[str, Any]], Mapping[str, torch.Tensor] | None]:
        if self.rounding == "nearest":
            return lambda weight, parameters: {"scales": self.scales(weight, parameters["group"])}

        @cache
        def gathered() -> Mapping[str, torch.Tensor] | None:
            wanted = [w for w in weights(program, view) if not isinstance(self.form(w, view), str)]
            return hessians(program, view, [layer for weight in wanted for layer in weight.layers])

        def fit(weight: Weight, parameters: dict[str, Any]) -> Mapping[str, torch.Tensor] | None:
            known = gathered()
            if known is None:
                return None
            scales = self.scales(weight, parameters["group"])
            found = [known[layer.name] for layer in weight.layers if layer.name in known]
            if not found or any(item.shape != found[0].shape for item in found):
                return {"scales": scales}
            blocks = (len(found[0]), -1)
            rounded = round_weights(
                weight.value.flatten(1).unflatten(0, blocks),
                scales.reshape(len(weight.value), -1).unflatten(0, blocks),
                torch.stack(found).sum(0),
                *self.ends,
                parameters["group"],
            )
            return {"scales": scales, "integers": rounded.reshape(weight.value.shape)}

        return fit

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the greatest integer."""
        return -(2 ** (self.bits - 1)) + (self.bits == 8), 2 ** (self.bits - 1) - 1

    def scales(self, weight: Weight, group: int) -> torch.Tensor:
        """Scales in float32: (rows, groups), or (channels,) where all weights of a channel share one."""
        value = weight.value.float()
        if not group:
            return absmax_scales(value.movedim(weight.axis, 0).flatten(1), self.ends[1])
        return least_squares_scales(value.unflatten(1, (-1, group)), *self.ends)

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        group, scales = candidate.parameters["group"], candidate.fitted["scales"]
        integers = candidate.fitted.get("integers")
        if integers is None:
            integers = self.nearest(weight, scales, group)
        stored = edit.constant(integers, self.name)
        step = edit.constant(scales.to(weight.value.dtype), "scale")
        numbers = (*self.ends, torch.int8)
        qd, dtype = operators(), weight.value.dtype
        if group:
            return edit.call(qd.dequantize_per_channel_group.default, (stored, step, None, *numbers, group, dtype))
        return edit.call(
            qd.dequantize_per_channel.default, (stored, step, None, weight.axis, *numbers), {"out_dtype": dtype}
        )

    def nearest(self, weight: Weight, scales: torch.Tensor, group: int) -> torch.Tensor:
        """The nearest integers."""
        value = weight.value.float()
        if group:
            rounded = (value.unflatten(1, (-1, group)) / scales[..., None]).round().flatten(1)
        else:
            shape = [1] * value.dim()
            shape[weight.axis] = -1
            rounded = (value / scales.reshape(shape)).round()
        return rounded.clamp(*self.ends).to(torch.int8)


@dataclass(frozen=True)
class Int8Weight(_IntegerWeights):
    """Store the weights of linear layers, convolutions and embeddings in 8 bits, one scale an output channel.

    OpenVINO runs linear layers on them as they are, on any CPU, which pays where one row meets a large weight. ONNX
    Runtime and TorchInductor make floats of them, so there it is for size only; so it is for convolutions and embeddings
    everywhere. With `group`, only linear layers, with a scale for so many weights along a row.
    """

    name: ClassVar[str] = "int8_weight"
    bits: ClassVar[int] = 8

    def group_of(self, weight: Weight, view: View) -> int | str:
        return self.group if self.group in (0, *allowed(weight, view)) else self.refused(weight, view)


@dataclass(frozen=True)
class Int4Weight(_IntegerWeights):
    """Store the weights of linear layers in 4 bits, in groups of 128 along a row, or the most that the row allows.

    ONNX Runtime (`MatMulNBits`) and OpenVINO run them as they are, on any CPU, which pays where one row meets a large
    weight; with TorchInductor it is for size only. A group's scale is the one with the least squared error among those
    that cut off up to half of its range.
    """

    name: ClassVar[str] = "int4_weight"
    bits: ClassVar[int] = 4

    def group_of(self, weight: Weight, view: View) -> int | str:
        fitting = allowed(weight, view)
        wanted = self.group or (_GROUP if _GROUP in fitting else max(fitting, default=0))
        return wanted if wanted in fitting else self.refused(weight, view)


def allowed(weight: Weight, view: View) -> list[int]:
    """Groups that the engine takes and that divide a row."""
    if not weight.linear or weight.value.dim() != 2:
        return []
    known = view.scheme.group_sizes if view.scheme else GROUPS
    return [group for group in known if weight.value.shape[1] % group == 0]


def absmax_scales(rows: torch.Tensor, high: int) -> torch.Tensor:
    """One scale a row with which the largest magnitude is `high`; rows of zeros have 1. Shape (rows,)."""
    largest = rows.abs().amax(-1)
    return torch.where(largest > 0, largest / high, 1.0).clamp_min(torch.finfo(torch.float32).tiny)


def least_squares_scales(groups: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """For each group along the last axis the scale with the least squared error, of the whole range's and smaller ones.

    Args:
        groups: float32, shape (..., group).
        low: the least integer.
        high: the greatest integer.

    Returns:
        Shape (...).
    """
    whole = absmax_scales(groups, high)
    best, least = whole, torch.full_like(whole, torch.inf)
    for part in _SHRUNK:
        scale = (whole * part)[..., None].clamp_min(torch.finfo(torch.float32).tiny)
        error = ((groups / scale).round().clamp_(low, high).mul_(scale) - groups).square_().sum(-1)
        best = torch.where(error < least, scale[..., 0], best)
        least = torch.minimum(error, least)
    return best
