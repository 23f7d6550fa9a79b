"""The quantization scheme of an engine that is not here: what TensorRT documents of explicit quantization."""

from __future__ import annotations

from fxopt.contracts.engine import QuantScheme

TENSORRT = QuantScheme(
    activation="s8",
    activation_symmetric=True,
    weight_granularity="channel",
    bias="float",
    residual="identity",
    integer_ops=frozenset(f"aten.{name}" for name in ("conv2d", "linear", "matmul", "add", "avg_pool2d")),
    moving_ops=frozenset({"aten.max_pool2d", "aten.reshape", "aten.permute"}),
    float_output_ops=frozenset({"aten.conv2d", "aten.linear", "aten.matmul"}),
    depthwise=False,
    range_is_relu=False,
    weight_bits=(8,),
    native={"int8": (), "fp16": ()},
)
