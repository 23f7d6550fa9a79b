"""What can be read from an ONNX graph that an engine has optimized: kernels, what they cover, and a signature."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fxopt.contracts.engine import signature_of

if TYPE_CHECKING:
    import onnx

_ROUNDING = ("QuantizeLinear", "Relu", "Clip")
_DECORATION = re.compile(r"(_nchwc|_bn|_fused|_quant|_gelu|/duplicated|_token_\d+)+$|^fused ")


def kind(node: onnx.NodeProto) -> str:
    """The operator with what was fused into it, like `"Conv+Relu+Add"`."""
    activation = next((a.s.decode() for a in node.attribute if a.name == "activation"), "")
    addend = "Add" if node.op_type in ("Conv", "FusedConv") and len(node.input) > 3 and node.input[3] else ""
    return "+".join(filter(None, (node.op_type, activation, addend)))


def signature(graph: onnx.GraphProto) -> str:
    """Digest that does not depend on names, on the order of independent nodes, or on the values of weights.

    Constants of int64 count by value: they hold shapes and axes. All others count by shape and dtype.
    """
    nodes, outputs = _digests(graph, {})
    return signature_of([*sorted(nodes), "->", *outputs])


def _digests(graph: onnx.GraphProto, outer: dict[str, str]) -> tuple[list[str], list[str]]:
    import onnx

    known = {"": "none", **outer}
    for index, value in enumerate(graph.input):
        tensor = value.type.tensor_type
        dynamic = _numbering(graph)
        shape = [d.dim_value if d.HasField("dim_value") else dynamic[d.dim_param] for d in tensor.shape.dim]
        known[value.name] = f"input {index} {tensor.elem_type} {shape}"
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).tolist() if _is_shape(tensor) else ""
        known[tensor.name] = f"constant {tensor.data_type} {list(tensor.dims)} {values}"
    digests = []
    for node in graph.node:
        attributes = sorted(_attribute(attribute, known) for attribute in node.attribute)
        inputs = [known.get(name, "?") for name in node.input]
        digest = signature_of([node.domain, node.op_type, attributes, inputs, len(node.output)])
        digests.append(digest)
        for index, name in enumerate(node.output):
            if name:
                known[name] = f"{digest} {index}"
    return digests, [known.get(value.name, "?") for value in graph.output]


def _is_shape(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == 7 and tensor.data_location == 0 and sum(tensor.dims) <= 64  # 7: int64, 0: inline


def _numbering(graph: onnx.GraphProto) -> dict[str, str]:
    """Names of dynamic axes, numbered in order of appearance."""
    names = [d.dim_param for value in graph.input for d in value.type.tensor_type.shape.dim if d.dim_param]
    return {"": "?"} | {name: f"d{index}" for index, name in enumerate(dict.fromkeys(names))}


def _attribute(attribute: onnx.AttributeProto, known: dict[str, str]) -> str:
    import onnx

    value: Any = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.GraphProto):
        value = _digests(value, known)
    elif isinstance(value, onnx.TensorProto):
        value = (value.data_type, list(value.dims))
    elif isinstance(value, float):
        value = f"{value:.6g}"
    elif not isinstance(value, (int, bytes, str)):
        value = list(value)
    return f"{attribute.name}={value}"


def covers(source: onnx.GraphProto, optimized: onnx.GraphProto) -> list[tuple[str, ...]]:
    """For each node of `optimized`, the names of the Program's nodes that it covers, as far as names tell.

    An optimizer names what it makes after one of the nodes that it fused. A source node that no kernel is named after
    belongs to the kernel that takes its place: of a convolution with an addend for an Add and the activation behind it, of the
    kernel on integers before it for what bounds and rounds its result, else of its first user.
    """
    by_name = {node.name: node for node in source.node}
    by_output = {output: node.name for node in source.node for output in node.output}
    users: dict[str, list[str]] = {name: [] for name in by_name}
    for node in source.node:
        for value in node.input:
            if value in by_output:
                users[by_output[value]].append(node.name)
    kernel_of: dict[str, int] = {}
    for index, node in enumerate(optimized.node):
        for anchor in _anchors(node, by_name, by_output):
            kernel_of.setdefault(anchor, index)
    integer = {index for index, node in enumerate(optimized.node) if node.op_type.startswith(("QLinear", "QGemm"))}
    for node in source.node:  # forward: what bounds and rounds the result of a kernel on integers, into it
        producers = [by_output[value] for value in node.input if value in by_output]
        before = next((kernel_of[p] for p in producers if kernel_of.get(p) in integer), None)
        if node.name not in kernel_of and node.op_type in _ROUNDING and before is not None:
            kernel_of[node.name] = before
    fused = [kind(node).split("+")[1:] for node in optimized.node]
    for node in source.node:  # forward: an Add into the convolution before it, and what bounds the sum
        makers = [kernel_of[p] for p in (by_output.get(value, "") for value in node.input) if p in kernel_of]
        before = next((index for index in makers if node.op_type in fused[index]), None)
        if node.name not in kernel_of and before is not None:
            kernel_of[node.name] = before
            fused[before].remove(node.op_type)  # what reads the sum may be a sum of its own, in the next convolution
    for name in reversed(by_name):  # backward: into the user
        if name not in kernel_of:
            after = next((kernel_of[user] for user in users[name] if user in kernel_of), None)
            if after is not None:
                kernel_of[name] = after
    found: list[list[str]] = [[] for _ in optimized.node]
    for name in by_name:
        if name in kernel_of:
            found[kernel_of[name]] += covered_nodes(name)
    return [tuple(dict.fromkeys(names)) for names in found]


def covered_nodes(name: str) -> list[str]:
    """The Program's nodes in the name of an ONNX node, like `conv+batch_norm/1`; none in a name like `Gemm/1`.

    OpenVINO adds numbers of its own: `relu.0`.
    """
    found = re.split(r"[/.]", name)[0].split("+")
    return [node for node in found if not node[:1].isupper()]


def _anchors(node: onnx.NodeProto, by_name: dict[str, Any], by_output: dict[str, str]) -> set[str]:
    """Source nodes that an optimized node is named after, or whose output it makes."""
    outputs = list(node.output)
    if node.op_type == "Transpose":  # one that converts layouts takes over the name of what was made before it
        outputs = [name for name in outputs if name in by_output and by_name[by_output[name]].op_type == "Transpose"]
    found = {node.name} & by_name.keys() | {by_output[name] for name in outputs if name in by_output}
    # The layout transformer names nodes after what they make: `relu_nchwc` makes `relu` in blocks.
    bare = [_DECORATION.sub("", name) for name in (node.name, *outputs)]
    found = found or {by_output[name] for name in bare if name in by_output} or set(bare) & by_name.keys()
    return found or _prefix(node.name, by_name)


def _prefix(name: str, by_name: dict[str, Any]) -> set[str]:
    """The source node that a name goes on from, as `silu/1/QuickGeluFusion/` does from `silu/1`."""
    while "/" in name and name not in by_name:
        name = name.rpartition("/")[0]
    return {name} & by_name.keys()
