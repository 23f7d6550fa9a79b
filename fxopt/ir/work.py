"""How much a Program computes and moves, at the measured sizes of its dynamic dimensions.

Quantize and dequantize say between what a call is to run on integers. So a dequantize is a view of its integers, and a
value that is only quantized is never written as floats: the call before writes the integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.fx import GraphModule, Node

from fxopt.ir.program import Program
from fxopt.ir.quantized import bounds, is_dequantize, is_quantize

aten = torch.ops.aten

_CONVOLUTIONS = {aten.conv1d, aten.conv2d, aten.conv3d}
_TRANSPOSED = {aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d}
_VIEWS = {
    *(aten.view, aten.reshape, aten.permute, aten.transpose, aten.t, aten.unsqueeze, aten.squeeze, aten.expand),
    *(aten.slice, aten.select, aten.detach, aten.alias, aten.flatten, aten.unflatten, aten.split, aten.chunk),
    *(aten.split_with_sizes, aten.unbind, aten.narrow, aten.movedim, aten.expand_as, aten.view_as, aten.dropout),
    aten.contiguous,
}
# Of what engines take a series, or a table, for each number: an order of magnitude more than an addition.
_FUNCTIONS = {
    *(aten.exp, aten.log, aten.sin, aten.cos, aten.tanh, aten.erf, aten.sigmoid, aten.pow, aten.softplus, aten.mish),
    *(aten.silu, aten.gelu, aten.elu, aten.softmax, aten._softmax, aten.log_softmax),  # noqa: SLF001 - an operator's name
}
_LOOKUPS = {aten.embedding, aten.index_select, aten.gather, aten.index}  # read the rows that they yield, not the table

Shape = tuple[int, ...]


def flops(program: Program) -> int:
    """Floating-point operations of a call; a multiplication with an addition counts as two."""
    return sum(node_flops(program, node) for node in program.calls)


def bytes_moved(program: Program) -> int:
    """Bytes that all calls together read and write when none is fused with another."""
    return sum(node_bytes(program, node) for node in program.calls)


def node_flops(program: Program, node: Node) -> int:
    """Floating-point operations of one call; of `torch.cond`, the dearer branch."""
    if is_view(node):
        return 0
    packet = getattr(node.target, "overloadpacket", None)
    output = _first_elements(program, node.meta.get("val"))
    shapes = [_shape(program, argument) for argument in node.args if isinstance(argument, Node)]
    if packet in _CONVOLUTIONS:
        return 2 * output * _product(shapes[1][1:])
    if packet in _TRANSPOSED:
        return 2 * _product(shapes[0]) * _product(shapes[1][1:])
    if packet is aten.convolution:
        transposed = bool(node.args[6])
        return 2 * (_product(shapes[0]) if transposed else output) * _product(shapes[1][1:])
    if packet in (aten.linear, aten.mm, aten.bmm, aten.matmul):
        return 2 * output * shapes[0][-1]
    if packet in (aten.addmm, aten.baddbmm):
        return 2 * output * shapes[1][-1]
    if packet is aten.scaled_dot_product_attention:
        query, key = shapes[0], shapes[1]
        return 2 * _product(query[:-1]) * key[-2] * query[-1] + 2 * output * key[-2]
    if isinstance(node.target, HigherOrderOperator):
        values = [argument.meta.get("val") for argument in node.args if isinstance(argument, Node)]
        branches = [value.graph.nodes for value in values if isinstance(value, GraphModule)]
        return max((sum(node_flops(program, n) for n in b if n.op == "call_function") for b in branches), default=0)
    reads = max((_product(shape) for shape in shapes), default=0)
    return max(output, reads if packet not in _LOOKUPS else 0)


def node_functions(program: Program, node: Node) -> int:
    """Values of exponentials and the like that one call computes."""
    packet = getattr(node.target, "overloadpacket", None)
    if packet is aten.scaled_dot_product_attention:
        query, key = (_shape(program, argument) for argument in node.args[:2] if isinstance(argument, Node))
        return _product(query[:-1]) * key[-2]
    return _first_elements(program, node.meta.get("val")) if packet in _FUNCTIONS else 0


def node_bytes(program: Program, node: Node) -> int:
    """Bytes that one call reads and writes."""
    if is_view(node):
        return 0
    written = held_bytes(program, node)
    inputs = node.all_input_nodes
    if getattr(node.target, "overloadpacket", None) in _LOOKUPS:
        inputs = inputs[1:]
        written *= 2
    return written + sum(held_bytes(program, used) for used in inputs)


def held_bytes(program: Program, node: Node) -> int:
    """Bytes of a node's value as it lies in memory: integers where floats only stand for them."""
    if is_dequantize(node):
        integers, (low, high) = node.all_input_nodes[0], bounds(node)
        packed = 2 if high - low < 16 else 1  # engines pack integers of 4 bits in pairs
        return value_bytes(program, integers.meta.get("val")) // packed
    quantized = next(iter(node.users), None) if _is_rounded(node) else None
    return value_bytes(program, (quantized or node).meta.get("val"))


def _is_rounded(node: Node) -> bool:
    """Whether a call's value is only ever quantized, and to the same integers."""
    return node.op == "call_function" and len(node.users) == 1 and is_quantize(next(iter(node.users)))


def value_bytes(program: Program, value: Any) -> int:
    """Bytes of a node's value, of all tensors in it where it is a tuple."""
    return sum(_product(measured_sizes(program, t.shape)) * t.element_size() for t in _tensors(value))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _first_elements(program: Program, value: Any) -> int:
    tensor = next(_tensors(value), None)
    return 0 if tensor is None else _product(measured_sizes(program, tensor.shape))


def _shape(program: Program, node: Node) -> Shape:
    value = node.meta.get("val")
    return measured_sizes(program, value.shape) if isinstance(value, torch.Tensor) else ()


def measured_sizes(program: Program, shape: Any) -> Shape:
    """A shape of the Program's at the measured sizes of its dynamic dimensions."""
    measured = {dim.name: dim.measured for dim in program.interface.dims}
    return tuple(_size(program, size, measured) for size in shape)


def _size(program: Program, size: Any, measured: dict[str, int]) -> int:
    if not isinstance(size, torch.SymInt):
        return int(size)
    names = program.shapes.names
    expression = size.node.expr.subs({symbol: measured[names[symbol]] for symbol in names})
    # A size that depends on data has no measured value; one is the least that runs.
    return max(int(expression), 0) if expression.is_number else 1


def is_view(node: Node) -> bool:
    """Whether a call computes and moves nothing: it yields its input's memory, or one part of a tuple."""
    target = node.target
    if is_dequantize(node) or (is_quantize(node) and _is_rounded(node.all_input_nodes[0])):
        return True
    return getattr(target, "overloadpacket", None) in _VIEWS or getattr(target, "__name__", "") == "getitem"


def has_mask(attention: Node) -> bool:
    """Whether a mask is added to the scores of a call of `scaled_dot_product_attention`."""
    return attention.kwargs.get("attn_mask", attention.args[3] if len(attention.args) > 3 else None) is not None


def _product(shape: Shape) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
