"""Nodes that multiply and shift by constants, and folding them into the linear maps beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.fx import Node

from fxopt import Candidate, StaleCandidate
from fxopt_passes.fusion.linear_maps import LinearMap, is_linear, linear_map
from fxopt_passes.fusion.moves import MOVES, carried
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

    def beyond(self, move: Node, forward: bool) -> Affine | None:
        """The same affine map on the other side of a call that only moves elements; None where there is none."""
        scale, shift = carried(self.scale, move, forward), carried(self.shift, move, forward)
        return None if scale is None or shift is None else replace(self, scale=scale, shift=shift)

    def channels(self, linear: LinearMap, count: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Scale and shift as one number a channel of `linear`; None where they vary along other axes."""
        rank = len(shape_of(linear.node) or ())
        scale = per_channel(self.scale, rank, linear.axis, count)
        shift = per_channel(self.shift, rank, linear.axis, count)
        return None if scale is None or shift is None else (scale, shift)


@dataclass(frozen=True)
class Place:
    """Where an affine map goes.

    Attributes:
        affine: with the constants that it has at the linear maps, behind the moves.
        moves: calls between it and the linear maps, in the order away from it.
        linear: the linear maps: the one before it, or all after it.
    """

    affine: Affine
    moves: tuple[Node, ...]
    linear: tuple[LinearMap, ...]

    @property
    def site(self) -> tuple[str, ...]:
        """Names of all its nodes, the affine map's first."""
        nodes = (self.affine.node, *self.moves, *(item.node for item in self.linear))
        return tuple(node.name for node in nodes)


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
    for into, find in _FINDERS.items():
        place = find(program, affine)
        if isinstance(place, Place):
            reads = {item.name for item in affine.node.all_input_nodes if item.op == "get_attr"} | {affine.input.name}
            reads.update(*(linear.weight_names for linear in place.linear))
            writes = frozenset(place.site)
            yield Candidate(view.rule, place.site, writes, frozenset(reads) - writes, {"into": into})
            return
        if place:
            reasons.append(place)
    if reasons:
        view.decline(affine.node, "; ".join(reasons))


def apply_fold(edit: Edit, affine: Affine | None, candidate: Candidate) -> None:
    """Do what `propose_folds` proposed.

    Raises:
        StaleCandidate: the site is not what it was.
    """
    into = candidate.parameters["into"]
    place = _FINDERS[into](edit, affine) if affine else None
    if not isinstance(place, Place) or place.site != candidate.site:
        raise StaleCandidate(f"{candidate.id}: {candidate.site[0]} no longer folds into its {into}")
    if into == "producer":
        _fold_into_producer(edit, place)
    else:
        fold_into_users(edit, place)


def find_producer(source: Source, affine: Affine) -> Place | str | None:
    """The linear map before the affine map; a reason why it cannot take it; None if there is none."""
    if affine.input is affine.node:
        return None
    node, here, moves = affine.input, affine, []
    while is_call(node, *MOVES):
        beyond = here.beyond(node, forward=False)
        if beyond is None:
            return None
        moves.append(node)
        node, here = node.all_input_nodes[0], beyond
    if not is_linear(node):
        return None
    linear = linear_map(source, node)
    if linear is None:
        return f"the weight of {node.name} is not a constant"
    for item in (node, *moves):
        if only_user(item) is None:
            return f"{item.name} {_users(item)}"
    if not affine.finite:
        return "its constants are not finite"
    if here.channels(linear, linear.channels_out) is None:
        return f"its constants do not lie along the output channels of {node.name}"
    return Place(here, tuple(moves), (linear,))


def find_users(source: Source, affine: Affine) -> Place | str | None:
    """The linear maps after the affine map, if nothing else is; a reason against it; None if there are none."""
    node, here, moves = affine.node, affine, []
    while (user := only_user(node)) and is_call(user, *MOVES):
        beyond = here.beyond(user, forward=True)
        if beyond is None:
            return None
        moves.append(user)
        node, here = user, beyond
    if not any(is_linear(user) for user in node.users):
        return None
    found = []
    for user in node.users:
        if user.op == "output":
            return "its value is an output"
        if not is_linear(user):
            return f"its user {user.name} is not a linear map"
        linear = linear_map(source, user)
        if linear is None or linear.input is not node:
            return f"the weight of {user.name} is not a constant"
        if here.channels(linear, linear.channels_in) is None:
            return f"its constants do not lie along the input channels of {user.name}"
        if here.shifts and linear.transposed and not linear.uniform:
            return f"the edges of {user.name} would see the shift less often than its middle"
        if here.shifts and not linear.uniform:
            return f"the zero padding of {user.name} would see the shift"
        found.append(linear)
    return Place(here, tuple(moves), tuple(found)) if affine.finite else "its constants are not finite"


_FINDERS = {"producer": find_producer, "users": find_users}


def _fold_into_producer(edit: Edit, place: Place) -> None:
    affine, (linear,) = place.affine, place.linear
    scale, shift = affine.channels(linear, linear.channels_out)  # type: ignore[misc]
    blocks = None if bool((scale == 1).all()) else linear.scale_out(scale)
    has_bias = linear.bias is not None or affine.shifts
    value = linear.rebuild(edit, linear.input, blocks, linear.bias64 * scale + shift if has_bias else None)
    edit.replace(affine.node, _moved(edit, value, reversed(place.moves)))


def fold_into_users(edit: Edit, place: Place) -> None:
    """Let the linear maps of `find_users` scale and shift their inputs, and leave the rest of the affine map's node."""
    affine = place.affine
    source = _moved(edit, affine.without(edit), place.moves)
    for linear in place.linear:
        scale, shift = affine.channels(linear, linear.channels_in)  # type: ignore[misc]
        blocks = None if bool((scale == 1).all()) else linear.scale_in(scale)
        bias = linear.bias64 + linear.of_constant(shift) if affine.shifts else linear.bias64
        has_bias = linear.bias is not None or affine.shifts
        edit.replace(linear.node, linear.rebuild(edit, source, blocks, bias if has_bias else None))


def _moved(edit: Edit, value: Node, moves: Iterable[Node]) -> Node:
    for move in moves:
        value = edit.call(move.target, (value, *move.args[1:]), move.kwargs)
    return value


def _users(node: Node) -> str:
    if len(node.users) == 1:
        return "is an output"
    return f"has {len(node.users)} users"


def _no_bias(call: dict[str, object]) -> dict[str, None]:
    return {"bias": None} if "bias" in call else {}
