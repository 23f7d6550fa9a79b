"""Which calls of a Program an engine has kernels on integers for, as its scheme says."""

from __future__ import annotations

from torch.fx import Node

from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.quantized import is_dequantize, is_quantize

_BOUNDS = frozenset({"aten.relu", "aten.clamp", "aten.hardtanh"})
_PADDING = frozenset({"aten.pad", "aten.constant_pad_nd"})


def runs_on_integers(node: Node, scheme: QuantScheme) -> bool:
    """Whether a call is between dequantizes and quantizes as the engine wants them to run on their integers."""
    if _op(node) in _PADDING:
        return _is_padding_of_integers(node, scheme) and all(runs_on_integers(user, scheme) for user in node.users)
    if _op(node) not in scheme.integer_ops | scheme.moving_ops:
        return False
    inputs = [used for used in node.all_input_nodes if used.op != "get_attr"]
    integers = all(is_dequantize(used) or _is_padding_of_integers(used, scheme) for used in inputs)
    return bool(inputs) and integers and (_op(node) in scheme.float_output_ops or _is_rounded(node, scheme))


def is_made_of_integers(node: Node, scheme: QuantScheme) -> bool:
    """Whether a value comes from a kernel on integers, which rounds it itself where it is quantized; or is one's floats."""
    while is_part(node) or (scheme.range_is_relu and _op(node) in _BOUNDS):
        node = node.all_input_nodes[0]
    return is_dequantize(node) or runs_on_integers(node, scheme)


def is_part(node: Node) -> bool:
    """Whether a node takes one of several values that another yields."""
    return getattr(node.target, "__name__", "") == "getitem" and isinstance(node.args[0], Node)


def _is_rounded(node: Node, scheme: QuantScheme) -> bool:
    """Whether a call's value is only quantized, once it is bounded or taken apart."""
    return bool(node.users) and all(
        is_quantize(user)
        or ((is_part(user) or (scheme.range_is_relu and _op(user) in _BOUNDS)) and _is_rounded(user, scheme))
        for user in node.users
    )


def _is_padding_of_integers(node: Node, scheme: QuantScheme) -> bool:
    padded = scheme.padding and _op(node) in _PADDING
    return padded and isinstance(node.args[0], Node) and is_dequantize(node.args[0])


def _op(node: Node) -> str:
    return str(getattr(node.target, "overloadpacket", ""))
