"""What the kernels of an ONNX graph compute with: the file of an optimized graph no longer says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_INT8_ACCURACY = 4  # of MatMulNBits: activations are rounded to int8
_ON_INTEGERS = ("QLinear", "QGemm", "MatMulInteger", "ConvInteger")
_MOVES = frozenset(
    (
        "Cast",
        "Concat",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Pad",
        "QuantizeLinear",
        "ReorderInput",
        "ReorderOutput",
        "Reshape",
        "Shape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
_YIELDS = {"DynamicQuantizeLinear": "uint8", "MatMulInteger": "int32", "ConvInteger": "int32", "Shape": "int64"}
_TESTS = ("Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual")


def dtypes(graph: onnx.GraphProto) -> list[str | None]:
    """For each node, the dtype that it computes with, like `"float32"` or `"uint8"`.

    That is the dtype of its first input that is no condition; of a kernel on integers, whose scales are floats, that of
    the first integers of 8 or 16 bits; of one that quantizes its input by itself, what it makes of it. None for what
    only moves or converts values.
    """
    known = {value.name: _name(value.type.tensor_type.elem_type) for value in (*graph.input, *graph.value_info)}
    known |= {tensor.name: _name(tensor.data_type) for tensor in graph.initializer}
    found: list[str | None] = []
    for node in graph.node:
        inputs = [known.get(value, "") for value in node.input]
        dtype = _dtype(node, inputs)
        for value in node.output:
            known[value] = known.get(value) or _output(node, inputs, dtype)
        found.append(None if node.op_type in _MOVES else dtype or None)
    return found


def _name(number: int) -> str:
    """NumPy's name of an ONNX type, or nothing for none."""
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(number).name) if number else ""


def _dtype(node: onnx.NodeProto, inputs: list[str]) -> str:
    if node.op_type.startswith("DynamicQuantize"):
        return "uint8"
    if any(attribute.name == "accuracy_level" and attribute.i == _INT8_ACCURACY for attribute in node.attribute):
        return "int8"
    if node.op_type.startswith(_ON_INTEGERS):
        return next((dtype for dtype in inputs if dtype.endswith(("int8", "int16"))), "")
    return next((dtype for dtype in inputs if dtype not in ("", "bool")), "")


def _output(node: onnx.NodeProto, inputs: list[str], dtype: str) -> str:
    """What a node yields, where it is not what it computes with."""
    operator = node.op_type
    if operator in _YIELDS:
        return _YIELDS[operator]
    if operator in _TESTS:
        return "bool"
    if operator == "Cast":
        return next(_name(attribute.i) for attribute in node.attribute if attribute.name == "to")
    if operator == "QuantizeLinear":
        return inputs[2] if len(inputs) > 2 else "uint8"
    if operator in ("DequantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        return next((name for name in inputs if name.startswith("float")), "")
    if operator == "QGemm" and not "".join(inputs[8:]):  # no zero-point of the output
        return inputs[1]
    return dtype
