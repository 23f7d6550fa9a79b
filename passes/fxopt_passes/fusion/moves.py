"""Calls that only move elements, and what becomes of constants that broadcast over a value when it moves."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxopt_passes.matching import arguments, is_call, shape_of

aten = torch.ops.aten

_COPIES = (aten.clone.default, aten.contiguous.default)
_VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.flatten.using_ints)  # noqa: SLF001
_OTHERS = (aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.expand.default)
MOVES = (aten.permute.default, aten.transpose.int, *_COPIES, *_VIEWS, *_OTHERS)


def carried(constant: torch.Tensor, move: Node, forward: bool) -> torch.Tensor | None:
    """The constant that does on the other side of `move` what `constant` does on this side.

    Args:
        constant: broadcasts over the value before the move, or where `forward` is false, over the one after it.
        move: a call of one of `MOVES`.
        forward: from before the move to after it.

    Returns:
        None where no constant of broadcasting shape does.
    """
    if constant.numel() == 1:
        return constant.reshape(())
    before, after = shape_of(move.all_input_nodes[0]) or (), shape_of(move) or ()
    here, there = (before, after) if forward else (after, before)
    if constant.dim() > len(here):
        return None
    full = constant.reshape(*[1] * (len(here) - constant.dim()), *constant.shape)
    if is_call(move, *_COPIES):
        return full
    if is_call(move, aten.permute.default, aten.transpose.int):
        order = _order(move, len(here))
        return full.permute(order if forward else [order.index(axis) for axis in range(len(order))])
    if not is_call(move, *_VIEWS):
        return None
    axes = [axis for axis, size in enumerate(full.shape) if size != 1]
    if len(axes) != 1:
        return None
    axis, end = axes[0], len(here) - axes[0]
    # A reshape keeps the position along an axis where all sizes up to it, or all from it on, stay.
    if _same(here[: axis + 1], there[: axis + 1]):
        return full.reshape(-1, *[1] * (len(there) - axis - 1))
    if end <= len(there) and _same(here[-end:], there[-end:]):
        return full.reshape(-1, *[1] * (end - 1))
    return None


def _order(move: Node, rank: int) -> list[int]:
    """The permutation that the call makes: axis i of its value is axis order[i] of its input."""
    call = arguments(move)
    if move.target == aten.permute.default:
        return [dim % rank for dim in call["dims"]]
    order = list(range(rank))
    one, two = call["dim0"] % rank, call["dim1"] % rank
    order[one], order[two] = two, one
    return order


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return list(map(str, left)) == list(map(str, right))
