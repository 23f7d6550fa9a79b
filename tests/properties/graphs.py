"""Random Programs of common operators, built straight as FX graphs: exporting 500 modules would take minutes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch.fx import Graph, Node

from fxopt.ir.interface import Dim, Input, Interface
from fxopt.ir.program import Program

aten = torch.ops.aten
BATCH = 2
Draw = Callable[[Any], Any]


class Sketch:
    """A Program in the making, on float32 inputs of shape (N, ...)."""

    def __init__(self, shapes: list[tuple[int, ...]], seed: int) -> None:
        self.graph = Graph()
        self.random = torch.Generator().manual_seed(seed)
        self.attributes: dict[str, torch.Tensor] = {}
        self.holders: dict[str, Node] = {}
        self.shapes: dict[Node, tuple[int, ...]] = {}  # without the batch axis
        self.inputs = []
        for index, shape in enumerate(shapes):
            node = self.graph.placeholder(f"x{index}")
            self.shapes[node] = shape
            self.inputs.append(Input(node.name, ("N", *shape), "float32"))

    def tensor(self, *shape: int, positive: bool = False) -> Node:
        """A constant of normal values, or of values between 0.5 and 1.5."""
        value = torch.rand(shape, generator=self.random) + 0.5 if positive else self._normal(shape)
        name = f"c{len(self.attributes)}"
        self.attributes[name] = value
        leaf = max([*self.holders.values(), *(n for n in self.graph.nodes if n.op == "placeholder")])
        with self.graph.inserting_after(leaf):
            self.holders[name] = self.graph.create_node("get_attr", name, name=name)
        return self.holders[name]

    def _normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
        return torch.randn(shape, generator=self.random) / math.sqrt(max(fan_in, 1))

    def of_shape(self, *shape: int) -> list[Node]:
        """The constants there are of that shape, to be shared."""
        return [node for name, node in self.holders.items() if tuple(self.attributes[name].shape) == shape]

    def call(self, target: Any, *args: Any, shape: tuple[int, ...], **kwargs: Any) -> Node:
        node = self.graph.call_function(target, args, kwargs)
        self.shapes[node] = shape
        return node

    def like(self, target: Any, x: Node, *args: Any) -> Node:
        return self.call(target, x, *args, shape=self.shapes[x])

    def program(self) -> Program:
        """All values that nobody uses are returned."""
        outputs = [node for node in self.graph.nodes if node.op == "call_function" and not node.users]
        self.graph.output(outputs)
        leaves = [{"leaf": index} for index in range(len(outputs))]
        interface = Interface(
            inputs=tuple(self.inputs),
            outputs=tuple(f"y{index}" for index in range(len(outputs))),
            dims=(Dim("N", 1, 8, BATCH),),
            parameters=tuple(item.name for item in self.inputs),
            arguments={"tuple": [{"tuple": [{"leaf": i} for i in range(len(self.inputs))]}, {"dict": {}}]},
            results={"tuple": leaves},
        )
        return Program.build(self.graph, self.attributes, interface)


def shared_or_new(s: Sketch, draw: Draw, *shape: int) -> Node:
    there = s.of_shape(*shape)
    return draw(st.sampled_from(there)) if there and draw(st.booleans()) else s.tensor(*shape)


def conv(s: Sketch, draw: Draw, x: Node) -> Node:
    channels, height, width = s.shapes[x]
    kernel, padding = draw(st.sampled_from([(1, 0), (3, 1), (3, 0), (1, 1)]))
    if height + 2 * padding < kernel or width + 2 * padding < kernel:
        kernel = 1
    groups = draw(st.sampled_from([1, channels]))
    out = channels if groups > 1 else draw(st.integers(1, 5))
    weight = shared_or_new(s, draw, out, channels // groups, kernel, kernel)
    bias = shared_or_new(s, draw, out) if draw(st.booleans()) else None
    size = tuple(extent + 2 * padding - kernel + 1 for extent in (height, width))
    args = (x, weight, bias, [1, 1], [padding, padding], [1, 1], groups)
    return s.call(aten.conv2d.default, *args, shape=(out, *size))


def batch_norm(s: Sketch, draw: Draw, x: Node) -> Node:
    c = s.shapes[x][0]
    affine = (s.tensor(c), s.tensor(c)) if draw(st.booleans()) else (None, None)
    args = (*affine, s.tensor(c), s.tensor(c, positive=True), False, 0.1, 1e-5, False)
    return s.like(aten.batch_norm.default, x, *args)


def linear(s: Sketch, draw: Draw, x: Node) -> Node:
    *lead, features = s.shapes[x]
    out = draw(st.integers(1, 5))
    bias = s.tensor(out) if draw(st.booleans()) else None
    return s.call(aten.linear.default, x, shared_or_new(s, draw, out, features), bias, shape=(*lead, out))


def activation(s: Sketch, draw: Draw, x: Node) -> Node:
    target, *args = draw(
        st.sampled_from(
            [
                *((aten.relu.default,), (aten.sigmoid.default,), (aten.tanh.default,), (aten.silu.default,)),
                *((aten.gelu.default,), (aten.clamp.default, 0.0, 6.0), (aten.clamp.default, -0.5, 0.5)),
                *((aten.hardtanh.default, 0.0, 6.0), (aten.neg.default,), (aten.exp.default,), (aten.abs.default,)),
            ]
        )
    )
    x = s.like(aten.clamp.default, x, -3.0, 3.0) if target is aten.exp.default else x
    return s.like(target, x, *args)


def decomposed(s: Sketch, draw: Draw, x: Node) -> Node:
    """An activation written out: silu, hardswish, hardsigmoid or gelu."""
    kind = draw(st.sampled_from(["silu", "hardswish", "hardsigmoid", "gelu", "gelu_tanh"]))
    if kind == "silu":
        return s.like(aten.mul.Tensor, x, s.like(aten.sigmoid.default, x))
    if kind.startswith("hard"):
        gate = s.like(aten.clamp.default, s.like(aten.add.Tensor, x, 3), 0, 6)
        if kind == "hardswish":
            gate = s.like(aten.mul.Tensor, x, gate)
        return s.like(aten.div.Tensor, gate, 6)
    if kind == "gelu":
        inner = s.like(aten.erf.default, s.like(aten.div.Tensor, x, math.sqrt(2)))
    else:
        cube = s.like(aten.mul.Tensor, s.like(aten.pow.Tensor_Scalar, x, 3.0), 0.044715)
        inner = s.like(aten.mul.Tensor, s.like(aten.add.Tensor, x, cube), math.sqrt(2 / math.pi))
        inner = s.like(aten.tanh.default, inner)
    half = s.like(aten.mul.Tensor, x, 0.5)
    return s.like(aten.mul.Tensor, half, s.like(aten.add.Tensor, inner, 1))


def affine(s: Sketch, draw: Draw, x: Node) -> Node:
    """Add, subtract, multiply or divide by a number, a constant of a broadcast shape, or a neighbour."""
    target = draw(st.sampled_from([aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor]))
    shape = s.shapes[x]
    kind = draw(st.sampled_from(["number", "channels", "features", "scalar", "full"]))
    if kind == "number":
        other: Any = draw(st.sampled_from([0, 1, 2.0, 0.5, -1, 1 / 6])) or (1 if target is aten.div.Tensor else 0)
    else:
        sizes = {"channels": (1, shape[0], *[1] * (len(shape) - 1)), "features": shape[-1:], "scalar": ()}
        other = s.tensor(*sizes.get(kind, (1, *shape)), positive=target is aten.div.Tensor)
    commutes = target in (aten.add.Tensor, aten.mul.Tensor)
    if commutes and kind != "number" and draw(st.booleans()):
        return s.call(target, other, x, shape=shape)
    return s.like(target, x, other)


def binary(s: Sketch, draw: Draw, x: Node) -> Node:
    other = draw(st.sampled_from([node for node, shape in s.shapes.items() if shape == s.shapes[x]]))
    target = draw(st.sampled_from([aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.maximum.default]))
    return s.like(target, x, other)


def cat(s: Sketch, draw: Draw, x: Node) -> Node:
    shape = s.shapes[x]
    others = [node for node, found in s.shapes.items() if found[1:] == shape[1:] and len(found) == len(shape)]
    others = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2))
    channels = shape[0] + sum(s.shapes[node][0] for node in others)
    return s.call(aten.cat.default, [x, *others], 1, shape=(channels, *shape[1:]))


def pad(s: Sketch, draw: Draw, x: Node) -> Node:
    *lead, width = s.shapes[x]
    left, right = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    if len(lead) == 2 and draw(st.booleans()):
        shape = (lead[0], lead[1] + 2, width + 2)
        return s.call(aten.constant_pad_nd.default, x, [1, 1, 1, 1], 0.0, shape=shape)
    return s.call(aten.constant_pad_nd.default, x, [left, right], 0.0, shape=(*lead, width + left + right))


def permute(s: Sketch, draw: Draw, x: Node) -> Node:
    shape = s.shapes[x]
    order = draw(st.permutations(range(len(shape))))
    return s.call(
        aten.permute.default, x, [0, *(axis + 1 for axis in order)], shape=tuple(shape[axis] for axis in order)
    )


def reshape(s: Sketch, draw: Draw, x: Node) -> Node:
    shape = s.shapes[x]
    axis = draw(st.integers(0, len(shape) - 1))
    options = [shape, (*shape[:axis], 1, *shape[axis:]), (math.prod(shape),)]
    if len(shape) > 1:
        options.append((shape[0], math.prod(shape[1:])))
    new = draw(st.sampled_from([option for option in options if len(option) <= 3]))
    return s.call(aten.reshape.default, x, [-1, *new], shape=new)


def reduce(s: Sketch, draw: Draw, x: Node) -> Node:
    shape = s.shapes[x]
    return s.call(aten.mean.dim, x, [-1], True, shape=(*shape[:-1], 1))


def layer_norm(s: Sketch, draw: Draw, x: Node) -> Node:
    """Layer normalization written out, with or without scale and shift."""
    shape = s.shapes[x]
    one = (*shape[:-1], 1)
    centred = s.like(aten.sub.Tensor, x, s.call(aten.mean.dim, x, [-1], True, shape=one))
    squares = s.like(aten.pow.Tensor_Scalar, centred, 2)
    variance = s.call(aten.mean.dim, squares, [-1], True, shape=one)
    scale = s.like(aten.rsqrt.default, s.like(aten.add.Tensor, variance, 1e-5))
    normal = s.like(aten.mul.Tensor, centred, scale)
    if draw(st.booleans()):
        normal = s.like(aten.mul.Tensor, normal, s.tensor(shape[-1]))
        normal = s.like(aten.add.Tensor, normal, s.tensor(shape[-1]))
    return normal


def attention(s: Sketch, draw: Draw, x: Node) -> Node:
    """Attention written out, each of the three from its own linear layer."""
    shape = s.shapes[x]
    features = shape[-1]
    q, k, v = (s.like(aten.linear.default, x, s.tensor(features, features), s.tensor(features)) for _ in range(3))
    turned = s.call(aten.transpose.int, k, -1, -2, shape=(*shape[:-2], features, shape[-2]))
    square = (*shape[:-2], shape[-2], shape[-2])
    scores = s.call(aten.matmul.default, q, turned, shape=square)
    scores = s.like(aten.div.Tensor, scores, math.sqrt(features))
    return s.call(aten.matmul.default, s.like(aten.softmax.int, scores, -1), v, shape=shape)


ANY = [activation, decomposed, affine, binary, cat, pad, permute, reshape, linear, reduce, layer_norm]
BY_AXES: dict[int, list[Any]] = {
    1: [activation, decomposed, affine, binary, cat, linear, linear, layer_norm, batch_norm, reshape],
    2: [*ANY, linear, attention],
    3: [*ANY, conv, conv, conv, batch_norm, batch_norm, attention],
}
MAX_ELEMENTS = 600  # of one sample


@st.composite
def programs(draw: Draw) -> Program:
    """A Program of 2 to 8 blocks on one or two inputs, with a dynamic batch axis."""
    shape = draw(st.sampled_from([(3, 5, 5), (4, 4), (6,), (2, 4, 6)]))
    sketch = Sketch([shape] * draw(st.integers(1, 2)), draw(st.integers(0, 2**16)))
    for _ in range(draw(st.integers(2, 8))):
        recent = list(sketch.shapes)[-4:]
        x = recent[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(list(sketch.shapes)))
        if math.prod(sketch.shapes[x]) > MAX_ELEMENTS:
            continue
        draw(st.sampled_from(BY_AXES[len(sketch.shapes[x])]))(sketch, draw, x)
    if not any(node.op == "call_function" for node in sketch.graph.nodes):
        activation(sketch, draw, next(iter(sketch.shapes)))
    return sketch.program()
