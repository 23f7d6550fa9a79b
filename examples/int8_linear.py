"""A pass that lowers precision, as a plugin brings it: linear layers on 8-bit integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Edit, Fidelity, Pass, Program, Stage, StaleCandidate, View, hookimpl
from fxopt.ir.quantized import operators

aten, qd = torch.ops.aten, operators()


@dataclass(frozen=True)
class Int8Linear(Pass):
    """Run linear layers on 8-bit integers, with ranges of their inputs from calibration data."""

    name: ClassVar[str] = "int8_linear"
    stage: ClassVar[Stage] = Stage.PRECISION

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        scheme = view.scheme
        if scheme is None or scheme.activation != "u8" or "aten.linear" not in scheme.integer_ops:
            return
        for node in program.calls:
            if node.target != aten.linear.default or any(program.tensor(item) is None for item in node.args[1:]):
                continue
            if not scheme.weight_bits:
                view.decline(node, "integer sums of this engine are wrong on this machine")
                continue
            parameters = {"kind": "int8", "high": 2 ** (scheme.weight_bits[0] - 1) - 1, "bias": scheme.bias}
            site, reads = (node.name,), frozenset(item.name for item in node.args[1:])
            candidate = Candidate(self.name, site, frozenset(site), reads, parameters, Fidelity.APPROXIMATE)
            fitted = view.fit(candidate, partial(ends, view, node.args[0]))
            if fitted is None:
                view.decline(node, "it needs calibration data (--calib)")
            else:
                yield fitted

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        if node.target != aten.linear.default or any(edit.tensor(item) is None for item in node.args[1:]):
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        weight, *bias = (edit.tensor(item) for item in node.args[1:])
        low, top = candidate.fitted["ends"].tolist()
        step = max(top - low, 1e-6) / 255
        grid = (step, round(-low / step), 0, 255, torch.uint8)
        rounded = edit.call(qd.quantize_per_tensor.default, (node.args[0], *grid))
        value = edit.call(qd.dequantize_per_tensor.default, (rounded, *grid), {"out_dtype": weight.dtype})
        high = candidate.parameters["high"]
        scales = weight.float().abs().amax(1).clamp(min=1e-6) / high
        made = [in_integers(edit, weight, scales, high, torch.int8), *node.args[2:]]
        if candidate.parameters["bias"] == "int32":
            made[1:] = [in_integers(edit, item, scales * step, 2**31 - 1, torch.int32) for item in bias]
        edit.replace(node, edit.call(aten.linear.default, (value, *made)))


def in_integers(edit: Edit, value: torch.Tensor, scales: torch.Tensor, high: int, dtype: torch.dtype) -> Node:
    """A constant of shape (channels, ...) as integers, with a scale a channel, and the call that gives floats again."""
    steps = scales.double().reshape(-1, *[1] * (value.dim() - 1))
    integers = (value.double() / steps).round().clamp(-high, high).to(dtype)
    stored = (edit.constant(integers, "integers"), edit.constant(scales.to(value.dtype), "scales"))
    numbers = (*stored, None, 0, -high, high, dtype)
    return edit.call(qd.dequantize_per_channel.default, numbers, {"out_dtype": value.dtype})


def ends(view: View, value: Node) -> dict[str, torch.Tensor] | None:
    """The ends of the range of a value, 0 included: float64, shape (2,). None without data."""
    low, top = view.statistics(value, "min"), view.statistics(value, "max")
    if low is None or top is None:
        return None
    return {"ends": torch.stack([low.min().clamp(max=0), top.max().clamp(min=0)])}


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    return [Int8Linear]
