"""Operators that keep channels apart: where the channels go, and the same operator on some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.fx import Node

from fxopt_passes.fusion.affine import batch_norm_affine
from fxopt_passes.fusion.elementwise import is_elementwise
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import arguments, shape_of, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit
    from fxopt_passes.matching import Source

aten = torch.ops.aten

# These take extremes or averages over space; the number of spatial axes, which come last.
POOLS = {
    aten.max_pool1d.default: 1, aten.max_pool2d.default: 2, aten.max_pool3d.default: 3,
    aten.avg_pool1d.default: 1, aten.avg_pool2d.default: 2, aten.avg_pool3d.default: 3,
    aten.adaptive_avg_pool1d.default: 1, aten.adaptive_avg_pool2d.default: 2, aten.adaptive_avg_pool3d.default: 3,
}  # fmt: skip
AVERAGES_THAT_PAD = (aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default)
_RESHAPES = (aten.view.default, aten.reshape.default, aten.flatten.using_ints)


@dataclass(frozen=True)
class Layout:
    """Where channels are in a value: on `axis`, `span` consecutive entries for each."""

    axis: int
    span: int = 1

    def entries(self, channels: torch.Tensor) -> torch.Tensor:
        """The entries on the axis that belong to some channels, both int64."""
        return (channels[:, None] * self.span + torch.arange(self.span)).reshape(-1)


def channel_axis(linear: LinearMap) -> int:
    """The channel axis of a map's input and output, counted from the front."""
    return int(linear.node.meta["val"].dim()) + linear.axis


def is_depthwise(linear: LinearMap | None) -> bool:
    """Whether each channel of the output comes from the channel of the same number."""
    return linear is not None and linear.groups > 1 and linear.groups == linear.channels_in == linear.channels_out


def step(source: Source, node: Node, layout: Layout) -> Layout | None:
    """Where channels are after `node`, whose first argument has them in `layout`; None where they do not stay apart."""
    if is_elementwise(node):
        return layout
    first = node.args[0] if node.args else None
    shape = shape_of(first)
    if not isinstance(first, Node) or shape is None or first in node.args[1:]:
        return None
    if batch_norm_affine(source, node) is not None:
        return layout if layout.axis == 1 else None
    linear = linear_map(source, node)
    if is_depthwise(linear):
        assert linear is not None
        return layout if layout == Layout(channel_axis(linear)) else None
    if node.target in POOLS:
        return layout if layout.axis < len(shape) - POOLS[node.target] else None
    if node.target == aten.mean.dim:
        return _after_mean(node, layout, len(shape))
    if node.target == aten.permute.default:
        order = [int(axis) % len(shape) for axis in node.args[1]]  # type: ignore[union-attr, arg-type]
        return Layout(order.index(layout.axis), layout.span)
    return _after_reshape(node, layout, shape) if node.target in _RESHAPES else None


def _after_mean(node: Node, layout: Layout, rank: int) -> Layout | None:
    call = arguments(node)
    axes = {int(axis) % rank for axis in call["dim"] or range(rank)}
    if layout.axis in axes or call["dtype"] is not None:
        return None
    lost = 0 if call["keepdim"] else sum(axis < layout.axis for axis in axes)
    return Layout(layout.axis - lost, layout.span)


def _after_reshape(node: Node, layout: Layout, shape: tuple[object, ...]) -> Layout | None:
    """Only where all axes from the channels' on become one, as before a linear layer."""
    after = shape_of(node)
    if (
        after is None
        or len(after) != layout.axis + 1
        or list(map(str, after[:-1])) != list(map(str, shape[: layout.axis]))
    ):
        return None
    span = layout.span
    for size in shape[layout.axis + 1 :]:
        if not isinstance(size, int):
            return None
        span *= size
    return Layout(layout.axis, span)


def narrowed(edit: Edit, node: Node, source: Node, before: Layout, after: Layout, channels: torch.Tensor) -> Node:
    """`node` over again, on `source`, which has just some of the channels, int64.

    Args:
        edit: the transaction.
        node: a call that `step` takes from layout `before` to `after`.
        source: its new first argument.
        before: where the channels are in its first argument.
        after: where they are in its value.
        channels: the channels that are left.
    """
    linear = linear_map(edit, node)
    if linear is not None:
        bias = None if linear.bias is None else linear.bias64[channels]
        return linear.rebuild(edit, source, linear.blocks[channels], bias, groups=len(channels))
    if node.target == aten.batch_norm.default:
        call = arguments(node)
        entries = before.entries(channels)
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = edit.tensor(call[name])
            if tensor is not None and tensor.dim() == 1:
                call[name] = edit.constant(tensor[entries], name)
        return edit.call(node.target, without_defaults(node, call | {"input": source}))
    if node.target in (aten.view.default, aten.reshape.default):
        sizes = list(node.args[1])  # type: ignore[arg-type]
        sizes[after.axis] = len(channels) * after.span
        return edit.call(node.target, (source, sizes))
    return edit.call(node.target, (source, *node.args[1:]), node.kwargs)
