"""Nodes that multiply and shift by constants, and folding them into the linear maps beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.fx import Node

from fxopt import Candidate, StaleCandidate
from fxopt_passes.fusion.linear_maps import LinearMap, is_linear, linear_map
from fxopt_passes.matching import (
    Source,
    arguments,
    constant_of,
    dtype_of,
    is_call,
    is_float,
    only_user,
    per_channel,
    same_shape,
    shape_of,
    without_defaults,
)  # fmt: skip

if TYPE_CHECKING:
    from fxopt import Edit, Program, View

aten = torch.ops.aten

_ONE, _ZERO = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
_MULTIPLY = (aten.mul.Tensor, aten.mul.Scalar)
_DIVIDE = (aten.div.Tensor, aten.div.Scalar)
_ADD = (aten.add.Tensor, aten.add.Scalar)
_SUBTRACT = (aten.sub.Tensor, aten.sub.Scalar)
_REVERSED = (aten.rsub.Tensor, aten.rsub.Scalar)
_ELEMENTWISE = (*_MULTIPLY, *_DIVIDE, *_ADD, *_SUBTRACT, *_REVERSED)
_NORMALIZATIONS = (aten.layer_norm.default, aten.group_norm.default, aten.rms_norm.default)
# One number for all elements passes through these: they only move elements.
_MOVES = (
    aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int,
    aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.expand.default, aten.clone.default,
    aten.t.default, aten.flatten.using_ints, aten.contiguous.default, aten._unsafe_view.default,  # noqa: SLF001
)  # fmt: skip


@dataclass(frozen=True)
class Affine:
    """A node whose value is `input * scale + shift`.

    Attributes:
        node: the node.
        input: what it is affine in. For a normalization the node itself: `without` makes what remains of it.
        scale, shift: float64, broadcasting over the node's value.
    """

    node: Node
    input: Node
    scale: torch.Tensor
    shift: torch.Tensor

    @property
    def number(self) -> bool:
        """Whether all elements are treated alike."""
        return self.scale.numel() == 1 and self.shift.numel() == 1

    @property
    def finite(self) -> bool:
        """Whether no constant is infinite or nan."""
        return bool(self.scale.isfinite().all() and self.shift.isfinite().all())

    @property
    def shifts(self) -> bool:
        """Whether it does more than scale."""
        return bool(self.shift.any())

    def without(self, edit: Edit) -> Node:
        """What remains of the node once others do the scaling and shifting."""
        if self.input is not self.node:
            return self.input
        call = arguments(self.node)
        return edit.call(self.node.target, without_defaults(self.node, call | {"weight": None} | _no_bias(call)))

    def channels(self, linear: LinearMap, count: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Scale and shift as one number a channel of `linear`; None where they vary along other axes."""
        rank = len(shape_of(self.node) or ())
        scale = per_channel(self.scale, rank, linear.axis, count)
        shift = per_channel(self.shift, rank, linear.axis, count)
        return None if scale is None or shift is None else (scale, shift)


def elementwise_affine(source: Source, node: object) -> Affine | None:
    """The affine view of a multiplication, division, addition or subtraction with a constant."""
    if not is_call(node, *_ELEMENTWISE) or not is_float(node):
        return None
    assert isinstance(node, Node)
    call = arguments(node)
    left, right, alpha = call["self"], call["other"], call.get("alpha", 1)
    a, b = constant_of(source, left), constant_of(source, right)
    value, constant = (left, b) if a is None else (right, a)
    if not isinstance(value, Node) or constant is None or (a is not None and b is not None):
        return None
    if dtype_of(value) != dtype_of(node) or not same_shape(value, node) or isinstance(alpha, torch.SymInt):
        return None
    if node.target in _MULTIPLY:
        return Affine(node, value, constant, _ZERO)
    if node.target in _DIVIDE:
        return Affine(node, value, 1 / constant, _ZERO) if b is not None else None
    sign_left, sign_right = 1.0, float(alpha)
    if node.target in _SUBTRACT:
        sign_right = -sign_right
    elif node.target in _REVERSED:
        sign_left, sign_right = -sign_right, 1.0
    mine, other = (sign_left, sign_right) if b is not None else (sign_right, sign_left)
    return Affine(node, value, _ONE * mine, constant * other)


def batch_norm_affine(source: Source, node: object) -> Affine | None:
    """The affine view of a batch norm with fixed statistics."""
    if not is_call(node, aten.batch_norm.default):
        return None
    assert isinstance(node, Node)
    call = arguments(node)
    mean, variance = constant_of(source, call["running_mean"]), constant_of(source, call["running_var"])
    weight, bias = (constant_of(source, call[name]) for name in ("weight", "bias"))
    absent = (weight is None) != (call["weight"] is None) or (bias is None) != (call["bias"] is None)
    if mean is None or variance is None or absent or call["training"] or dtype_of(call["input"]) != dtype_of(node):
        return None
    scale = (variance + call["eps"]).rsqrt() * (_ONE if weight is None else weight)
    shift = (_ZERO if bias is None else bias) - mean * scale
    along = (-1, *[1] * (len(shape_of(node) or ()) - 2))
    return Affine(node, call["input"], scale.reshape(along), shift.reshape(along))


def normalization_affine(source: Source, node: object) -> Affine | None:
    """The affine part at the end of a layer, group or RMS norm; None where it has none."""
    if not is_call(node, *_NORMALIZATIONS) or not is_float(node):
        return None
    assert isinstance(node, Node)
    call = arguments(node)
    weight, bias = (constant_of(source, call.get(name)) for name in ("weight", "bias"))
    if (weight is None) != (call["weight"] is None) or (bias is None) != (call.get("bias") is None):
        return None
    if (weight is None and bias is None) or dtype_of(call["input"]) != dtype_of(node):
        return None
    along = (-1, *[1] * (len(shape_of(node) or ()) - 2)) if node.target == aten.group_norm.default else None
    scale, shift = _ONE if weight is None else weight, _ZERO if bias is None else bias
    if along is not None:
        scale, shift = (item if item.dim() == 0 else item.reshape(along) for item in (scale, shift))
    return Affine(node, node, scale, shift)


def affine_map(source: Source, node: object) -> Affine | None:
    """Whatever affine view the node has."""
    return elementwise_affine(source, node) or batch_norm_affine(source, node) or normalization_affine(source, node)


def propose_folds(program: Program, view: View, affine: Affine) -> Iterator[Candidate]:
    """A candidate that folds `affine` into the linear map before it, else into all those after it; else a decline."""
    reasons = []
    for into, sites in (("producer", producer_sites), ("users", user_sites)):
        found = sites(program, affine)
        if isinstance(found, list):
            constants = (item.name for item in affine.node.all_input_nodes if item.op == "get_attr")
            reads = {*constants, affine.input.name}
            for linear in (linear_map(program, node) for node in found):
                reads |= linear.weight_names if linear else set()
            writes = frozenset({affine.node.name, *(node.name for node in found)})
            site = (affine.node.name, *(node.name for node in found))
            yield Candidate(view.rule, site, writes, frozenset(reads) - writes, {"into": into})
            return
        if found:
            reasons.append(found)
    if reasons:
        view.decline(affine.node, "; ".join(reasons))


def apply_fold(edit: Edit, affine: Affine | None, candidate: Candidate) -> None:
    """Do what `propose_folds` proposed.

    Raises:
        StaleCandidate: the site is not what it was.
    """
    into = candidate.parameters["into"]
    sites = producer_sites if into == "producer" else user_sites
    found = sites(edit, affine) if affine else None
    if affine is None or not isinstance(found, list) or [node.name for node in found] != list(candidate.site[1:]):
        raise StaleCandidate(f"{candidate.id}: {candidate.site[0]} no longer folds into its {into}")
    if into == "producer":
        _fold_into_producer(edit, affine, found)
    else:
        _fold_into_users(edit, affine, found)


def producer_sites(source: Source, affine: Affine) -> list[Node] | str | None:
    """The nodes from the affine's input up to the linear map before it; a reason against it; None if there is none."""
    if affine.input is affine.node:
        return None
    path = [affine.input]
    while is_call(path[-1], *_MOVES) and affine.number:
        path.append(path[-1].all_input_nodes[0])
    if not is_linear(path[-1]):
        return None
    linear = linear_map(source, path[-1])
    if linear is None:
        return f"the weight of {path[-1].name} is not a constant"
    for node in path:
        if only_user(node) is None:
            return f"{node.name} {_users(node)}"
    if not affine.finite:
        return "its constants are not finite"
    if not affine.number and affine.channels(linear, linear.channels_out) is None:
        return f"its constants do not lie along the output channels of {linear.node.name}"
    return path


def user_sites(source: Source, affine: Affine) -> list[Node] | str | None:
    """The linear maps that use the affine's value, all of them; a reason against it; None if none does."""
    if not any(is_linear(user) for user in affine.node.users):
        return None
    for user in affine.node.users:
        if user.op == "output":
            return "its value is an output"
        if not is_linear(user):
            return f"its user {user.name} is not a linear map"
        linear = linear_map(source, user)
        if linear is None or linear.input is not affine.node:
            return f"the weight of {user.name} is not a constant"
        if affine.channels(linear, linear.channels_in) is None:
            return f"its constants do not lie along the input channels of {user.name}"
        if affine.shifts and linear.transposed and not linear.uniform:
            return f"the edges of {user.name} would see the shift less often than its middle"
        if affine.shifts and not linear.uniform:
            return f"the zero padding of {user.name} would see the shift"
    return list(affine.node.users) if affine.finite else "its constants are not finite"


def _fold_into_producer(edit: Edit, affine: Affine, path: list[Node]) -> None:
    linear = linear_map(edit, path[-1])
    assert linear is not None
    if affine.number:
        scale, shift = (item.reshape(1).expand(linear.channels_out) for item in (affine.scale, affine.shift))
    else:
        scale, shift = affine.channels(linear, linear.channels_out)  # type: ignore[misc]
    blocks = None if bool((scale == 1).all()) else linear.scale_out(scale)
    has_bias = linear.bias is not None or affine.shifts
    value = linear.rebuild(edit, linear.input, blocks, linear.bias64 * scale + shift if has_bias else None)
    for move in reversed(path[:-1]):
        value = edit.call(move.target, (value, *move.args[1:]), move.kwargs)
    edit.replace(affine.node, value)


def _fold_into_users(edit: Edit, affine: Affine, users: list[Node]) -> None:
    source = affine.without(edit)
    for user in users:
        linear = linear_map(edit, user)
        assert linear is not None
        scale, shift = affine.channels(linear, linear.channels_in)  # type: ignore[misc]
        blocks = None if bool((scale == 1).all()) else linear.scale_in(scale)
        bias = linear.bias64 + linear.of_constant(shift) if affine.shifts else linear.bias64
        has_bias = linear.bias is not None or affine.shifts
        edit.replace(user, linear.rebuild(edit, source, blocks, bias if has_bias else None))


def _users(node: Node) -> str:
    if len(node.users) == 1:
        return "is an output"
    return f"has {len(node.users)} users"


def _no_bias(call: dict[str, object]) -> dict[str, None]:
    return {"bias": None} if "bias" in call else {}
