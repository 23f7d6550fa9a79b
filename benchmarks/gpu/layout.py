"""How values lie in memory where a model runs with channels last, found by running its calls on meta tensors.

Both cards' models run so: the RTX 3090's were told to, and TorchInductor turns convolutions' tensors round by itself where that
is faster (`torch/_inductor/graph.py`, `decide_layout_opt`). Whether a reshape is a view or a copy follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from fxopt.ir.program import Program
from fxopt.prices.pieces import cut_calls

Lie = tuple[tuple[int, ...], tuple[int, ...]]  # shape and strides of a value, empty for what is no tensor

_LIKE_INPUT = ("batch_norm", "pool", "upsample")  # kernels of PyTorch's that write as they read
_ROW_BY_ROW = ("layer_norm", "softmax")  # and those that write densely in order


@dataclass(frozen=True)
class Laid:
    """Where a call's values lie.

    Attributes:
        name: of its operator.
        out: its (first) output.
        shares: whether that is a part of an input's memory.
        inputs: what it reads, in the order of `Call.reads`.
    """

    name: str
    out: Lie
    shares: bool
    inputs: tuple[Lie, ...]


def dense(lie: Lie) -> bool:
    """Whether values lie one behind another in the order of dimensions."""
    after = 1
    for size, stride in zip(*map(reversed, lie), strict=True):
        if size != 1 and stride != after:
            return False
        after *= size
    return True


def channels_last(lie: Lie) -> bool:
    """Whether an image's channels lie side by side; so of what is no image."""
    return len(lie[0]) != 4 or dense(_permuted(lie, (0, 2, 3, 1)))


def in_batches(lie: Lie) -> bool:
    """Whether matrices lie one behind another, each by rows or by columns, as batched products take them."""
    last = len(lie[0])
    return last < 3 or dense(lie) or dense(_permuted(lie, (*range(last - 2), last - 1, last - 2)))


def laid(program: Program) -> list[Laid]:
    """Where the values of the calls of `fxopt.prices.pieces.cut_calls` lie, in order."""
    values: dict[Node, Any] = {}
    found: dict[Node, Laid] = {}
    for node in program.nodes:
        if node.op in ("placeholder", "get_attr"):
            given = node.meta["val"]
            values[node] = _turned(_meta(given)) if isinstance(given, Tensor) else given
        elif node.op == "call_function":
            inputs = [values[used] for used in node.all_input_nodes]
            values[node] = _run(node, values, [value for value in inputs if isinstance(value, Tensor)])
            out = _first(values[node])
            shares = out is not None and any(
                out.untyped_storage()._cdata == value.untyped_storage()._cdata
                for value in inputs
                if isinstance(value, Tensor)
            )
            found[node] = Laid(str(node.target), _lie(out), shares, tuple(_lie(value) for value in inputs))
    return [found[node] for node in cut_calls(program)]


def _run(node: Node, values: dict[Node, Any], inputs: Sequence[Tensor]) -> Any:
    """What a call yields on meta tensors, laid out as CUDA's kernels would."""
    target: Callable[..., Any] = node.target  # type: ignore[assignment]
    args, keywords = map_arg((node.args, node.kwargs), values.__getitem__)
    here = torch.device("meta")
    keywords = {name: here if isinstance(value, torch.device) else value for name, value in keywords.items()}
    out, name = target(*args, **keywords), str(node.target)
    if not isinstance(out, Tensor):
        return out
    if out.device != here:
        out = torch.empty_strided(out.shape, out.stride(), dtype=out.dtype, device=here)
    if any(part in name for part in _ROW_BY_ROW):
        return out.contiguous()
    if out.dim() == 4 and "conv" in name:  # as their weights lie
        return _turned(out.contiguous())
    if out.dim() == 4 and inputs and inputs[0].dim() == 4 and any(part in name for part in _LIKE_INPUT):
        last = inputs[0].is_contiguous(memory_format=torch.channels_last)
        return _turned(out.contiguous()) if last else out.contiguous()
    return out


def _meta(value: Tensor) -> Tensor:
    return torch.empty(tuple(value.shape), dtype=value.dtype, device="meta")


def _turned(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value


def _first(value: Any) -> Tensor | None:
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def _lie(value: Any) -> Lie:
    return (tuple(value.shape), tuple(value.stride())) if isinstance(value, Tensor) else ((), ())


def _permuted(lie: Lie, order: Sequence[int]) -> Lie:
    return tuple(lie[0][at] for at in order), tuple(lie[1][at] for at in order)
