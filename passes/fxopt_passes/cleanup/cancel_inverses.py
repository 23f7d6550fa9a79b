"""Compose neighbours of one kind into one call or none: permutations, reshapes, pads, casts, clamps, negations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Stage
from fxopt_passes.local import Call, Found, LocalRewrite
from fxopt_passes.matching import Source, arguments, dtype_of, is_call, same_shape

aten = torch.ops.aten

_PERMUTES = (aten.permute.default, aten.transpose.int, aten.t.default)
_VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default)  # noqa: SLF001
_RESHAPES = (
    *_VIEWS, aten.flatten.using_ints, aten.unflatten.int, aten.unsqueeze.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
)  # fmt: skip
_PADS = (aten.pad.default, aten.constant_pad_nd.default)
_CASTS = (aten._to_copy.default, aten.to.dtype)  # noqa: SLF001
_CLAMPS = (
    aten.relu.default, aten.relu6.default, aten.hardtanh.default,
    aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default,
)  # fmt: skip
_INVOLUTIONS = (aten.neg.default, aten.logical_not.default, aten.bitwise_not.default)


@dataclass(frozen=True)
class CancelInverses(LocalRewrite):
    """Apply two neighbouring calls of one kind as one, or not at all where they cancel."""

    name: ClassVar[str] = "cancel_inverses"
    stage: ClassVar[Stage] = Stage.CLEAN

    def match(self, source: Source, node: Node) -> Found | str | None:
        inner = node.args[0] if node.args else None
        for kind, compose in _RULES:
            if is_call(node, *kind) and is_call(inner, *kind):
                value = compose(node, inner)
                if not isinstance(value, Call):
                    return value if value is None or isinstance(value, str) else Found(value, reads=[inner])
                # A composed call beside the first one would save nothing where that has other users.
                return Found(value, inner=[inner], reads=inner.all_input_nodes[:1])
        return None


def _permutes(outer: Node, inner: Node) -> Node | Call | str | None:
    first, second = _permutation(inner), _permutation(outer)
    order = [first[axis] for axis in second]
    x = inner.args[0]
    return x if order == sorted(order) else Call(aten.permute.default, (x, order), label="permute")  # type: ignore[return-value]


def _permutation(node: Node) -> list[int]:
    rank = len(node.meta["val"].shape)
    order = list(range(rank))
    if node.target == aten.permute.default:
        return [axis % rank for axis in node.args[1]]  # type: ignore[union-attr]
    a, b = (0, rank - 1) if node.target == aten.t.default else (axis % rank for axis in node.args[1:3])  # type: ignore[operator]
    order[a], order[b] = order[b], order[a]
    return order


def _reshapes(outer: Node, inner: Node) -> Node | Call | str | None:
    x = inner.args[0]
    if same_shape(outer, x):
        return x  # type: ignore[return-value]
    return Call(outer.target, (x, *outer.args[1:]), label="reshape") if outer.target in _VIEWS else None


def _pads(outer: Node, inner: Node) -> Node | Call | str | None:
    first, second = arguments(inner), arguments(outer)
    if {first.get("mode", "constant"), second.get("mode", "constant")} != {"constant"}:
        return "pads that reflect or repeat do not add up"
    if (first["value"] or 0) != (second["value"] or 0):
        return f"the pads hold different values, {first['value'] or 0} and {second['value'] or 0}"
    sizes = [list(first["pad"]), list(second["pad"])]
    if not all(isinstance(size, int) and size >= 0 for size in sizes[0] + sizes[1]):
        return "a pad that crops does not add up"
    length = max(map(len, sizes))
    total = [sum(size) for size in zip(*(size + [0] * (length - len(size)) for size in sizes), strict=True)]
    return Call(aten.constant_pad_nd.default, (inner.args[0], total, first["value"] or 0), label="pad")


def _casts(outer: Node, inner: Node) -> Node | Call | str | None:
    x = inner.args[0]
    start, middle, end = dtype_of(x), dtype_of(inner), dtype_of(outer)
    if start is None or middle is None or end is None:
        return None
    if not _lossless(start, middle):
        return f"the cast from {_word(start)} to {_word(middle)} loses digits"
    return x if start == end else Call(aten._to_copy.default, (x,), {"dtype": end}, label="cast")  # type: ignore[return-value]  # noqa: SLF001


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _lossless(start: torch.dtype, end: torch.dtype) -> bool:
    """Whether each value of one type is a value of the other."""
    if start == end or start == torch.bool:
        return True
    if start.is_complex or end.is_complex or end == torch.bool:
        return False
    if start.is_floating_point:
        if not end.is_floating_point:
            return False
        a, b = torch.finfo(start), torch.finfo(end)
        return a.eps >= b.eps and a.max <= b.max and a.smallest_normal * a.eps >= b.smallest_normal * b.eps
    limits = torch.iinfo(start)
    if end.is_floating_point:  # every integer up to 2 / eps in magnitude has its own number
        return max(-limits.min, limits.max) <= min(2 / torch.finfo(end).eps, torch.finfo(end).max)
    return torch.iinfo(end).min <= limits.min and limits.max <= torch.iinfo(end).max


def _clamps(outer: Node, inner: Node) -> Node | Call | str | None:
    first, second = _bounds(inner), _bounds(outer)
    if first is None or second is None:
        return "a bound is not a number"
    x = inner.args[0]
    if dtype_of(x) != dtype_of(outer):
        return "the clamp changes the dtype"
    # min(max(x, low), high) is monotone, so the second clamp acts on the bounds of the first. All of these keep nan.
    low, high = (min(max(bound, second[0]), second[1]) for bound in first)
    if (low, high) == first:
        return inner
    if (low, high) == second:
        return Call(outer.target, (x, *outer.args[1:]), outer.kwargs, label="clamp")
    bounds = [None if math.isinf(bound) else bound for bound in (low, high)]
    if low == high and math.isinf(low):
        return None
    return Call(aten.clamp.default, (x, *bounds), label="clamp")


def _bounds(node: Node) -> tuple[float, float] | None:
    """The least and greatest value of a clamp; None where they are not numbers."""
    if node.target in (aten.relu.default, aten.relu6.default):
        return (0, 6) if node.target == aten.relu6.default else (0, math.inf)
    given: dict[str, Any] = arguments(node)
    least, most = given.get("min", given.get("min_val")), given.get("max", given.get("max_val"))
    least, most = -math.inf if least is None else least, math.inf if most is None else most
    return (least, most) if isinstance(least, (int, float)) and isinstance(most, (int, float)) else None


def _involutions(outer: Node, inner: Node) -> Node | Call | str | None:
    return inner.args[0] if outer.target == inner.target and dtype_of(inner.args[0]) == dtype_of(outer) else None  # type: ignore[return-value]


_RULES = (
    (_PERMUTES, _permutes),
    (_RESHAPES, _reshapes),
    (_PADS, _pads),
    (_CASTS, _casts),
    (_CLAMPS, _clamps),
    (_INVOLUTIONS, _involutions),
)
