"""Integers in a Program: the calls of `torch.ops.quantized_decomposed`.

`quantize_per_tensor` rounds a float value to integers, `dequantize_per_tensor`, `_per_channel` and `_per_channel_group`
give the floats that integers stand for; what is computed between a dequantize and a quantize is written in floats, and an
engine with integer kernels fuses the three. Weights and biases are integer attributes with a dequantize of their own.
What torch's dtypes cannot say is said by `quant_min` and `quant_max`: weights of 7 bits are int8 in -64..63, of 4 bits
int8 in -8..7.

A dequantize says its `out_dtype`: that of the value which it stands for, float32 in a Program and float64 in its twin.
Without it, what a pass puts into the twin would be float32 there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

NAMESPACE = "quantized_decomposed"


def operators() -> Any:
    """`torch.ops.quantized_decomposed`; torch registers its operators when a module that it does not import itself is."""
    from torch.ao.quantization.fx import _decomposed  # noqa: F401

    return getattr(torch.ops, NAMESPACE)


def is_quantize(node: Node) -> bool:
    """Whether a node rounds floats to integers."""
    return _name(node.target).startswith("quantize_")


def is_dequantize(node: Node) -> bool:
    """Whether a node gives the floats that integers stand for."""
    return _name(node.target).startswith("dequantize_")


def bounds(node: Node) -> tuple[int, int]:
    """The least and the greatest integer that a quantize or dequantize says there are."""
    low, high = argument(node, "quant_min"), argument(node, "quant_max")
    return int(low), int(high)


def is_of_four_bits(node: Node) -> bool:
    """Whether all that a constant is used for is a dequantize which says that its integers need no more than 4 bits."""
    return bool(node.users) and all(
        is_dequantize(user) and user.args[0] is node and bounds(user)[1] - bounds(user)[0] < 16 for user in node.users
    )


def argument(node: Node, name: str) -> Any:
    """The argument of a quantize or dequantize by its name in the operator's schema.

    Raises:
        KeyError: the operator has no such argument.
    """
    target: Any = node.target
    for position, entry in enumerate(target._schema.arguments):
        if entry.name == name:
            return node.args[position] if position < len(node.args) else node.kwargs.get(name, entry.default_value)
    raise KeyError(name)


def with_out_dtype(node: Node, dtype: torch.dtype) -> None:
    """Let a dequantize yield `dtype`."""
    if "group" in _name(node.target):  # the one operator that takes it as its last positional argument
        node.args = (*node.args[:7], dtype)
    else:
        node.kwargs = {**node.kwargs, "out_dtype": dtype}


def run_call(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A call's value; quantizing operators take float64 as well, which torch's own refuse.

    They round it to float32 first, as they do scales of channels: where inputs are those of the Program, so are the
    integers in its twin.
    """
    if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
        name = _name(target)
        if name.startswith(("quantize_", "choose_")):
            rest = [_narrow(value) for value in args[1:]] if "per_channel" in name else args[1:]
            args = [_narrow(args[0]), *rest]
    return target(*args, **kwargs)


def _narrow(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _name(target: Any) -> str:
    """The operator's name within the namespace; empty for all other operators."""
    if not isinstance(target, torch._ops.OpOverload):
        return ""
    space, _, name = target._schema.name.partition("::")
    return name if space == NAMESPACE else ""
