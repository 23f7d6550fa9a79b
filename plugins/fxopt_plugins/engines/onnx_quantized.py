"""Integers on their way to ONNX, in the forms that ONNX Runtime and OpenVINO fuse into integer kernels.

What decides whether ONNX Runtime fuses a layer is its form, not only where Q and DQ stand (docs/engines.md):

- weights need a zero-point, be it 0: without one there is no QGemm;
- a linear layer on quantized values must be a Gemm on two axes: as MatMul and Add its bias stays a float addition. OpenVINO
  wants just these: around a Gemm stand Reshapes, over which it fuses no activation;
- one with float inputs must be a MatMul whose weight lies in the file as (in, out): a Gemm, or a Transpose between, and
  the weight is made float when the model is loaded;
- one whose weights lie in blocks must not stand right behind a DQ: without the kernel for them they are made floats in each call;
- activations quantized as they come must be one DynamicQuantizeLinear before a MatMul;
- a layer with float weights between DQ and Q must not find its input behind a DQ of one scale: its weights would be quantized,
  all with one scale, and nobody told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fxopt.ir.quantized import bounds, is_dequantize, is_quantize, operators

if TYPE_CHECKING:
    import onnx_ir
    from torch.fx import Node

    from fxopt.ir.program import Program

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")


def quantized_translations(program: Program, gemm: bool) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations for a Program that holds integers; none for others. `gemm`: the form of linear layers on integers."""
    import torch

    if not has_integers(program):
        return {}
    qd = operators()
    return {
        qd.quantize_per_tensor.default: _quantize,
        qd.quantize_per_tensor.tensor: _quantize_as_measured,
        qd.quantize_per_channel.default: _quantize_per_channel,
        qd.dequantize_per_tensor.default: _dequantize,
        qd.dequantize_per_tensor.tensor: _dequantize_as_measured,
        qd.dequantize_per_channel.default: _dequantize_per_channel,
        qd.dequantize_per_channel_group.default: _dequantize_per_group,
        qd.choose_qparams.tensor: _measure,
        torch.ops.aten.linear.default: _linear_as_gemm if gemm else _linear,
    }


def has_integers(program: Program) -> bool:
    """Whether anything in a Program is quantized."""
    return any(map(_is_quantization, program.calls))


def opset(program: Program) -> int:
    """The opset that a Program needs: blocks, integers of 4 and of 16 bits came with 21."""
    return 21 if any(_is_quantization(node) and _is_new(node) for node in program.calls) else 20


def _is_quantization(node: Node) -> bool:
    return is_quantize(node) or is_dequantize(node)


def _is_new(node: Node) -> bool:
    low, high = bounds(node)
    return "group" in str(node.target) or high - low < 16 or 256 <= high - low < 2**16


# -- translations ------------------------------------------------------------------------------------------------------


def _quantize(x: Any, scale: float, zero_point: int, quant_min: int, quant_max: int, dtype: int) -> Any:
    from onnxscript import opset18 as op

    low, high = _range(dtype)
    if (quant_min, quant_max) == (low, high) and (integers := _integers_of(x, scale, zero_point, dtype)) is not None:
        return integers
    if (quant_min, quant_max) != (low, high):  # ONNX saturates at the ends of the dtype
        ends = ((end - zero_point) * scale for end in (quant_min, quant_max))
        x = op.Clip(x, *(op.CastLike(op.Constant(value_float=end), x) for end in ends))
    return op.QuantizeLinear(x, _scale(scale), _integers(zero_point, dtype))


def _integers_of(x: Any, scale: float, zero_point: int, dtype: int) -> Any:
    """The integers that floats stand for already, with these numbers: neighbours share them."""
    import numpy as np
    import onnx_ir as ir

    node = x.producer()
    if node is None or node.op_type != "DequantizeLinear" or len(node.inputs) < 3:
        return None
    step, zero = (_array(value) for value in node.inputs[1:3])
    if step is None or zero is None or step.shape or zero.shape or zero.dtype != ir.DataType(dtype).numpy():
        return None
    return node.inputs[0] if step == np.float32(scale) and zero == zero_point else None


def _quantize_per_channel(
    x: Any, scales: Any, zero_points: Any, axis: int, quant_min: int, quant_max: int, dtype: int
) -> Any:
    from onnxscript import opset18 as op

    zeros = op.Cast(zero_points, to=dtype)
    quantized = op.QuantizeLinear(x, _as_float(scales, 1), zeros, axis=axis)
    if (quant_min, quant_max) == _range(dtype):
        return quantized
    return op.Clip(quantized, _integers(quant_min, dtype), _integers(quant_max, dtype))


def _dequantize(
    x: Any, scale: float, zero_point: int, quant_min: int, quant_max: int, dtype: int, out_dtype: int = -1
) -> Any:
    from onnxscript import opset18 as op

    x, zero = _narrowed(x, _integers(zero_point, dtype), quant_min, quant_max)
    return _as_float(op.DequantizeLinear(x, _scale(scale), zero), out_dtype)


def _dequantize_per_channel(
    x: Any,
    scales: Any,
    zero_points: Any,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: int,
    out_dtype: int = -1,
) -> Any:
    from onnxscript import opset18 as op

    zeros = _zeros(zero_points, scales, dtype)
    x, zeros = _narrowed(x, zeros, quant_min, quant_max)
    return _as_float(op.DequantizeLinear(x, _as_float(scales, 1), zeros, axis=axis), out_dtype)


def _dequantize_per_group(
    x: Any, scales: Any, zero_points: Any, quant_min: int, quant_max: int, dtype: int, group_size: int, out_dtype: int
) -> Any:
    from onnxscript import opset18 as op
    from onnxscript import opset21

    rows = op.Constant(value_ints=[x.shape[0], -1])  # torch takes scales of one axis, too
    scales, zeros = (v if v is None or len(v.shape) == 2 else op.Reshape(v, rows) for v in (scales, zero_points))
    if zeros is not None:
        zeros = op.Cast(zeros, to=dtype)
    x, zeros = _narrowed(x, zeros, quant_min, quant_max)
    floats = opset21.DequantizeLinear(x, _as_float(scales, 1), zeros, axis=1, block_size=group_size)
    return _as_float(floats, out_dtype)


def _measure(x: Any, quant_min: int, quant_max: int, eps: float, dtype: int) -> Any:
    import onnx_ir as ir
    from onnxscript import opset18 as op

    if (quant_min, quant_max) != (0, 255):
        raise NotImplementedError("ONNX chooses scales for 0..255 only")
    _, scale, zero = op.DynamicQuantizeLinear(x)
    return op.Cast(scale, to=ir.DataType.DOUBLE), op.Cast(zero, to=ir.DataType.INT64)  # torch's dtypes


def _quantize_as_measured(x: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, dtype: int) -> Any:
    from onnxscript import opset18 as op

    measured = _measured(scale)
    if measured is not None and measured.inputs[0] is x:
        return measured.outputs[0]
    return op.QuantizeLinear(x, _scalar(scale, 1), _scalar(zero_point, dtype))


def _dequantize_as_measured(
    x: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, dtype: int, out_dtype: int = -1
) -> Any:
    from onnxscript import opset18 as op

    measured = _measured(scale)
    numbers = (_scalar(scale, 1), _scalar(zero_point, dtype)) if measured is None else measured.outputs[1:]
    return _as_float(op.DequantizeLinear(x, *numbers), out_dtype)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    from onnxscript import opset18 as op

    if len(weight.shape) != 2:
        raise NotImplementedError("a linear layer whose weight has one axis")
    weight_only = _is_dequantized(weight) and not _is_dequantized(x)
    if len(x.shape) == 2 and not weight_only:
        return op.Gemm(x, weight, bias, transB=True)
    product = op.MatMul(x, op.Transpose(weight, perm=[1, 0]))
    if bias is not None and len(x.shape) == 2 and _comes_measured(x):
        return op.Sub(product, op.Neg(bias))  # of an Add ONNX Runtime would make a Gemm, and there is no such kernel
    return product if bias is None else op.Add(product, bias)


def _linear_as_gemm(x: Any, weight: Any, bias: Any = None) -> Any:
    from onnxscript import opset18 as op

    if _is_in_blocks(weight) and _is_dequantized(x):
        # The greatest of one value is that value. Right behind a DQ there is no MatMulNBits: the weights would be made floats in
        # each call.
        product = op.MatMul(op.Max(x), op.Transpose(weight, perm=[1, 0]))
        return product if bias is None else op.Add(product, bias)
    if len(x.shape) == 2 or not (_is_dequantized(weight) and _is_dequantized(x)):
        return _linear(x, weight, bias)
    width, depth = weight.shape
    rows = op.Gemm(op.Reshape(x, op.Constant(value_ints=[-1, depth])), weight, bias, transB=True)
    sizes = [size if isinstance(size, int) else -1 for size in x.shape[:-1]]
    if sizes.count(-1) < 2:
        return op.Reshape(rows, op.Constant(value_ints=[*sizes, width]))
    leading = op.Shape(x, start=0, end=-1)
    return op.Reshape(rows, op.Concat(leading, op.Constant(value_ints=[width]), axis=0))


def _is_dequantized(value: Any) -> bool:
    """Whether floats stand for integers of a scale that is known now; a change of shape between does no harm."""
    node = value.producer()
    while node is not None and node.op_type in _MOVES:
        node = node.inputs[0].producer()
    return node is not None and node.op_type == "DequantizeLinear" and _measured(node.inputs[1]) is None


def _is_in_blocks(value: Any) -> bool:
    """Whether floats stand for integers with a scale for each block of them: no kernel takes these beside integers."""
    node = value.producer()
    return node is not None and node.op_type == "DequantizeLinear" and "block_size" in node.attributes


def _comes_measured(value: Any) -> bool:
    """Whether floats stand for integers of a scale that is measured in each call."""
    node = value.producer()
    return node is not None and node.op_type == "DequantizeLinear" and _measured(node.inputs[1]) is not None


def _measured(scale: Any) -> Any:
    """The DynamicQuantizeLinear that a scale comes from; None for any other."""
    node = scale.producer()
    while node is not None and node.op_type in ("Cast", *_MOVES):
        node = node.inputs[0].producer()
    return node if node is not None and node.op_type == "DynamicQuantizeLinear" else None


def _narrowed(x: Any, zero: Any, quant_min: int, quant_max: int) -> tuple[Any, Any]:
    """Integers and zero-point in the 4 bits that they need, where they need no more."""
    import onnx_ir as ir
    from onnxscript import opset21 as op

    if quant_max - quant_min >= 16:
        return x, zero
    dtype = ir.DataType.INT4 if quant_min < 0 else ir.DataType.UINT4
    return op.Cast(x, to=dtype), None if zero is None else op.Cast(zero, to=dtype)


def _as_float(value: Any, dtype: int | None) -> Any:
    """A value in the dtype that torch says; None is float32. Casts that do nothing are none: large ones stay in the file."""
    from onnxscript import opset18 as op

    dtype = 1 if dtype in (None, -1) else dtype
    return value if value.dtype == dtype or (value.dtype is None and dtype == 1) else op.Cast(value, to=dtype)


def _zeros(zero_points: Any, scales: Any, dtype: int) -> Any:
    """Zero-points of weights; none for int32, of which they must be 0."""
    import numpy as np
    import onnx_ir as ir
    from onnxscript import opset18 as op

    if dtype == ir.DataType.INT32:
        return None
    if zero_points is not None:
        return op.Cast(zero_points, to=dtype)
    return op.Constant(value=ir.tensor(np.zeros(tuple(scales.shape), ir.DataType(dtype).numpy())))


def _integers(value: int, dtype: int) -> Any:
    import numpy as np
    import onnx_ir as ir
    from onnxscript import opset18 as op

    return op.Constant(value=ir.tensor(np.array(value, ir.DataType(dtype).numpy())))


def _scale(value: float) -> Any:
    from onnxscript import opset18 as op

    return op.Constant(value_float=value)


def _scalar(value: Any, dtype: int) -> Any:
    from onnxscript import opset18 as op

    return op.Cast(op.Reshape(value, op.Constant(value_ints=[])), to=dtype)


def _range(dtype: int) -> tuple[int, int]:
    import numpy as np
    import onnx_ir as ir

    info = np.iinfo(ir.DataType(dtype).numpy())
    return int(info.min), int(info.max)


# -- after the translation ---------------------------------------------------------------------------------------------


def store_integers(model: onnx_ir.Model) -> None:
    """Store weights as engines want to find them: in the bits that they need, transposed where a MatMul takes them so."""
    import onnx_ir as ir

    narrow = (ir.DataType.INT4, ir.DataType.UINT4, ir.DataType.INT8, ir.DataType.UINT8)
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Cast" and node.attributes["to"].as_int() in narrow:
            array = _array(node.inputs[0])
            if array is not None:
                dtype = ir.DataType(node.attributes["to"].as_int()).numpy()
                _replace(model, node, _stored(model, node.outputs[0].name, array.astype(dtype)))
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Transpose" and list(node.attributes["perm"].as_ints()) == [1, 0]:
            source = node.inputs[0].producer()
            if source is not None and source.op_type == "DequantizeLinear":
                _transpose(model, node, source)


def keep_floats(model: onnx_ir.Model) -> None:
    """Give layers with float weights that take integers a DQ of their own, with a scale for each element of an axis.

    ONNX Runtime quantizes the weights of those behind a DQ of one scale and before a Q (its WeightBiasQuantization).
    """
    import numpy as np
    import onnx_ir as ir

    for node in list(model.graph.all_nodes()):
        source = node.inputs[0].producer() if node.op_type in _WEIGHTED and node.inputs[0] is not None else None
        if source is None or source.op_type != "DequantizeLinear" or _is_dequantized(node.inputs[1]):
            continue
        sizes = [size if isinstance(size, int) else 1 for size in source.outputs[0].shape or ()]
        axis = max(range(len(sizes)), key=lambda i: (sizes[i] > 1, i == 1), default=0)
        numbers = [_array(value) for value in source.inputs[1:]]
        if not sizes or sizes[axis] < 2 or any(number is None or number.size != 1 for number in numbers):
            continue
        name = f"{node.outputs[0].name}_floats"
        own = [
            _stored(model, f"{name}_{index}", np.full(sizes[axis], number.reshape(-1)[0], number.dtype))
            for index, number in enumerate(numbers)
        ]
        attributes = [ir.AttrInt64("axis", axis)]
        floats = ir.Node(
            "", "DequantizeLinear", [source.inputs[0], *own], attributes, metadata_props=dict(source.metadata_props)
        )
        floats.outputs[0].name = name
        floats.outputs[0].shape, floats.outputs[0].type = source.outputs[0].shape, source.outputs[0].type
        node.graph.insert_before(node, floats)  # type: ignore[union-attr]
        node.replace_input_with(0, floats.outputs[0])
        if not source.outputs[0].uses() and not source.outputs[0].is_graph_output():
            _remove(model, source)


def _transpose(model: onnx_ir.Model, node: onnx_ir.Node, source: onnx_ir.Node) -> None:
    """Let the integers be stored transposed that `source` makes floats of and `node` transposes."""
    import onnx_ir as ir

    arrays = [None if value is None else _array(value) for value in source.inputs]
    if (
        arrays[0] is None
        or arrays[0].ndim != 2
        or any(a is None and v for a, v in zip(arrays, source.inputs, strict=True))
    ):
        return
    name = node.outputs[0].name
    inputs: list[ir.Value | None] = []
    for index, (value, array) in enumerate(zip(source.inputs, arrays, strict=True)):
        turned = array is not None and array.ndim == 2
        inputs.append(_stored(model, f"{name}_{index}", array.T.copy()) if turned else value)
    attributes = dict(source.attributes)
    if "axis" in attributes:
        attributes["axis"] = ir.AttrInt64("axis", 1 - attributes["axis"].as_int())
    floats = ir.Node("", "DequantizeLinear", inputs, attributes.values(), metadata_props=dict(source.metadata_props))
    floats.outputs[0].name = name
    floats.outputs[0].shape, floats.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    node.graph.insert_before(node, floats)  # type: ignore[union-attr]
    _replace(model, node, floats.outputs[0])
    if not source.outputs[0].uses():
        _remove(model, source)


def _replace(model: onnx_ir.Model, node: onnx_ir.Node, value: onnx_ir.Value) -> None:
    node.outputs[0].replace_all_uses_with(value)
    _remove(model, node)


def _remove(model: onnx_ir.Model, node: onnx_ir.Node) -> None:
    """Take a node out, and initializers that only it used."""
    inputs = [value for value in node.inputs if value is not None]
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]
    for value in inputs:
        if value.is_initializer() and not value.uses() and not value.is_graph_output():
            model.graph.initializers.pop(str(value.name), None)


def _stored(model: onnx_ir.Model, name: str | None, array: Any) -> onnx_ir.Value:
    import onnx_ir as ir

    tensor = ir.tensor(array, name=f"{name}_stored")
    value = ir.Value(name=tensor.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    model.graph.register_initializer(value)
    return value


def _array(value: onnx_ir.Value | None) -> Any:
    """What an initializer or a Constant holds; None for other values."""
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else tensor.numpy()
