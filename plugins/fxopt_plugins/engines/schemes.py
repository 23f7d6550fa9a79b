"""How engines want integers: what runs on x86 CPUs was read back from what they run (docs/engines.md), GPUs by their manuals."""

from __future__ import annotations

from fxopt.contracts.quantization import QuantScheme
from fxopt_plugins.engines.common import aten

_CONVOLUTIONS = aten("conv1d", "conv2d", "conv3d")
_MOVES = aten("reshape", "permute", "transpose", "max_pool2d", "upsample_nearest2d")

ONNX_RUNTIME = QuantScheme(
    activation="u8",
    activation_symmetric=False,
    weight_granularity="channel",
    bias="int32",
    residual="both",
    integer_ops=_CONVOLUTIONS
    | aten("linear", "matmul", "add", "mul", "cat", "avg_pool2d", "adaptive_avg_pool2d")
    | aten("sigmoid", "softmax", "leaky_relu", "where"),
    moving_ops=_MOVES | aten("split", "split_with_sizes"),
    float_output_ops=aten("linear", "matmul"),
    padding=True,
    group_sizes=(16, 32, 64, 128, 256),
    native={"int8": (), "int8_dynamic": (), "int4_weight": ()},
)

OPENVINO = QuantScheme(
    activation="u8",
    activation_symmetric=False,
    weight_granularity="channel",
    bias="int32",
    residual="both",
    integer_ops=_CONVOLUTIONS
    | aten("conv_transpose2d", "linear", "matmul", "add", "cat", "avg_pool2d", "adaptive_avg_pool2d", "mean"),
    moving_ops=_MOVES,
    symmetric_ops=aten("conv_transpose2d", "matmul"),
    float_output_ops=_CONVOLUTIONS | aten("conv_transpose2d", "linear", "matmul"),
    padding=True,
    group_sizes=(16, 32, 64, 128, 256),
    native={
        "int8": (),
        "int8_weight": (),
        "int4_weight": (),
        "bf16": ("avx512_bf16", "amx_bf16"),
    },
)

# OpenVINO's layers that can be written in bfloat16: on CPUs without it they are computed in float32.
BFLOAT16 = _CONVOLUTIONS | aten("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear")

# As TensorRT documents explicit quantization (developer guide, "Working with Quantized Types"): signed and symmetric; of a
# residual addition only the identity is quantized, whose sum is fused to the branch's last convolution; depthwise convolutions
# and global pooling are left in floats, where they are faster.
TENSORRT = QuantScheme(
    activation="s8",
    activation_symmetric=True,
    weight_granularity="channel",
    bias="float",
    residual="identity",
    integer_ops=aten("conv2d", "linear", "matmul", "add", "avg_pool2d"),
    moving_ops=aten("max_pool2d", "reshape", "permute"),
    float_output_ops=aten("conv2d", "linear", "matmul"),
    depthwise=False,
    range_is_relu=False,
    weight_bits=(8,),
    native={"int8": ()},
)
