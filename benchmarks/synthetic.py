"""Programs of any size with something for every pass, built straight as FX graphs: exporting 5,000 calls takes minutes.

Tensors are tiny, so that what takes time is work on the graph. A Program is a chain of equal stages (their weights differ),
so that one of twice the size is twice the same work.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch.fx import Graph, Node

from fxopt.ir.interface import Dim, Input, Interface
from fxopt.ir.program import Program

aten = torch.ops.aten

CHANNELS, SIDE = 8, 6
TOKENS = SIDE * SIDE
HEADS = 2


def program(stages: int) -> Program:
    """A Program of 1 + 250 `stages` calls, 25 `stages` of them batch norms, on (N, 8, 6, 6) and a mask (N, 1, 36, 36)."""
    net = _Net()
    x = net.x
    for _ in range(stages):
        x = net.stage(x)
    net.graph.output([x])
    interface = Interface(
        inputs=(
            Input("x", ("N", CHANNELS, SIDE, SIDE), "float32"),
            Input("mask", ("N", 1, TOKENS, TOKENS), "float32"),
        ),
        outputs=("y",),
        dims=(Dim("N", 1, 8, 2),),
        parameters=("x", "mask"),
        arguments={"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]},
        results={"leaf": 0},
    )
    return Program.build(net.graph, net.attributes, interface)


class _Net:
    """A Program in the making. Blocks take and give a value of shape (N, CHANNELS, SIDE, SIDE) if not said otherwise."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.attributes: dict[str, torch.Tensor] = {}
        self.random = torch.Generator().manual_seed(0)
        self.x, self.mask = self.graph.placeholder("x"), self.graph.placeholder("mask")
        self.leaf = self.mask  # constants come after it
        self.batch = self.call(aten.sym_size.int, self.x, 0)

    def stage(self, x: Node) -> Node:
        """One of everything."""
        for _ in range(4):
            x = self.residual(x)
        for _ in range(3):
            x = self.branches(x)
        x = self.normalized(x)
        for _ in range(2):
            x = self.inverted_bottleneck(x)
        x = self.inception(x)
        x = self.scaled(x)
        x = self.dead_channels(x)
        x = self.tokens(x)
        for _ in range(2):
            x = self.attention(x)
            x = self.layer_norm(x)
            x = self.feed_forward(x)
            x = self.rms_norm(x)
        x = self.gated(x)
        x = self.tanh_feed_forward(x)
        return self.image(x)

    # -- pieces ----------------------------------------------------------------------------------------------

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        return self.graph.call_function(target, args, kwargs)

    def constant(self, value: torch.Tensor) -> Node:
        name = f"c{len(self.attributes)}"
        self.attributes[name] = value
        with self.graph.inserting_after(self.leaf):
            self.leaf = self.graph.create_node("get_attr", name, name=name)
        return self.leaf

    def normal(self, *shape: int) -> Node:
        """Weights that keep the scale of what they are applied to."""
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
        return self.constant(torch.randn(shape, generator=self.random) / math.sqrt(fan_in))

    def positive(self, *shape: int) -> Node:
        return self.constant(torch.rand(shape, generator=self.random) + 0.5)

    def conv(
        self,
        x: Node,
        out: int = CHANNELS,
        into: int = CHANNELS,
        kernel: int = 1,
        groups: int = 1,
        pad: int | None = None,
    ) -> Node:
        pad = kernel // 2 if pad is None else pad
        weight, bias = self.normal(out, into // groups, kernel, kernel), self.normal(out)
        return self.call(aten.conv2d.default, x, weight, bias, [1, 1], [pad, pad], [1, 1], groups)

    def batch_norm(self, x: Node, channels: int = CHANNELS) -> Node:
        weight, bias, mean = self.positive(channels), self.normal(channels), self.normal(channels)
        args = (weight, bias, mean, self.positive(channels), False, 0.1, 1e-5, False)
        return self.call(aten.batch_norm.default, x, *args)

    def linear(self, x: Node, out: int = CHANNELS, into: int = CHANNELS) -> Node:
        return self.call(aten.linear.default, x, self.normal(out, into), self.normal(out))

    def relu(self, x: Node) -> Node:
        return self.call(aten.relu.default, x)

    def add(self, left: Node, right: Any) -> Node:
        return self.call(aten.add.Tensor, left, right)

    def mul(self, left: Node, right: Any) -> Node:
        return self.call(aten.mul.Tensor, left, right)

    # -- blocks of convolutional nets ------------------------------------------------------------------------

    def residual(self, x: Node) -> Node:
        """ResNet's block: 7 calls, 2 batch norms."""
        y = self.relu(self.batch_norm(self.conv(x, kernel=3)))
        return self.relu(self.add(self.batch_norm(self.conv(y, kernel=3)), x))

    def branches(self, x: Node) -> Node:
        """RepVGG's block in training form: 8 calls, 3 batch norms."""
        wide, narrow = self.batch_norm(self.conv(x, kernel=3)), self.batch_norm(self.conv(x))
        return self.relu(self.add(self.add(wide, narrow), self.batch_norm(x)))

    def inverted_bottleneck(self, x: Node) -> Node:
        """MobileNetV3's block, HardSwish written out, with squeeze and excitation: 20 calls, 3 batch norms."""
        wide = 2 * CHANNELS
        y = self.batch_norm(self.conv(x, wide), wide)
        gate = self.call(aten.clamp.default, self.add(y, 3), 0, 6)
        y = self.call(aten.div.Tensor, self.mul(y, gate), 6)
        y = self.batch_norm(self.conv(y, wide, wide, kernel=3, groups=wide), wide)
        y = self.call(aten.hardtanh.default, self.call(aten.hardtanh.default, y, 0.0, 6.0), 0.0, 6.0)
        pooled = self.relu(self.conv(self.call(aten.mean.dim, y, [2, 3], True), 4, wide))
        y = self.mul(y, self.call(aten.sigmoid.default, self.conv(pooled, wide, 4)))
        y = self.call(aten.dropout.default, self.batch_norm(self.conv(y, CHANNELS, wide)), 0.1, False)
        return self.add(x, y)

    def inception(self, x: Node) -> Node:
        """Parallel convolutions that are concatenated, one after padding of its own: 15 calls, 1 batch norm."""
        one, two, three = (self.relu(self.conv(x, 4)) for _ in range(3))
        two = self.relu(self.conv(two, 4, 4, kernel=3))
        three = self.call(aten.constant_pad_nd.default, three, [1, 1, 1, 1], 0.0)
        three = self.relu(self.conv(three, 4, 4, kernel=3, pad=0))
        joined = self.call(aten.cat.default, [one, two, three], 1)
        return self.add(x, self.batch_norm(self.conv(joined, CHANNELS, 12)))

    def normalized(self, x: Node) -> Node:
        """A batch norm before its convolution: 3 calls, 1 batch norm."""
        return self.add(x, self.conv(self.batch_norm(x)))

    def scaled(self, x: Node) -> Node:
        """Scales and shifts around a convolution whose weight is computed, and a repeated half: 18 calls."""
        y = self.call(aten.sub.Tensor, x, self.normal(1, CHANNELS, 1, 1))
        y = self.call(aten.div.Tensor, y, self.positive(1, CHANNELS, 1, 1))
        direction = self.normal(CHANNELS, CHANNELS, 1, 1)
        length = self.call(aten.linalg_vector_norm.default, direction, 2, [1, 2, 3], True)
        weight = self.mul(self.call(aten.div.Tensor, direction, length), self.positive(CHANNELS, 1, 1, 1))
        y = self.call(aten.conv2d.default, y, weight, None)
        y = self.add(self.mul(y, self.positive(1, CHANNELS, 1, 1)), self.normal(1, CHANNELS, 1, 1))
        left, right = (self.mul(self.call(aten.tanh.default, y), 0.5) for _ in range(2))
        y = self.call(aten.neg.default, self.call(aten.neg.default, self.add(left, right)))
        y = self.call(aten.permute.default, self.call(aten.permute.default, y, [0, 2, 3, 1]), [0, 3, 1, 2])
        return self.add(y, x)

    def dead_channels(self, x: Node) -> Node:
        """Convolutions with an output that is always zero, and two in a row that are cheaper as one: 4 calls."""
        weight = torch.randn(CHANNELS, CHANNELS, 1, 1, generator=self.random) / math.sqrt(CHANNELS)
        weight[3] = 0
        bias = -torch.rand(CHANNELS, generator=self.random)
        y = self.call(aten.conv2d.default, x, self.constant(weight), self.constant(bias))
        return self.conv(self.conv(self.relu(y), 2 * CHANNELS, kernel=3), CHANNELS, 2 * CHANNELS)

    # -- blocks of transformers, on values of shape (N, TOKENS, CHANNELS) ------------------------------------

    def tokens(self, x: Node) -> Node:
        """From an image to tokens, their number computed: 5 calls."""
        height, width = (self.call(aten.sym_size.int, x, axis) for axis in (2, 3))
        count = self.call(operator.mul, height, width)
        return self.swap(self.call(aten.reshape.default, x, [self.batch, CHANNELS, count]), 1, 2)

    def image(self, x: Node) -> Node:
        """From tokens to an image, once through a flat value: 4 calls."""
        x = self.call(aten.reshape.default, x, [self.batch, TOKENS * CHANNELS])
        x = self.call(aten.reshape.default, x, [self.batch, TOKENS, CHANNELS])
        return self.call(aten.reshape.default, self.swap(x, 1, 2), [self.batch, CHANNELS, SIDE, SIDE])

    def swap(self, x: Node, one: int, two: int) -> Node:
        return self.call(aten.transpose.int, x, one, two)

    def attention(self, x: Node) -> Node:
        """Attention under the mask that all layers share, written out: 21 calls."""
        size = CHANNELS // HEADS
        shapes = [self.batch, TOKENS, HEADS, size]
        query, key, value = (self.swap(self.call(aten.reshape.default, self.linear(x), shapes), 1, 2) for _ in range(3))
        scores = self.call(aten.matmul.default, query, self.swap(key, 2, 3))
        scores = self.add(self.call(aten.div.Tensor, scores, math.sqrt(size)), self.mask)
        weights = self.call(aten.dropout.default, self.call(aten.softmax.int, scores, -1), 0.1, False)
        y = self.swap(self.call(aten.matmul.default, weights, value), 1, 2)
        y = self.linear(self.call(aten.reshape.default, y, [self.batch, TOKENS, CHANNELS]))
        return self.add(x, self.call(aten.dropout.default, y, 0.1, False))

    def layer_norm(self, x: Node) -> Node:
        """Layer normalization, written out: 9 calls."""
        centred = self.call(aten.sub.Tensor, x, self.call(aten.mean.dim, x, [-1], True))
        y = self.mul(centred, self.inverse_root(self.call(aten.pow.Tensor_Scalar, centred, 2)))
        return self.add(self.mul(y, self.positive(CHANNELS)), self.normal(CHANNELS))

    def rms_norm(self, x: Node) -> Node:
        """RMS normalization, written out: 6 calls."""
        y = self.mul(x, self.inverse_root(self.call(aten.pow.Tensor_Scalar, x, 2)))
        return self.mul(y, self.positive(CHANNELS))

    def inverse_root(self, squares: Node) -> Node:
        variance = self.call(aten.mean.dim, squares, [-1], True)
        return self.call(aten.rsqrt.default, self.add(variance, 1e-5))

    def feed_forward(self, x: Node) -> Node:
        """Two linear layers with GELU, written out, and LayerScale: 9 calls."""
        y = self.linear(x, 2 * CHANNELS)
        gate = self.add(self.call(aten.erf.default, self.call(aten.div.Tensor, y, math.sqrt(2))), 1)
        y = self.mul(self.mul(y, 0.5), gate)
        return self.add(x, self.mul(self.linear(y, CHANNELS, 2 * CHANNELS), self.positive(CHANNELS)))

    def tanh_feed_forward(self, x: Node) -> Node:
        """The same with the other GELU and no LayerScale: 11 calls."""
        y = self.linear(x, 2 * CHANNELS)
        cubic = self.add(y, self.mul(self.call(aten.pow.Tensor_Scalar, y, 3.0), 0.044715))
        gate = self.add(self.call(aten.tanh.default, self.mul(cubic, math.sqrt(2 / math.pi))), 1)
        return self.add(x, self.linear(self.mul(self.mul(y, 0.5), gate), CHANNELS, 2 * CHANNELS))

    def gated(self, x: Node) -> Node:
        """Linear layers with a SiLU gate after a normalization: 8 calls."""
        y = self.call(aten.layer_norm.default, x, [CHANNELS], self.positive(CHANNELS), self.normal(CHANNELS), 1e-5)
        gate, value = self.linear(y), self.linear(y)
        gate = self.mul(gate, self.call(aten.sigmoid.default, gate))
        return self.add(x, self.linear(self.mul(gate, value)))
