"""The kernels that a GPU runs for a Program: which calls are one kernel, and what each computes and moves.

No build tells, as there need be no GPU here; what engines document and their profiles show is simple enough to be foretold:

- `"apart"`: a kernel a call (PyTorch eager).
- `"pointwise"`: convolutions, products, attention and pooling are library calls; what is computed value by value, moved or
  normalized between them is joined to one kernel (TorchInductor).
- `"epilogue"`: what is computed value by value behind a convolution or product runs at its end as well, the addition of a
  residual too; linear layers of one input are one product (TensorRT).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.fx import Node

from fxopt.ir.program import Program
from fxopt.ir.quantized import is_dequantize
from fxopt.ir.work import held_bytes, is_view, measured_sizes, node_flops, value_bytes
from fxopt.prices.pieces import cut_calls, kind, sort, sources

Style = Literal["apart", "pointwise", "epilogue"]
Width = Callable[[Node], float]

# Kinds of kernel that have an efficiency of their own; those of `TENSOR` are done by tensor cores. In `"serial"` each thread takes
# one trip to memory after another, as many as its `flops`.
TENSOR = ("conv1x1", "conv", "stem", "grouped", "linear", "matmul", "attention")
KINDS = (
    *TENSOR,
    "depthwise",
    "depthwise_large",
    "depthwise_huge",
    "pointwise",
    "normalization",
    "softmax",
    "reduction",
    "pooling",
    "move",
    "serial",
)
_JOINED = {"pointwise", "normalization", "softmax", "move"}  # by a compiler that writes kernels of its own
_REDUCING = {"normalization", "softmax", "reduction"}
_PRODUCTS = {"linear", "addmm", "mm"}
_OTHERS = {"embedding": "move", "cumsum": "reduction", "upsample_bilinear2d": "move", "upsample_nearest2d": "move"}
_OF_SORT = {
    "attention": "attention",
    "normalization": "normalization",
    "softmax": "softmax",
    "reduction": "reduction",
    "pooling": "pooling",
    "move": "move",
}
_LARGE, _HUGE = 25, 49  # terms of a depthwise convolution beyond which kernels made for it are slow, or there is none
_WINOGRAD = 2.25  # times fewer multiplications for 2x2 outputs of a 3x3 convolution (Lavin and Gray, CVPR 2016)
_STEM_CHANNELS = 4  # a convolution of so few input channels fills no tensor core


@dataclass(frozen=True)
class Call:
    """A call as far as its kernel depends on it; as plain data, so that a model need not be captured again.

    Attributes:
        kind: one of `KINDS`, or `"view"` of what costs nothing.
        flops: of it.
        shape: of its (first) output.
        bytes: of all its outputs.
        reads: what it reads: number of the call that it comes from (-1: an input; -2: a constant), and bytes.
        size: rows, columns, terms and groups of the product that it is, or four zeros.
        leaves: whether it is an output.
        dtype: what it computes on.
        spared: flops that Winograd's algorithm does without, which libraries use in float32 where there are no tensor cores.
    """

    kind: str
    flops: float
    shape: tuple[int, ...]
    bytes: float
    reads: tuple[tuple[int, float], ...]
    size: tuple[int, int, int, int] = (0, 0, 0, 0)
    leaves: bool = False
    dtype: str = "float32"
    spared: float = 0.0


@dataclass(frozen=True)
class Kernel:
    """Calls that run as one.

    Attributes:
        kind: of the call that rules its time.
        dtype: what that call computes on.
        flops: of all its calls, without those that are spared.
        read, weights, written: bytes.
        rows, columns, terms, groups: of the product that it computes, zeros for others.
        calls: numbers of its calls, in order.
    """

    kind: str
    dtype: str
    flops: float
    read: float
    weights: float
    written: float
    rows: int
    columns: int
    terms: int
    groups: int
    calls: tuple[int, ...] = ()


def calls_of(program: Program, half: bool = False, width: Width | None = None) -> list[Call]:
    """The calls of a Program that depend on its inputs, in order; those of `fxopt.prices.pieces.cut_calls`.

    Args:
        program: whose calls.
        half: whether what is written in float32 is run in float16.
        width: bytes of the value of a node as it lies in memory, where they follow another rule.
    """
    width = width or _width(program, half)
    nodes = cut_calls(program)
    place = {node: number for number, node in enumerate(nodes)}
    outputs = set(program.outputs)
    found = []
    for node in nodes:
        reads = tuple((_place(program, place, used), width(used)) for used in node.all_input_nodes)
        found.append(
            Call(
                _kind(program, node),
                float(node_flops(program, node)),
                _shape(program, node),
                width(node),
                reads,
                _size(program, node),
                node in outputs,
                _dtype(node, half),
                _spared(program, node),
            )
        )
    return found


def _width(program: Program, half: bool) -> Width:
    def width(node: Node) -> float:
        held, value = held_bytes(program, node), node.meta.get("val")
        narrows = half and isinstance(value, torch.Tensor) and value.dtype == torch.float32
        return held / 2 if narrows and held == value_bytes(program, value) else held

    return width


def kernels(calls: Sequence[Call], style: Style) -> list[Kernel]:
    """The kernels that run calls, in order of the first call of each."""
    base = _bases(calls)
    readers = Counter(base[source] for call in calls if call.kind != "view" for source, _ in call.reads if source >= 0)
    owner: dict[int, list[int]] = {}
    beside: dict[tuple[int, int, int], list[int]] = {}  # linear layers by what they read, rows and terms
    for number, call in enumerate(calls):
        owner[number] = [number]
        if call.kind == "view":
            continue
        before = [base[source] for source, _ in call.reads if source >= 0]
        known = [source for source in before if calls[source].kind != "view"]
        if call.kind == "linear" and style == "epilogue" and known:
            group = beside.setdefault((known[0], call.size[0], call.size[2]), owner[number])
            if group is not owner[number]:
                group.append(number)
                owner[number] = group
        if known and _runs_with(calls, owner[max(known)], call, max(known), readers, style):
            group = owner[max(known)]
            group.append(number)
            owner[number] = group
    groups = {id(group): group for number, group in owner.items() if calls[number].kind != "view"}
    inside = {number: group for group in groups.values() for number in group}
    outside = _outside(calls, base, inside)
    return [_kernel(calls, base, group, outside) for group in groups.values()]


def _runs_with(
    calls: Sequence[Call], group: Sequence[int], call: Call, source: int, readers: Counter[int], style: Style
) -> bool:
    """Whether a call runs in the kernel of calls before it, of which it reads one."""
    if style == "apart" or call.kind not in _JOINED or calls[source].kind == "reduction":
        return False
    kinds = {calls[number].kind for number in group}
    alike = math.prod(call.shape) == math.prod(calls[source].shape)
    if kinds <= _JOINED:
        return (alike or call.kind == "move") and not (call.kind in _REDUCING and kinds & _REDUCING)
    main = calls[group[0]].kind
    ends = style == "epilogue" and (main in TENSOR or main.startswith("depthwise")) and main != "attention"
    return ends and call.kind == "pointwise" and alike and readers[source] == 1 and source == group[-1]


def _bases(calls: Sequence[Call]) -> list[int]:
    """For each call the one whose memory its value lies in: itself, or past views the one that they read."""
    found: list[int] = []
    for number, call in enumerate(calls):
        source = next((source for source, _ in call.reads if source != -2), -2)
        found.append(number if call.kind != "view" or source < 0 else found[source])
    return found


def _outside(calls: Sequence[Call], base: Sequence[int], inside: dict[int, list[int]]) -> set[int]:
    """The calls whose values are read by another kernel, or leave."""
    found = {base[number] for number, call in enumerate(calls) if call.leaves}
    for number, call in enumerate(calls):
        for source, _ in call.reads if call.kind != "view" else ():
            if source >= 0 and inside.get(base[source]) is not inside[number]:
                found.add(base[source])
    return found


def _kernel(calls: Sequence[Call], base: Sequence[int], group: Sequence[int], outside: Collection[int]) -> Kernel:
    members = set(group)
    read: dict[int, float] = {}
    weights = 0.0
    for number in group:
        for source, size in calls[number].reads:
            at = source if source < 0 else base[source]
            if at == -2:
                weights += size
            elif at not in members:
                whole = calls[at].bytes if at >= 0 else math.inf
                read[at] = min(read.get(at, 0.0) + size, max(whole, size))  # parts of one value are read once
    main = calls[max(group, key=lambda number: _rank(calls[number]))]
    rows, columns, terms, groups = main.size
    if main.kind == "linear":
        columns = sum(calls[number].size[1] for number in group if calls[number].kind == "linear")
    return Kernel(
        main.kind,
        main.dtype,
        sum(calls[number].flops for number in group) - (main.spared if main.dtype == "float32" else 0.0),
        sum(read.values()),
        weights,
        sum(calls[number].bytes for number in group if number in outside),
        rows,
        columns,
        terms,
        groups,
        tuple(group),
    )


def _rank(call: Call) -> tuple[bool, bool, float]:
    """Which call of a kernel rules its time."""
    return call.kind not in _JOINED, call.kind in _REDUCING, call.flops


def _kind(program: Program, node: Node) -> str:
    if _name(node) == "clone":  # without a memory format it is a dropout that is switched off
        return "move" if node.kwargs.get("memory_format") is not None and _copies(node) else "view"
    if is_view(node) or not value_bytes(program, node.meta.get("val")):  # sizes are computed by the host
        return "move" if is_view(node) and _copies(node) else "view"
    what = sort(node)
    if what == "convolution":
        _, _, terms, groups = _size(program, node)
        form = kind(program, node).split()
        if "depthwise" in form:
            return "depthwise" if terms <= _LARGE else "depthwise_large" if terms <= _HUGE else "depthwise_huge"
        if groups > 1:
            return "grouped"
        area = math.prod(map(int, form[-1].split("x"))) if len(form) > 2 else 1
        return "stem" if terms <= _STEM_CHANNELS * area else "conv1x1" if area == 1 else "conv"
    if what == "product":
        operands = _operands(node)
        constant = len(operands) > 1 and operands[1] not in set(cut_calls(program))
        return "linear" if _name(node) in _PRODUCTS or (constant and _name(node) == "matmul") else "matmul"
    if what == "normalization" and _name(node) == "batch_norm":
        return "pointwise"  # its mean and variance are known
    return _OF_SORT.get(what) or _OTHERS.get(_name(node), "pointwise")


def _spared(program: Program, node: Node) -> float:
    """What a 3x3 convolution does without by Winograd's algorithm, which wants steps of one and channels to sum over."""
    if sort(node) != "convolution" or _kind(program, node) != "conv" or "transpose" in _name(node):
        return 0.0
    area = _shape(program, _operands(node)[1])[2:]
    steps, _, holes = (node.args[at] if len(node.args) > at else 1 for at in (3, 4, 5))
    plain = _sizes(steps) | _sizes(holes) == {1}
    return float(node_flops(program, node)) * (1 - 1 / _WINOGRAD) if area == (3, 3) and plain else 0.0


def _sizes(value: Any) -> set[int]:
    """What is given for each dimension, or for all."""
    return set(value) if isinstance(value, (tuple, list)) else {value}


def _copies(node: Node) -> bool:
    """Whether a view has to be a copy: a reshape behind a permutation, but for that of an attention's heads."""
    if _name(node) not in ("reshape", "view", "flatten", "contiguous", "_unsafe_view", "clone"):
        return False
    moved, before = False, node.all_input_nodes[0]
    while before.op == "call_function" and is_view(before) and not is_dequantize(before):
        moved = moved or _name(before) in ("permute", "transpose", "t", "movedim", "expand")
        if _name(before) in ("reshape", "view") and _shape_of(before) != _shape_of(before.all_input_nodes[0]):
            break
        before = before.all_input_nodes[0]
    return moved and _name(before) != "scaled_dot_product_attention"


def _shape_of(node: Node) -> object:
    return getattr(node.meta.get("val"), "shape", None)


def _operands(node: Node) -> list[Node]:
    """What a call takes, in order, each as often as it does."""
    return [used for used in node.args if isinstance(used, Node)]


def _size(program: Program, node: Node) -> tuple[int, int, int, int]:
    """Rows, columns, terms and groups of the product that a call is."""
    what, out = sort(node), _shape(program, node)
    inputs = [_shape(program, used) for used in _operands(node)]
    if what == "convolution" and len(inputs) > 1 and len(out) > 2:
        weight = inputs[1]
        if "transpose" in _name(node):
            return math.prod(out[2:]) * out[0], out[1], weight[0], 1
        groups = max(1, inputs[0][1] // max(1, weight[1]))
        return math.prod(out[2:]) * out[0], out[1] // groups, math.prod(weight[1:]), groups
    if what == "product" and len(out) > 1 and inputs:
        terms = inputs[1][-1] if _name(node) in ("addmm", "baddbmm") else inputs[0][-1]
        if _name(node) in _PRODUCTS:
            return math.prod(out[:-1]), out[-1], terms, 1
        return out[-2], out[-1], terms, math.prod(out[:-2])
    if what == "attention":
        query, key = inputs[0], inputs[1]
        return query[-2], key[-2], query[-1], math.prod(query[:-2])
    return 0, 0, 0, 0


def _name(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _shape(program: Program, node: Node) -> tuple[int, ...]:
    value: Any = node.meta.get("val")
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return measured_sizes(program, value.shape) if isinstance(value, torch.Tensor) else ()


def _dtype(node: Node, half: bool) -> str:
    """What a call computes on: integers where a dequantize stands before it."""
    first = next(iter(node.all_input_nodes), None)
    if first is not None and is_dequantize(first):
        first = first.all_input_nodes[0]
    value = None if first is None else first.meta.get("val")
    found = str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else "float32"
    return "float16" if half and found == "float32" else found


def _place(program: Program, place: dict[Node, int], used: Node) -> int:
    """The number of the call that a value comes from, past a dequantize; -1: an input, -2: a constant."""
    if used in place:
        return place[used]
    if used.op == "placeholder":
        return -1
    before = sources(program, used) if used.op == "call_function" else []
    return next((place.get(node, -1) for node in before), -2)
