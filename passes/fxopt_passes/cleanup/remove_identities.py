"""Remove calls that give back their argument: copies, dropout in evaluation, `x + 0`, shapes that stay the same."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.fx import Node

from fxopt import Stage
from fxopt_passes.local import Found, LocalRewrite
from fxopt_passes.matching import Source, arguments, constant_of, dtype_of, same_shape

aten = torch.ops.aten

_COPIES = {aten.clone.default, aten.alias.default, aten.detach.default, aten.contiguous.default, aten.positive.default}
_DROPOUTS = {aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default}
_CASTS = {aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout, aten.type_as.default}  # noqa: SLF001
# Operators that only select or arrange elements in order: where the shape stays, all stays.
_ORDERED = {
    aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.flatten.using_ints, aten.expand.default,  # noqa: SLF001
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.repeat.default, aten.slice.Tensor,
}  # fmt: skip
_NEUTRAL = {aten.add.Tensor: 0, aten.sub.Tensor: 0, aten.mul.Tensor: 1, aten.div.Tensor: 1, aten.pow.Tensor_Scalar: 1}
_COMMUTE = {aten.add.Tensor, aten.mul.Tensor}
_SPLITS = {aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default}


@dataclass(frozen=True)
class RemoveIdentities(LocalRewrite):
    """Use a call's argument instead of the call where both are one value."""

    name: ClassVar[str] = "remove_identities"
    stage: ClassVar[Stage] = Stage.CLEAN

    def match(self, source: Source, node: Node) -> Found | str | None:
        same = _unchanged(source, node)
        return None if same is None else Found(same, reads=[same])


def _unchanged(source: Source, node: Node) -> Node | None:
    """The argument that the call gives back, or None."""
    target, first = node.target, node.args[0] if node.args else None
    if target in _NEUTRAL:
        return _neutral(source, node)
    if target == aten.cat.default and isinstance(first, (list, tuple)):
        return first[0] if len(first) == 1 and isinstance(first[0], Node) else None
    if not isinstance(first, Node):
        return None
    if target is operator.getitem and first.target in _SPLITS and isinstance(first.args[0], Node):
        return first.args[0] if same_shape(first.args[0], node) else None
    same = (
        target in _COPIES
        or (target in _DROPOUTS and not arguments(node)["train"])
        or (target in _CASTS and dtype_of(first) == dtype_of(node))
        or (target in _ORDERED and same_shape(first, node))
        or (target == aten.permute.default and _axes(node, node.args[1]) == list(range(len(node.meta["val"].shape))))
        or (target == aten.transpose.int and len(set(_axes(node, node.args[1:3]))) == 1)
        or (target in (aten.pad.default, aten.constant_pad_nd.default) and not any(node.args[1]))  # type: ignore[arg-type]
    )
    return first if same else None


def _neutral(source: Source, node: Node) -> Node | None:
    left, right = node.args[:2]
    for value, other in ((left, right), *([(right, left)] if node.target in _COMMUTE else [])):
        constant = constant_of(source, other)
        if isinstance(value, Node) and constant is not None and bool((constant == _NEUTRAL[node.target]).all()):
            return value if node.kwargs.get("alpha", 1) == 1 or value is left else None
    return None


def _axes(node: Node, axes: object) -> list[int]:
    rank = len(node.meta["val"].shape)
    return [axis % rank for axis in axes]  # type: ignore[attr-defined]
