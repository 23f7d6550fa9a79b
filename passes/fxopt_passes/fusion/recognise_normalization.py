"""Recognise LayerNorm and RMSNorm that are written out in arithmetic, and call their operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch.fx import Node

from fxopt import Stage
from fxopt_passes.local import Call, Found, LocalRewrite
from fxopt_passes.matching import Source, arguments, dtype_of, is_call, is_float, only_user, scalar_of, shape_of

aten = torch.ops.aten


@dataclass(frozen=True)
class _Core:
    """A value divided by its spread: what is normalised, over how many last axes, and whether the mean goes first."""

    x: Node
    axes: int
    eps: float
    centred: bool
    inner: frozenset[Node]


@dataclass(frozen=True)
class _Affine:
    """A core with a weight and a bias, where there are some."""

    core: _Core
    inner: frozenset[Node]
    weight: Node | torch.Tensor | None = None
    bias: Node | torch.Tensor | None = None


@dataclass(frozen=True)
class RecogniseNormalization(LocalRewrite):
    """Write decomposed LayerNorm and RMSNorm over the last axes, with weight and bias, as one call."""

    name: ClassVar[str] = "recognise_normalization"
    stage: ClassVar[Stage] = Stage.FUSE

    def match(self, source: Source, node: Node) -> Found | str | None:
        found = _affine(source, node)
        if not isinstance(found, _Affine):
            return found
        user = only_user(node)
        if user is not None and isinstance(_affine(source, user), _Affine):
            return None  # the user is the larger match
        core, sizes = found.core, (shape_of(found.core.x) or ())[-found.core.axes :]
        if not is_float(core.x):
            return "it normalises integers"
        if not all(isinstance(size, int) for size in sizes):
            return "the size of the axes that it normalises is dynamic"
        if core.centred:
            call = Call(aten.layer_norm.default, (core.x, list(sizes), found.weight, found.bias, core.eps))
        else:
            call = Call(aten.rms_norm.default, (core.x, list(sizes), found.weight, core.eps))
        return Found(call, inner=found.inner - {node})


def _affine(source: Source, node: Node) -> _Affine | str | None:
    """`core`, `core * weight` or `core * weight + bias`; the constants in either order."""
    if is_call(node, aten.mul.Tensor, aten.div.Tensor):
        core = _core(source, node)
        if core is not None:
            return core if isinstance(core, str) else _Affine(core, core.inner | {node})
    if is_call(node, aten.mul.Tensor):
        for value, constant in ((node.args[0], node.args[1]), (node.args[1], node.args[0])):
            core = _core(source, value) if isinstance(value, Node) else None
            weight = _parameter(source, constant, core)
            if isinstance(core, _Core) and weight is not None:
                return _Affine(core, core.inner | {node, value}, weight=weight)  # type: ignore[arg-type]
    if is_call(node, aten.add.Tensor) and node.kwargs.get("alpha", 1) == 1:
        for value, constant in ((node.args[0], node.args[1]), (node.args[1], node.args[0])):
            if source.tensor(constant) is None or not is_call(value, aten.mul.Tensor, aten.div.Tensor):
                continue
            inner = _affine(source, value)  # type: ignore[arg-type]
            if isinstance(inner, _Affine) and inner.core.centred:
                bias = _parameter(source, constant, inner.core)
                if bias is not None:
                    return _Affine(inner.core, inner.inner | {node}, inner.weight, bias)
    return None


def _parameter(source: Source, node: object, core: object) -> Node | torch.Tensor | None:
    """A constant that varies along the normalised axes, in their shape; None for anything else."""
    tensor = source.tensor(node)
    if tensor is None or not isinstance(core, _Core) or tensor.dtype != dtype_of(core.x):
        return None
    sizes = list((shape_of(core.x) or ())[-core.axes :])
    shape = list(tensor.shape)
    if shape == sizes:
        return node  # type: ignore[return-value]
    while len(shape) > len(sizes) and shape[0] == 1:
        shape.pop(0)
    return tensor.reshape(shape) if shape == sizes and tensor.dim() <= len(shape_of(core.x) or ()) else None


def _core(source: Source, node: Node) -> _Core | str | None:
    """`d * rsqrt(v + eps)`, `d / sqrt(v + eps)` where v is the mean of d squared, and d is x or x minus its mean."""
    if not is_call(node, aten.mul.Tensor, aten.div.Tensor):
        return None
    orders = [node.args[:2], node.args[1::-1]] if is_call(node, aten.mul.Tensor) else [node.args[:2]]
    for value, scale in orders:
        between: frozenset[Node] = frozenset()
        if is_call(node, aten.mul.Tensor):
            if _is_reciprocal(scale):
                between, scale = frozenset({scale}), scale.args[0]  # type: ignore[arg-type, union-attr]
            elif not is_call(scale, aten.rsqrt.default):
                continue
        elif is_call(scale, aten.rsqrt.default):
            continue
        core = _of_scale(source, value, scale) if isinstance(value, Node) and isinstance(scale, Node) else None
        if core is not None:
            return replace(core, inner=core.inner | between) if isinstance(core, _Core) else core
    return None


def _is_reciprocal(node: object) -> bool:
    return is_call(node, aten.reciprocal.default) and is_call(node.args[0], aten.sqrt.default, aten.pow.Tensor_Scalar)  # type: ignore[attr-defined]


def _of_scale(source: Source, value: Node, scale: Node) -> _Core | str | None:
    root_of = scale.args[0] if is_call(scale, aten.rsqrt.default, aten.sqrt.default) else None
    if is_call(scale, aten.pow.Tensor_Scalar) and scale.args[1] == 0.5:
        root_of = scale.args[0]
    if root_of is None:
        if (
            is_call(scale, aten.add.Tensor)
            and any(map(_is_deviation, scale.args[:2]))
            and any(isinstance(item, Node) and _centre(item) for item in (value, *value.args))
        ):
            return "eps is added to the standard deviation, not to the variance"
        return None
    if not is_call(root_of, aten.add.Tensor, aten.add.Scalar):
        return None
    left, right = root_of.args[:2]  # type: ignore[union-attr]
    spread, constant = (left, right) if scalar_of(source, right) is not None else (right, left)
    eps = scalar_of(source, constant)
    if eps is None or eps < 0 or not isinstance(spread, Node) or root_of.kwargs.get("alpha", 1) != 1:  # type: ignore[union-attr]
        return None
    return _of_spread(value, spread, eps, frozenset({scale, root_of}))  # type: ignore[arg-type]


def _of_spread(value: Node, spread: Node, eps: float, inner: frozenset[Node]) -> _Core | str | None:
    centre = _centre(value)
    if is_call(spread, aten.var.correction, aten.var.dim):
        if centre is None or spread.args[0] not in (centre[0], value):
            return None
        given = arguments(spread)
        if given.get("unbiased", given.get("correction")) in (True, None) or given.get("correction"):
            return "the variance divides by n - 1"
        squared: frozenset[Node] = frozenset()
    elif is_call(spread, aten.mean.dim):
        given, power = arguments(spread), spread.args[0]
        base = _squared(power)
        if base is None or (base is not value and not (_centre(base) and centre and _centre(base)[0] is centre[0])):  # type: ignore[index]
            return None
        squared = frozenset({power, *({base} if base is not value else ())})  # type: ignore[arg-type]
        if base is not value:
            squared |= _centre(base)[1] - {base}  # type: ignore[index]
    else:
        return None
    axes = _last_axes(spread, given["dim"])
    if not given["keepdim"] or (centre and _last_axes(centre[2], arguments(centre[2])["dim"]) != axes):
        return None
    if axes is None:
        return f"it normalises over axes {list(given['dim'])}, which are not the last"
    x, centring = (centre[0], centre[1]) if centre else (value, frozenset())
    return _Core(x, axes, eps, centre is not None, inner | squared | centring | {spread})


def _centre(node: Node) -> tuple[Node, frozenset[Node], Node] | None:
    """For `x - mean(x)`: x, the calls, and the mean; else None."""
    if is_call(node, aten.sub.Tensor) and is_call(node.args[1], aten.mean.dim) and node.kwargs.get("alpha", 1) == 1:
        mean = node.args[1]
        if mean.args[0] is node.args[0] and arguments(mean)["keepdim"] and isinstance(node.args[0], Node):  # type: ignore[union-attr, arg-type]
            return node.args[0], frozenset({node, mean}), mean  # type: ignore[arg-type, return-value]
    return None


def _squared(node: object) -> Node | None:
    if not isinstance(node, Node) or not node.args or not isinstance(node.args[0], Node):
        return None
    square = (
        is_call(node, aten.square.default)
        or (is_call(node, aten.pow.Tensor_Scalar) and node.args[1] == 2)
        or (is_call(node, aten.mul.Tensor) and node.args[0] is node.args[1])
    )
    return node.args[0] if square else None


def _is_deviation(node: object) -> bool:
    return is_call(node, aten.std.correction, aten.std.dim, aten.sqrt.default)


def _last_axes(node: Node, axes: object) -> int | None:
    """How many last axes these are; None where they are others."""
    rank = len(shape_of(node.args[0]) or ())
    chosen = sorted(axis % rank for axis in (axes if isinstance(axes, (list, tuple)) and axes else range(rank)))
    return len(chosen) if chosen == list(range(rank - len(chosen), rank)) else None
