"""Small questions about nodes that passes ask. `source` is a Program or an Edit: whatever has `tensor(node)`."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch.fx import Node


class Source(Protocol):
    """What tells the tensors of get_attr nodes."""

    def tensor(self, node: object) -> torch.Tensor | None: ...


def is_call(node: object, *targets: Any) -> bool:
    """Whether it is a call of one of `targets` (operator overloads); of anything, where none is given."""
    return isinstance(node, Node) and node.op == "call_function" and (not targets or node.target in targets)


def only_user(node: Node) -> Node | None:
    """The one node that uses `node`; None for several, and for the output."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    return None if user.op == "output" else user


def arguments(node: Node) -> dict[str, Any]:
    """All arguments of an operator call by name, defaults included."""
    given = dict(zip((item.name for item in _schema(node)), node.args, strict=False)) | node.kwargs
    return {item.name: given.get(item.name, item.default_value) for item in _schema(node)}


def without_defaults(node: Node, values: dict[str, Any]) -> tuple[Any, ...]:
    """Positional arguments for another call of `node`'s operator; those at the end that are defaults are left out."""
    kept = [(item, values[item.name]) for item in _schema(node) if not item.kwarg_only]
    while kept and kept[-1][0].has_default_value() and kept[-1][0].default_value == kept[-1][1]:
        kept.pop()
    return tuple(value for _, value in kept)


def _schema(node: Node) -> list[Any]:
    return list(node.target._schema.arguments)  # type: ignore[union-attr]


def scalar_of(source: Source, argument: object) -> float | None:
    """The number that a literal or a one-element float or int constant stands for; None for anything else."""
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        return float(argument)
    tensor = source.tensor(argument)
    if tensor is not None and tensor.numel() == 1 and not tensor.is_complex() and tensor.dtype != torch.bool:
        return float(tensor.item())
    return None


def constant_of(source: Source, argument: object) -> torch.Tensor | None:
    """A literal number or a constant as a float64 tensor; None for anything else."""
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        return torch.tensor(float(argument), dtype=torch.float64)
    tensor = source.tensor(argument)
    if tensor is None or tensor.is_complex() or tensor.dtype == torch.bool:
        return None
    return tensor.to(torch.float64)


def shape_of(node: object) -> tuple[Any, ...] | None:
    """The shape of a node's value, ints and SymInts; None where it is not a tensor."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def dtype_of(node: object) -> torch.dtype | None:
    """The dtype of a node's value; None where it is not a tensor."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value.dtype if isinstance(value, torch.Tensor) else None


def same_shape(left: object, right: object) -> bool:
    """Whether two nodes' values surely have one shape; symbolic sizes count as equal where they are the same."""
    a, b = shape_of(left), shape_of(right)
    return a is not None and b is not None and tuple(map(str, a)) == tuple(map(str, b))


def is_float(node: object) -> bool:
    """Whether a node's value is a tensor of floating-point numbers."""
    dtype = dtype_of(node)
    return dtype is not None and dtype.is_floating_point


def per_channel(constant: torch.Tensor, rank: int, axis: int, channels: int) -> torch.Tensor | None:
    """A constant that broadcasts over a value, as one number a channel.

    Args:
        constant: any shape.
        rank: number of axes of the value that it meets.
        axis: the value's channel axis, counted from the end (negative).
        channels: the value's size on that axis.

    Returns:
        Shape (channels,); None where the constant varies along another axis, or would broadcast the value up.
    """
    if constant.dim() > rank:
        return None
    size = constant.shape[axis] if constant.dim() >= -axis else 1
    if constant.numel() != size or size not in (1, channels):
        return None
    return constant.reshape(-1).expand(channels)
