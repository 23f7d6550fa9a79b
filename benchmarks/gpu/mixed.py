"""What values weigh under PyTorch's automatic mixed precision, as the published rows were run: bytes of each node's value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.fx import Node

from fxopt.ir.program import Program
from fxopt.ir.text import target_name
from fxopt.ir.work import is_view, value_bytes
from fxopt.prices.pieces import sort
from fxopt_plugins.targets.gpu_kernels import Call

_HALF = ("convolution", "product", "attention")


def mixed(program: Program, fused: bool) -> Callable[[Node], float]:
    """Bytes of values where layers run in float16, normalizations (but batch norm) and softmax in float32.

    Args:
        program: in float32.
        fused: whether casts are part of the kernel before, as a compiler makes them.
    """
    found: dict[Node, int] = {}
    for node in program.nodes:
        found[node] = _item_bytes(node, found, fused)

    def width(node: Node) -> float:
        value = _first(node)
        if value is None:
            return 0.0
        return value_bytes(program, node.meta["val"]) * found[node] / value.element_size()

    return width


def _item_bytes(node: Node, found: dict[Node, int], fused: bool) -> int:
    value = _first(node)
    if value is None or not value.dtype.is_floating_point:
        return 4 if value is None else value.element_size()
    for_layers = bool(node.users) and all(sort(user) in _HALF for user in node.users if user.op == "call_function")
    if node.op != "call_function":
        return 2 if node.op == "get_attr" and for_layers else 4
    before = [found[used] for used in node.all_input_nodes if _first(used) is not None]
    what = sort(node)
    if what in _HALF:
        return 2
    if "batch_norm" in target_name(node.target):
        return before[0]
    widest = 4 if what in ("softmax", "normalization") else max(before, default=4)
    return 2 if fused and for_layers else widest


def _first(node: Node) -> torch.Tensor | None:
    value: Any = node.meta.get("val")
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def integers(program: Program, library: bool = False) -> Callable[[Node], float]:
    """Bytes of values where layers run on integers: of a byte is what a layer reads, all else is in float16.

    Args:
        program: whose values.
        library: whether layers and attention write bytes too, as FasterTransformer's do, instead of float16.
    """

    def on_integers(node: Node) -> bool:
        return _is_on_integers(node) or (library and sort(node) == "attention")

    def width(node: Node) -> float:
        value = _first(node)
        if value is None or not value.dtype.is_floating_point:
            return float(value_bytes(program, node.meta.get("val")))
        byte = any(on_integers(user) for user in _users(node)) or (library and on_integers(_source(node)))
        return value_bytes(program, node.meta["val"]) * (1 if byte else 2) / value.element_size()

    return width


def _users(node: Node) -> Iterator[Node]:
    """What reads a value, past views."""
    for user in node.users:
        yield from _users(user) if _passes(user) else (user,)


def _source(node: Node) -> Node:
    """What a value comes from, past views."""
    while _passes(node):
        node = node.all_input_nodes[0]
    return node


def _passes(node: Node) -> bool:
    """Whether a call hands on what it reads: a view, or a dropout that is switched off."""
    return node.op == "call_function" and (is_view(node) or "clone" in str(node.target))


def _is_on_integers(node: Node) -> bool:
    """TensorRT has integers for dense convolutions and for products with weights."""
    if node.op != "call_function" or sort(node) not in ("convolution", "product"):
        return False
    weight = node.args[1] if len(node.args) > 1 else None
    static = isinstance(weight, Node) and weight.op == "get_attr"
    depthwise = sort(node) == "convolution" and static and weight.meta["val"].shape[1] == 1  # type: ignore[union-attr]
    return static and not depthwise


def on_integers(calls: Sequence[Call], attention: bool = False) -> list[Call]:
    """Calls in float16 with layers on integers where TensorRT has them, and attention where a library has."""
    layers = {"conv1x1", "conv", "stem", "grouped", "linear"} | ({"attention"} if attention else set())
    return [replace(call, dtype="int8" if call.kind in layers else "float16") for call in calls]
