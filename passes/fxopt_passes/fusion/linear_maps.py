"""One view of all calls that are linear with constant weights: linear, convolution, transposed convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node

from fxopt_passes.matching import Source, arguments, is_call, is_float, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit

aten = torch.ops.aten

_CONVOLUTIONS = (
    aten.conv1d.default, aten.conv1d.padding, aten.conv2d.default, aten.conv2d.padding,
    aten.conv3d.default, aten.conv3d.padding,
)  # fmt: skip
_TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
_IN_NUMBERS = {
    aten.conv1d.padding: aten.conv1d.default,
    aten.conv2d.padding: aten.conv2d.default,
    aten.conv3d.padding: aten.conv3d.default,
}
TARGETS = (aten.linear.default, *_CONVOLUTIONS, *_TRANSPOSED, aten.convolution.default)


@dataclass(frozen=True)
class LinearMap:
    """A call that maps channels to channels linearly.

    Attributes:
        node: the call.
        input: the node that it maps.
        weight_node, bias_node: the constants; `bias_node` None where there is none.
        weight: as the call takes it.
        bias: shape (channels out,), or None.
        groups: number of groups that do not mix.
        transposed: whether it is a transposed convolution.
        spatial: number of spatial axes; 0 for linear.
        stride, dilation, padding, output_padding: one number a spatial axis; `padding` None where it is asymmetric.
    """

    node: Node
    input: Node
    weight_node: Node
    bias_node: Node | None
    weight: torch.Tensor
    bias: torch.Tensor | None
    groups: int
    transposed: bool
    spatial: int
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | None = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()

    @property
    def kernel(self) -> tuple[int, ...]:
        """Kernel size a spatial axis."""
        return tuple(self.weight.shape[2:])

    @property
    def axis(self) -> int:
        """The channel axis of input and output, counted from the end."""
        return -1 - self.spatial

    @property
    def channels_in(self) -> int:
        """Channels of the input."""
        return int(self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups)

    @property
    def channels_out(self) -> int:
        """Channels of the output."""
        return int(self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0])

    @property
    def blocks(self) -> torch.Tensor:
        """The weight in float64, shape (groups, out a group, in a group, *kernel), whatever the call's own layout."""
        weight = self.weight.to(torch.float64)
        if self.transposed:
            return weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(1, 2)
        return weight.reshape(self.groups, -1, *weight.shape[1:])

    @property
    def bias64(self) -> torch.Tensor:
        """The bias in float64; zeros where there is none."""
        if self.bias is None:
            return torch.zeros(self.channels_out, dtype=torch.float64)
        return self.bias.to(torch.float64)

    @property
    def weight_names(self) -> frozenset[str]:
        """Names of the nodes that hold weight and bias."""
        return frozenset(item.name for item in (self.weight_node, self.bias_node) if item is not None)

    @property
    def pads(self) -> bool:
        """Whether it sees zeros around its input."""
        return self.padding is None or any(self.padding)

    @property
    def pointwise(self) -> bool:
        """Whether each output position sees exactly one input position, its own."""
        plain = not self.pads and not any(self.output_padding)
        return plain and all(k == 1 for k in self.kernel) and all(s == 1 for s in self.stride)

    @property
    def uniform(self) -> bool:
        """Whether a constant input gives a constant output: no position sees padding or fewer weights than another."""
        return self.pointwise if self.transposed else not self.pads

    def scale_out(self, scale: torch.Tensor) -> torch.Tensor:
        """The blocks with their outputs multiplied by `scale`, shape (channels out,)."""
        return self.blocks * scale.reshape(self.groups, -1, 1, *[1] * self.spatial)

    def scale_in(self, scale: torch.Tensor) -> torch.Tensor:
        """The blocks with their inputs multiplied by `scale`, shape (channels in,)."""
        return self.blocks * scale.reshape(self.groups, 1, -1, *[1] * self.spatial)

    def of_constant(self, shift: torch.Tensor) -> torch.Tensor:
        """What a constant input of `shift`, shape (channels in,), gives beside the bias: shape (channels out,)."""
        summed = self.blocks.flatten(3).sum(3) if self.spatial else self.blocks
        return torch.einsum("goi,gi->go", summed, shift.reshape(self.groups, -1)).reshape(-1)

    def rebuild(
        self, edit: Edit, source: Node, blocks: torch.Tensor | None, bias: torch.Tensor | None, **changes: Any
    ) -> Node:
        """A new call like this one with other weights.

        Args:
            edit: the transaction.
            source: the new input.
            blocks: float64, shaped like `blocks`; None keeps the weight.
            bias: float64, shape (channels out,); None for no bias.
            **changes: other arguments by the operator's names for them; padding in numbers.
        """
        call = arguments(self.node) | {"input": source} | changes
        if blocks is not None:
            call["weight"] = edit.constant(self._layout(blocks), "weight")
        if bias is None:
            call["bias"] = None
        elif self.bias is None or not torch.equal(bias, self.bias64):
            call["bias"] = edit.constant(bias.to(self.weight.dtype).contiguous(), "bias")
        target = _IN_NUMBERS.get(self.node.target, self.node.target) if "padding" in changes else self.node.target
        return edit.call(target, without_defaults(self.node, call))

    def _layout(self, blocks: torch.Tensor) -> torch.Tensor:
        if self.transposed:
            blocks = blocks.transpose(1, 2)
        return blocks.flatten(0, 1).to(self.weight.dtype).contiguous()


def linear_map(source: Source, node: object) -> LinearMap | None:
    """The linear map that `node` calls; None where it is none or where its weights are not constant."""
    if not is_call(node, *TARGETS) or not is_float(node):
        return None
    assert isinstance(node, Node)
    call = arguments(node)
    origin, weight, bias = call["input"], source.tensor(call["weight"]), source.tensor(call["bias"])
    if weight is None or weight.dim() < 2 or (bias is None) != (call["bias"] is None) or not isinstance(origin, Node):
        return None
    if node.target == aten.linear.default:
        return LinearMap(node, origin, call["weight"], call["bias"], weight, bias, 1, transposed=False, spatial=0)
    spatial = weight.dim() - 2
    kernel, dilation = tuple(weight.shape[2:]), _tuple(call["dilation"], spatial)
    return LinearMap(
        node,
        origin,
        call["weight"],
        call["bias"],
        weight,
        bias,
        groups=call["groups"],
        transposed=node.target in _TRANSPOSED or bool(call.get("transposed")),
        spatial=spatial,
        stride=_tuple(call["stride"], spatial),
        padding=_padding(call["padding"], kernel, dilation),
        dilation=dilation,
        output_padding=_tuple(call.get("output_padding", 0), spatial),
    )


def is_linear(node: object) -> bool:
    """Whether it calls a linear map, with constant weights or not."""
    return is_call(node, *TARGETS)


def multiplications(linear: LinearMap) -> int | None:
    """Multiplications for one call at the sizes that are measured; None where a size has no hint."""
    value = linear.node.meta["val"]
    positions = list(value.shape)
    del positions[linear.axis]
    if linear.transposed:
        positions = list(linear.input.meta["val"].shape)
        del positions[linear.axis]
    sizes = [_hint(size) for size in positions]
    return None if None in sizes else linear.weight.numel() * math.prod(sizes)  # type: ignore[arg-type]


def _hint(size: Any) -> int | None:
    if isinstance(size, torch.SymInt):
        hint = size.node.hint
        return None if hint is None else int(hint)
    return int(size)


def _tuple(value: Any, length: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return values * length if len(values) == 1 else values


def _padding(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...] | None:
    if padding == "valid":
        return (0,) * len(kernel)
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return None if any(t % 2 for t in total) else tuple(t // 2 for t in total)
    return _tuple(padding, len(kernel))
