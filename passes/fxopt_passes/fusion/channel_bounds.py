"""Bounds on each channel of a value that hold for every input: interval arithmetic from weights and activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.fx import Node

from fxopt_passes.fusion.affine import batch_norm_affine
from fxopt_passes.fusion.channel_steps import AVERAGES_THAT_PAD, Layout, channel_axis, step
from fxopt_passes.fusion.elementwise import MONOTONE, is_elementwise
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import arguments, is_float

if TYPE_CHECKING:
    from fxopt_passes.matching import Source


@dataclass(frozen=True)
class Bounds:
    """Least and greatest value of each channel: float64, shape (entries on the axis,), or () for all alike.

    Attributes:
        low, high: the bounds, infinite where nothing is known. A channel whose bounds are equal is constant.
        axis: the channel axis, counted from the front; None for all alike.
    """

    low: torch.Tensor
    high: torch.Tensor
    axis: int | None = None

    def on(self, axis: int, size: int) -> Bounds:
        """The same for channels on another axis."""
        low, high = self.low, self.high
        if self.axis not in (axis, None):
            low, high = low.min(), high.max()
        return Bounds(low.expand(size), high.expand(size), axis)

    @property
    def constant(self) -> torch.Tensor:
        """Which channels are constant: bool."""
        return (self.low == self.high) & self.low.isfinite()


_UNKNOWN = Bounds(torch.tensor(-math.inf, dtype=torch.float64), torch.tensor(math.inf, dtype=torch.float64))


def channel_bounds(source: Source, node: Node, known: dict[Node, Bounds]) -> Bounds:
    """Bounds of a node's value.

    Args:
        source: what tells the constants.
        node: any node.
        known: bounds found so far, which this adds to.
    """
    waiting = [node]
    while waiting:
        item = waiting[-1]
        origin = _origin(source, item)
        if item in known:
            waiting.pop()
        elif origin is not None and origin not in known:
            waiting.append(origin)
        else:
            known[item] = _UNKNOWN if origin is None else _bounds(source, item, known[origin])
            waiting.pop()
    return known[node]


def _origin(source: Source, node: Node) -> Node | None:
    """The value that bounds go through; None for operators that nothing is known about."""
    if node.op != "call_function" or not is_float(node) or not node.args:
        return None
    # A piece of a split comes from a list of values, about which nothing is known channel by channel.
    return node.args[0] if is_float(node.args[0]) else None


def _bounds(source: Source, node: Node, before: Bounds) -> Bounds:
    if is_elementwise(node):
        return _of_function(node, before)
    linear = linear_map(source, node)
    if linear is not None:
        return _of_linear(linear, before)
    value = node.args[0].meta["val"]  # type: ignore[union-attr]
    if before.axis is None:
        before = before.on(1, value.shape[1]) if value.dim() > 1 and isinstance(value.shape[1], int) else before
    if before.axis is None or not isinstance(value.shape[before.axis], int):
        return _UNKNOWN
    after = step(source, node, Layout(before.axis))
    if after is None:
        return _UNKNOWN
    affine = batch_norm_affine(source, node)
    if affine is not None:
        scale, shift = affine.scale.reshape(-1), affine.shift.reshape(-1)
        ends = _times(scale, before.low) + shift, _times(scale, before.high) + shift
        return Bounds(torch.minimum(*ends), torch.maximum(*ends), before.axis)
    low, high = before.low, before.high
    if node.target in AVERAGES_THAT_PAD:
        call = arguments(node)
        if call.get("divisor_override") is not None:
            return _UNKNOWN
        if any(_flat(call["padding"])):
            low, high = low.clamp(max=0), high.clamp(min=0)
    return Bounds(low.repeat_interleave(after.span), high.repeat_interleave(after.span), after.axis)


def _of_function(node: Node, before: Bounds) -> Bounds:
    def image(ends: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return node.target(ends, *node.args[1:], **node.kwargs)  # type: ignore[operator, no-any-return]

    low, high = image(before.low), image(before.high)
    if node.target not in MONOTONE:
        same = before.constant
        low = torch.where(same, low, -math.inf)
        high = torch.where(same, high, math.inf)
    return Bounds(low, high, before.axis)


def _of_linear(linear: LinearMap, before: Bounds) -> Bounds:
    axis = channel_axis(linear)
    before = before.on(axis, linear.channels_in)
    low, high = before.low, before.high
    if not linear.uniform:  # some positions see zeros, or fewer weights
        low, high = low.clamp(max=0), high.clamp(min=0)
    blocks = linear.blocks
    shape = (linear.groups, 1, -1, *[1] * linear.spatial)
    low, high = low.reshape(shape), high.reshape(shape)
    up, down = blocks.clamp(min=0), blocks.clamp(max=0)
    least = (_times(up, low) + _times(down, high)).flatten(2).sum(2).reshape(-1)
    most = (_times(up, high) + _times(down, low)).flatten(2).sum(2).reshape(-1)
    return Bounds(least + linear.bias64, most + linear.bias64, axis)


def _times(weight: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """The product where zero times infinity is zero, as a zero weight sees finite values only."""
    return torch.where(weight == 0, 0.0, weight * bound)


def _flat(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)  # type: ignore[return-value]
