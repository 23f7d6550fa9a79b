"""`fold_padding`: constant padding that the convolution or pooling after it can do itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.linear_maps import linear_map
from fxopt_passes.matching import Source, arguments, is_call, is_float, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit, Program, View

aten = torch.ops.aten

_PADS = (aten.pad.default, aten.constant_pad_nd.default)
_AVERAGES = (aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default)
_MAXIMA = (aten.max_pool1d.default, aten.max_pool2d.default, aten.max_pool3d.default)
_NEVER_NEGATIVE = (
    aten.relu.default, aten.relu6.default, aten.sigmoid.default, aten.hardsigmoid.default, aten.abs.default,
    aten.softmax.int, aten._softmax.default, aten.exp.default, aten.square.default,  # noqa: SLF001
)  # fmt: skip
_KEEPS_SIGN = (*_MAXIMA, *_AVERAGES, aten.view.default, aten.reshape.default, aten.permute.default, aten.clone.default)


@dataclass(frozen=True)
class FoldPadding(Pass):
    """Fold constant padding into the convolutions and poolings that use it; drop padding of nothing.

    Zeros go into a convolution or into an average pooling that counts its padding. A maximum pooling pads with
    minus infinity; zeros are the same to it only where its input is never negative.
    """

    name: ClassVar[str] = "fold_padding"
    stage: ClassVar[Stage] = Stage.FUSE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if not is_call(node, *_PADS):
                continue
            reason = _obstacle(program, node)
            if reason:
                view.decline(node, reason)
                continue
            users = [] if _is_nothing(node) else list(node.users)
            site = (node.name, *(user.name for user in users))
            yield Candidate(self.name, site, frozenset(site), frozenset({node.all_input_nodes[0].name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node = edit.node(candidate.site[0])
        if not is_call(node, *_PADS) or (reason := _obstacle(edit, node)):
            raise StaleCandidate(f"{candidate.id}: {reason if is_call(node, *_PADS) else 'no padding'}")
        source = arguments(node)["self"]
        if _is_nothing(node):
            edit.replace(node, source)
            return
        for user in list(node.users):
            edit.replace(user, _padded(edit, user, source, node))


def _obstacle(source: Source, node: Node) -> str | None:
    """Why the padding cannot be folded; None where it can."""
    call = arguments(node)
    if not all(isinstance(size, int) for size in call["pad"]):
        return "its sizes depend on the input"
    if _is_nothing(node):
        return None
    if call.get("mode", "constant") != "constant":
        return f"{call['mode']} padding is not constant"
    before, after = call["pad"][0::2], call["pad"][1::2]
    if before != after:
        return f"it is asymmetric: {list(before)} before and {list(after)} after"
    if min(before) < 0:
        return "it crops"
    value = float(call["value"] or 0.0)
    for user in node.users:
        reason = _refusal(source, user, node, value)
        if reason:
            return reason
    return None


def _refusal(source: Source, user: Node, pad: Node, value: float) -> str | None:
    if is_call(user, *_AVERAGES, *_MAXIMA):
        return _pooling_refusal(source, user, pad, value)
    linear = linear_map(source, user)
    if linear is None or linear.input is not pad or linear.transposed or not linear.spatial:
        return f"its user {user.name} pads nothing"
    if _pads_beyond(pad, linear.spatial):
        return f"it pads more axes than {user.name} can"
    if linear.padding is None:
        return f"the padding of {user.name} is asymmetric"
    return f"it pads with {value:g}, {user.name} with 0" if value else None


def _pooling_refusal(source: Source, user: Node, pad: Node, value: float) -> str | None:
    call = arguments(user)
    kernel = _spread(call["kernel_size"], _spatial(user))
    own = _spread(call["padding"], len(kernel))
    if _pads_beyond(pad, len(kernel)):
        return f"it pads more axes than {user.name} can"
    if call["ceil_mode"]:
        return f"{user.name} rounds its size up, which depends on where the input ends"
    if any(2 * (p + q) > k for p, q, k in zip(_amounts(pad, len(kernel)), own, kernel, strict=True)):
        return f"{user.name} pads by half its window at most"
    if is_call(user, *_AVERAGES):
        if any(own) and not call["count_include_pad"]:
            return f"{user.name} does not count its padding"
        return f"it pads with {value:g}, {user.name} with 0" if value else None
    if value == -math.inf:
        return None
    if value or not never_negative(pad.all_input_nodes[0]):
        return f"{user.name} pads with minus infinity, and its input may be below {value:g}"
    return f"windows of {user.name} may see only padding" if set(_spread(call["dilation"], 1)) != {1} else None


def _padded(edit: Edit, user: Node, source: Node, pad: Node) -> Node:
    linear = linear_map(edit, user)
    if linear is not None:
        assert linear.padding is not None
        total = [p + q for p, q in zip(_amounts(pad, linear.spatial), linear.padding, strict=True)]
        bias = None if linear.bias is None else linear.bias64
        return linear.rebuild(edit, source, None, bias, padding=total)
    call = arguments(user)
    own = _spread(call["padding"], _spatial(user))
    call |= {"self": source, "padding": [p + q for p, q in zip(_amounts(pad, len(own)), own, strict=True)]}
    if "count_include_pad" in call:
        call["count_include_pad"] = True
    return edit.call(user.target, without_defaults(user, call))


def never_negative(node: Node) -> bool:
    """Whether no element of the node's value is below zero, whatever the inputs."""
    while is_call(node, *_KEEPS_SIGN):
        node = node.all_input_nodes[0]
    if is_call(node, aten.clamp.default, aten.hardtanh.default, aten.clamp_min.default):
        call = arguments(node)
        low = call.get("min", call.get("min_val"))
        return isinstance(low, (int, float)) and low >= 0
    if is_call(node, aten.cat.default):
        return all(never_negative(part) for part in node.all_input_nodes)
    return is_call(node, *_NEVER_NEGATIVE) and is_float(node)


def _is_nothing(node: Node) -> bool:
    return all(isinstance(size, int) and size == 0 for size in arguments(node)["pad"])


def _amounts(pad: Node, spatial: int) -> list[int]:
    """Padding on either side of the last `spatial` axes, in the order of the axes; the operator has the last first."""
    listed = [*arguments(pad)["pad"][0::2], *[0] * spatial][:spatial]
    return listed[::-1]


def _pads_beyond(pad: Node, spatial: int) -> bool:
    return any(arguments(pad)["pad"][2 * spatial :])


def _spatial(pooling: Node) -> int:
    return next(count for count in (1, 2, 3) if f"pool{count}d" in str(pooling.target))


def _spread(value: object, length: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * length if len(values) == 1 else values  # type: ignore[return-value]
