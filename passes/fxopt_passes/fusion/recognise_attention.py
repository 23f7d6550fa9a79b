"""Recognise softmax attention that is written out in matrix products, and call its operator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Stage
from fxopt_passes.local import Call, Found, LocalRewrite
from fxopt_passes.matching import Source, arguments, dtype_of, is_call, is_float, scalar_of, shape_of

aten = torch.ops.aten

_PRODUCTS = (aten.matmul.default, aten.bmm.default)
_SOFTMAXES = (aten.softmax.int, aten._softmax.default)  # noqa: SLF001
_MUL, _DIV = (aten.mul.Tensor, aten.mul.Scalar), (aten.div.Tensor, aten.div.Scalar)


@dataclass(frozen=True)
class RecogniseAttention(LocalRewrite):
    """Write `softmax(q @ k.T * scale + mask) @ v` as one scaled_dot_product_attention."""

    name: ClassVar[str] = "recognise_attention"
    stage: ClassVar[Stage] = Stage.FUSE

    def match(self, source: Source, node: Node) -> Found | str | None:
        if not is_call(node, *_PRODUCTS):
            return None
        weights, value = node.args[:2]
        inner: set[Node] = set()
        while is_call(weights, aten.clone.default, aten.alias.default):  # dropout
            inner.add(weights)  # type: ignore[arg-type]
            weights = weights.args[0]  # type: ignore[union-attr]
        if not is_call(weights, *_SOFTMAXES):
            return None
        inner.add(weights)  # type: ignore[arg-type]
        scores, axis = weights.args[:2]  # type: ignore[union-attr]
        rank = len(shape_of(scores) or ())
        if axis not in (-1, rank - 1) or not is_float(scores) or dtype_of(scores) != dtype_of(weights):
            return None
        masked = _mask(source, scores, inner)  # type: ignore[arg-type]
        if isinstance(masked, str):
            return masked
        scores, mask = masked
        scores, scale = _scaled(source, scores, inner)
        if not is_call(scores, *_PRODUCTS):
            return "its scores are not a product of two values" if mask is None else None
        inner.add(scores)  # type: ignore[arg-type]
        return _attention(source, scores, value, scale, mask, inner)  # type: ignore[arg-type]


def _attention(
    source: Source, scores: Node, value: Node, scale: float, mask: Any, inner: set[Node]
) -> Found | str | None:
    query, first = _scaled(source, scores.args[0], inner)
    key, second = _scaled(source, scores.args[1], inner)
    transposed, key, third = key, _transposed(key), 1.0
    if isinstance(key, Node) and len(transposed.users) == 1:
        inner.add(transposed)
        key, third = _scaled(source, key, inner)
    shapes = [shape_of(item.args[0] if isinstance(item, Call) else item) or () for item in (query, key, value)]
    rank = len(shapes[0])
    if rank not in (3, 4) or any(len(shape) != rank for shape in shapes):
        return f"its values have {[len(shape) for shape in shapes]} axes; the operator takes 3 or 4"
    if any(str(shape[axis]) != str(shapes[0][axis]) for shape in shapes for axis in range(rank - 2)):
        return "a batch axis is broadcast"
    if mask is not None and len(_shape(mask)) > rank:
        return "the mask has more axes than the scores"
    operands = [query, key, value, mask]
    if rank == 3:  # engines take heads as axis 1
        operands = [
            Call(aten.unsqueeze.default, (item, 1)) if item is not mask or len(_shape(mask)) == 3 else mask
            for item in operands
        ]
    kwargs = {"scale": scale * first * second * third}
    call = Call(aten.scaled_dot_product_attention.default, tuple(operands), kwargs, label="attention")
    return Found(Call(aten.squeeze.dim, (call, 1)) if rank == 3 else call, inner=inner, reads=[transposed])


def _shape(mask: Any) -> tuple[Any, ...]:
    """The shape of a mask that is a node, or a call on one; () for none."""
    return shape_of(mask.args[0] if isinstance(mask, Call) else mask) or ()


def _scaled(source: Source, node: Any, inner: set[Node]) -> tuple[Any, float]:
    """The value under multiplications and divisions by numbers, and the number; they join `inner`."""
    scale = 1.0
    while is_call(node, *_MUL, *_DIV):
        left, right = node.args[:2]
        factor, value = scalar_of(source, right), left
        if factor is None and is_call(node, *_MUL):
            factor, value = scalar_of(source, left), right
        if factor is None or not factor or not isinstance(value, Node) or dtype_of(value) != dtype_of(node):
            break
        scale = scale / factor if is_call(node, *_DIV) else scale * factor
        inner.add(node)
        node = value
    return node, scale


def _transposed(node: Any) -> Node | Call:
    """The value with its last two axes exchanged."""
    rank = len(shape_of(node) or ())
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    if (is_call(node, aten.transpose.int) and {axis % rank for axis in node.args[1:3]} == set(swapped[-2:])) or (
        is_call(node, aten.permute.default) and [axis % rank for axis in node.args[1]] == swapped
    ):
        return node.args[0]  # type: ignore[no-any-return]
    return Call(aten.transpose.int, (node, -2, -1))


def _mask(source: Source, scores: Node, inner: set[Node]) -> tuple[Node, Any] | str:
    """The scores before masking, and the mask as the operator takes it: added, or true where a key may be seen."""
    if is_call(scores, aten.add.Tensor) and arguments(scores)["alpha"] == 1:
        for value, mask in (scores.args[:2], scores.args[1::-1]):
            if isinstance(mask, Node) and _is_product(value):
                if dtype_of(mask) != dtype_of(scores):
                    return "the mask has another dtype than the scores"
                inner.add(scores)
                return value, mask  # type: ignore[return-value]
    filled = is_call(scores, aten.masked_fill.Scalar)
    if filled or is_call(scores, aten.where.ScalarOther):
        value, mask = scores.args[:2] if filled else scores.args[1::-1]
        if scores.args[2] != -math.inf:
            return f"masked scores are {scores.args[2]:g}, not -inf: rows that see nothing would change"
        known = source.tensor(mask)
        if known is None or bool((known if filled else ~known).all(-1).any()):
            return "the mask may hide a whole row, which is nan and would be 0"
        inner.add(scores)
        return value, Call(aten.logical_not.default, (mask,)) if filled else mask  # type: ignore[return-value]
    return scores, None


def _is_product(node: object) -> bool:
    """Whether it is a matrix product, scaled or not."""
    while is_call(node, *_MUL, *_DIV):
        tensors = [item for item in node.args[:2] if isinstance(item, Node) and len(shape_of(item) or ()) > 2]  # type: ignore[attr-defined]
        node = tensors[0] if tensors else None
    return is_call(node, *_PRODUCTS)
