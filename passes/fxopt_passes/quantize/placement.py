"""Where Q and DQ stand in a region, and the region written anew with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from fxopt import StaleCandidate
from fxopt.ir.quantized import operators
from fxopt_passes.fusion.linear_maps import LinearMap, is_linear, linear_map
from fxopt_passes.matching import arguments, is_call, without_defaults
from fxopt_passes.quantize.regions import activations, averages, is_anchor, is_clipped, is_padding, is_part

if TYPE_CHECKING:
    from fxopt import Candidate, Edit
    from fxopt_passes.matching import Source

aten = torch.ops.aten

_LEAST_SCALE = 1e-9
_LARGEST_BIAS = 2.0**30  # in steps; int32 holds twice as many
_INT32 = (-(2**31), 2**31 - 1, torch.int32)


@dataclass(frozen=True)
class Grid:
    """The integers that stand for the values of one tensor."""

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def dtype(self) -> torch.dtype:
        """What holds the integers."""
        return torch.int8 if self.low < 0 else torch.uint8

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What quantize and dequantize take behind the tensor."""
        return self.scale, self.zero_point, self.low, self.high, self.dtype

    def rounded(self, value: torch.Tensor) -> torch.Tensor:
        """A float32 value through the integers and back."""
        steps = (value * (1 / self.scale)).round_()  # several times as fast as PyTorch's fake_quantize
        return steps.clamp_(self.low - self.zero_point, self.high - self.zero_point).mul_(self.scale)


def grid(low: float, high: float, signed: bool, symmetric: bool) -> Grid:
    """The grid of a range.

    Args:
        low: least value, at most 0.
        high: greatest value, at least 0.
        signed: whether the integers are int8, or uint8.
        symmetric: whether the zero-point must be 0; for uint8 only where `low` is 0, else int8 takes its place.
    """
    if symmetric and (signed or low < 0):
        return Grid(_single(max(-low, high) / 127), 0, -128, 127)
    least = -128 if signed else 0
    scale = _single((high - low) / 255)
    return Grid(scale, least + min(max(round(-low / scale), 0), 255), least, least + 255)


def _single(scale: float) -> float:
    """A scale as engines hold it, in float32."""
    return float(torch.tensor(max(scale, _LEAST_SCALE), dtype=torch.float32))


@dataclass(frozen=True)
class Placement:
    """What is rounded in a region.

    Attributes:
        nodes: of the region, in order.
        values: tensors through Q and DQ, in order: those from elsewhere, and those made here.
        anchors: layers with weights, in order.
    """

    nodes: tuple[Node, ...]
    values: tuple[Node, ...]
    anchors: tuple[LinearMap, ...]


def place(source: Source, nodes: Sequence[Node], identity_only: bool, floats: frozenset[str]) -> Placement | str:
    """Where Q and DQ stand; or why they cannot.

    Args:
        source: that has the nodes.
        nodes: of a region, in graph order.
        identity_only: whether the branch of a residual addition stays unrounded, to be fused into its last layer.
        floats: names of those among the nodes that leave the region unrounded.
    """
    inside = set(nodes)
    values: dict[Node, None] = {}
    anchors = []
    for node in nodes:
        if is_linear(node):
            layer = linear_map(source, node)
            if layer is None or layer.weight.dtype not in (torch.float32, torch.float64):
                return "its weights are no float constants"
            if not bool(layer.weight.isfinite().all() and layer.bias64.isfinite().all()):
                return "its weights are not finite"
            anchors.append(layer)
        branch = _branch(node, inside) if identity_only else None
        clipped = is_clipped(node, inside.__contains__)
        wanted = () if clipped or is_part(node) else activations(node)
        padded = {value for value in wanted if value in inside and is_padding(value)}  # zeros are zeros on any grid
        values |= dict.fromkeys(value for value in wanted if value is not branch and value not in padded)
    for node in nodes:
        if node.name not in floats and not inside.issuperset(node.users):
            values[node] = None
    return Placement(tuple(nodes), tuple(values), tuple(anchors))


def padded_from(value: Node, rounded: Collection[Node]) -> Node:
    """The one of the rounded values that another is, or that it is padded from."""
    while value not in rounded:
        (value,) = activations(value)
    return value


def _branch(node: Node, inside: set[Node]) -> Node | None:
    """The input of an addition that the last layer before it can take in."""
    if not is_call(node, aten.add.Tensor) or len(activations(node)) != 2:
        return None
    layers = [item for item in activations(node) if item in inside and is_linear(item) and len(item.users) == 1]
    return max(layers) if layers else None


def weight_scales(layer: LinearMap, scales: torch.Tensor, step: float, integer_bias: bool) -> torch.Tensor:
    """Scales of weights that are large enough for the bias to fit into int32, and none 0; float32.

    Args:
        layer: whose weights they are.
        scales: a channel each, on the weight's own axis; 0 where all weights are.
        step: the scale of the layer's input.
        integer_bias: whether the bias is stored in steps of both scales.
    """
    if integer_bias and layer.bias is not None:
        least = layer.bias64.abs() / (step * _LARGEST_BIAS)
        if layer.transposed and layer.groups > 1:
            least = least.reshape(layer.groups, -1).amax(0)
        scales = torch.maximum(scales.double(), least)
    return torch.where(scales > 0, scales, 1.0).float()


class Writer:
    """Writes a region anew, on integers, in a transaction."""

    def __init__(self, edit: Edit, candidate: Candidate) -> None:
        self.edit, self.parameters, self.fitted = edit, candidate.parameters, candidate.fitted
        self.floats = frozenset(self.parameters["floats"])
        nodes = edit.nodes(candidate)
        placed = place(edit, nodes, self.parameters["residual"] == "identity", self.floats) if _calls(nodes) else "gone"
        if isinstance(placed, str) or len(placed.values) != len(self.parameters["symmetric"]):
            raise StaleCandidate(f"{candidate.id}: the region is not what it was")
        self.placed = placed
        signed = self.parameters["activation"] == "s8"
        self.grids = {
            value: grid(float(low), float(high), signed, bool(symmetric))
            for value, (low, high), symmetric in zip(
                placed.values, self.fitted["ranges"].tolist(), self.parameters["symmetric"], strict=True
            )
        }
        for index, layer in enumerate(placed.anchors):
            axis = _axis(layer)
            if layer.weight.shape[axis] != len(self.fitted[f"scales.{index}"]):
                raise StaleCandidate(f"{candidate.id}: the weights of {layer.node.name} have another shape")
        self.made: dict[Node, Node] = {}  # by node of the region: the new one, unrounded
        self.through: dict[Node, Node] = {}  # by value: what comes behind its DQ

    def write(self) -> None:
        """Make the new calls, and let users outside take their values."""
        layers = {layer.node: (index, layer) for index, layer in enumerate(self.placed.anchors)}
        inside = set(self.placed.nodes)
        for value in self.placed.values:
            if value not in inside:
                self.through[value] = self._rounded(value, self.grids[value])
        for node in self.placed.nodes:
            new = self._layer(*layers[node]) if node in layers else self._again(node)
            self.made[node] = new
            if node in self.grids:
                self.through[node] = self._rounded(new, self.grids[node])
        for node in self.placed.nodes:
            if not inside.issuperset(node.users):
                self.edit.replace(node, self.made[node] if node.name in self.floats else self.through[node])

    def _rounded(self, value: Node, numbers: Grid) -> Node:
        qd = operators()
        integers = self.edit.call(qd.quantize_per_tensor.default, (value, *numbers.numbers), label="q")
        kind = {"out_dtype": value.meta["val"].dtype}
        return self.edit.call(qd.dequantize_per_tensor.default, (integers, *numbers.numbers), kind, label="dq")

    def _input(self, value: Node) -> Node:
        return self.through.get(value) or self.made.get(value, value)

    def _again(self, node: Node) -> Node:
        """The same call of what is there now."""
        floats = set(activations(node))
        if self.parameters["pools"] and averages(node):
            return self._pooled(node)
        args, kwargs = map_arg((node.args, node.kwargs), lambda item: self._input(item) if item in floats else item)
        return self.edit.call(node.target, args, kwargs)

    def _pooled(self, node: Node) -> Node:
        """A mean over both spatial axes as the pooling that has an integer kernel."""
        (source,) = activations(node)
        pooled = self.edit.call(aten.adaptive_avg_pool2d.default, (self._input(source), [1, 1]))
        if arguments(node)["keepdim"]:
            return pooled
        if node in self.grids:
            pooled = self._rounded(pooled, self.grids[node])
        return self.edit.call(aten.reshape.default, (pooled, [-1, node.meta["val"].shape[1]]))

    def _layer(self, index: int, layer: LinearMap) -> Node:
        """A layer with integer weights, and its bias in their steps."""
        integer_bias = self.parameters["bias"] == "int32"
        step = self.grids[padded_from(layer.input, self.grids)].scale
        scales = weight_scales(layer, self.fitted[f"scales.{index}"], step, integer_bias)
        high = 2 ** (self.parameters["bits"] - 1) - 1
        numbers, integers = (-high, high, torch.int8), self.fitted.get(f"integers.{index}")
        if integers is None:
            integers = nearest(layer.weight.float(), scales, _axis(layer), numbers)
        weight = self._constant(integers, scales, _axis(layer), numbers, "weight", layer)
        bias = layer.bias64
        correction = self.fitted.get(f"correction.{index}")
        if correction is not None:
            bias = bias - correction.double()
        call = arguments(layer.node) | {"input": self._input(layer.input), "weight": weight}
        if layer.bias is not None or correction is not None:
            if integer_bias:
                fine = scales.double() * step
                if layer.transposed:
                    fine = fine.repeat(layer.groups)
                integers = nearest(bias, fine.float(), 0, _INT32)
                call["bias"] = self._constant(integers, fine.float(), 0, _INT32, "bias", layer)
            else:
                call["bias"] = self.edit.constant(bias.to(layer.weight.dtype), "bias")
        return self.edit.call(layer.node.target, without_defaults(layer.node, call))

    def _constant(
        self,
        integers: torch.Tensor,
        scales: torch.Tensor,
        axis: int,
        numbers: tuple[Any, ...],
        label: str,
        layer: LinearMap,
    ) -> Node:
        """Integers and their DQ."""
        low, high, kind = numbers
        qd, dtype = operators(), layer.weight.dtype
        stored = self.edit.constant(integers, label)
        if self.parameters["granularity"] == "tensor" and label == "weight":
            call = (stored, float(scales[0]), 0, low, high, kind)
            return self.edit.call(qd.dequantize_per_tensor.default, call, {"out_dtype": dtype}, label="dq")
        step = self.edit.constant(scales.to(dtype), f"{label}_scale")
        call = (stored, step, None, axis, low, high, kind)
        return self.edit.call(qd.dequantize_per_channel.default, call, {"out_dtype": dtype}, label="dq")


def nearest(value: torch.Tensor, scales: torch.Tensor, axis: int, numbers: tuple[Any, ...]) -> torch.Tensor:
    """The nearest integers, with a scale for each element of an axis; `numbers` are the least, the greatest, and the dtype."""
    low, high, kind = numbers
    shape = [1] * value.dim()
    shape[axis] = -1
    return (value / scales.reshape(shape).to(value.dtype)).round().clamp(low, high).to(kind)


def _axis(layer: LinearMap) -> int:
    """The axis of a weight that has a scale for each of its elements."""
    return int(layer.transposed)


def _calls(nodes: Sequence[Node]) -> bool:
    return all(map(is_call, nodes)) and any(map(is_anchor, nodes))
