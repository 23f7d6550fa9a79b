"""Quantization schemes are true: what they say of an engine is read back from it, and they are all that placement needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fxopt.contracts.engine import EngineGraph
from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.testing import captured
from fxopt_plugins.engines.onnx_export import export_onnx
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO, TENSORRT
from tests.engines.quantized_nets import quantized
from tests.engines.test_outputs import make

qd = operators()
SCHEMES = {"onnxruntime": ONNX_RUNTIME, "openvino": OPENVINO}
IMAGE = (2, 16, 8, 8)


def weight(self: Any, axis: int = 0) -> Any:
    return qd.dequantize_per_channel(self.weight, self.scale, None, axis, -127, 127, torch.int8)


# Each operator with the shapes of its inputs and of its weight.
OPERATORS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], tuple[int, ...]]] = {
    "conv1d": (lambda s, x: F.conv1d(x, weight(s)), [(2, 16, 8)], (16, 16, 3)),
    "conv2d": (lambda s, x: F.conv2d(x, weight(s)), [IMAGE], (16, 16, 3, 3)),
    "conv3d": (lambda s, x: F.conv3d(x, weight(s)), [(1, 16, 4, 4, 4)], (16, 16, 3, 3, 3)),
    "depthwise": (lambda s, x: F.conv2d(x, weight(s), groups=16), [IMAGE], (16, 1, 3, 3)),
    "conv_transpose2d": (lambda s, x: F.conv_transpose2d(x, weight(s, 1)), [IMAGE], (16, 16, 3, 3)),
    "linear": (lambda s, x: F.linear(x, weight(s)), [(2, 5, 16)], (16, 16)),
    "matmul": (lambda s, x, y: x @ y, [(2, 4, 16), (2, 16, 4)], ()),
    "mul": (lambda s, x, y: x * y, [IMAGE, IMAGE], ()),
    "cat": (lambda s, x, y: torch.cat([x, y], 1), [IMAGE, IMAGE], ()),
    "avg_pool2d": (lambda s, x: F.avg_pool2d(x, 2), [IMAGE], ()),
    "adaptive_avg_pool2d": (lambda s, x: F.adaptive_avg_pool2d(x, 1), [IMAGE], ()),
    "mean": (lambda s, x: x.mean((2, 3)), [IMAGE], ()),
    "sigmoid": (lambda s, x: x.sigmoid(), [IMAGE], ()),
    "softmax": (lambda s, x: x.softmax(-1), [(2, 4, 16)], ()),
    "leaky_relu": (lambda s, x: F.leaky_relu(x, 0.1), [IMAGE], ()),
    "where": (lambda s, x, y: torch.where(s.mask, x, y), [IMAGE, IMAGE], ()),
    "reshape": (lambda s, x: x.reshape(2, -1), [IMAGE], ()),
    "permute": (lambda s, x: x.permute(0, 2, 3, 1), [IMAGE], ()),
    "transpose": (lambda s, x: x.transpose(1, 3), [IMAGE], ()),
    "split": (lambda s, x: x.split(8, 1), [IMAGE], ()),
    "split_with_sizes": (lambda s, x: x.split_with_sizes([4, 12], 1), [IMAGE], ()),
    "max_pool2d": (lambda s, x: F.max_pool2d(x, 2), [IMAGE], ()),
    "upsample_nearest2d": (lambda s, x: F.interpolate(x, scale_factor=2), [IMAGE], ()),
}


def rounded(x: Tensor, scale: float, symmetric: bool) -> Any:
    numbers = (scale, 0, -128, 127, torch.int8) if symmetric else (scale, 120, 0, 255, torch.uint8)
    return qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)


def alone(name: str, scheme: QuantScheme, floats_out: bool = False) -> Program:
    """One operator between quantized values."""
    function, shapes, weight_shape = OPERATORS[name]
    symmetric, moves = f"aten.{name}" in scheme.symmetric_ops, f"aten.{name}" in scheme.moving_ops

    def forward(self: Any, *inputs: Tensor) -> Any:
        result = function(self, *(rounded(x, 0.023, symmetric) for x in inputs))
        if floats_out:
            return result
        step = 0.023 if moves else 0.031
        parts = isinstance(result, (tuple, list))
        return tuple(rounded(x, step, symmetric) for x in result) if parts else rounded(result, step, symmetric)

    members: dict[str, Any] = {"mask": torch.rand(8) < 0.5}
    if weight_shape:
        members["weight"] = torch.randint(-127, 128, weight_shape).to(torch.int8)
        members["scale"] = torch.rand(16) / 200 + 1e-3
    return captured(forward, *map(torch.randn, shapes), **members)


def on_integers(engine: str, program: Program, graph: EngineGraph) -> bool:
    """Whether the one operator of a program was run on integers."""
    kinds = [kernel.kind for kernel in graph.kernels]
    if engine == "onnxruntime":  # in float it stands between a dequantize and a quantize of its own
        inputs, outputs = len(program.interface.inputs), len(program.interface.outputs)
        return kinds.count("QuantizeLinear") == inputs and kinds.count("DequantizeLinear") <= outputs
    ends = ("Reorder", "Subgraph", "FakeQuantize", "Convert", "Eltwise")
    runs = [kind for kind in kinds if not kind.startswith(ends)]
    return bool(runs) and all(kind.lower().endswith("i8") for kind in runs)


def graph(engine: str, program: Program, folder: Path) -> EngineGraph:
    runtime = make(engine)
    return runtime.fused_kernels(runtime.emit(program, folder))


def said(engine: str, name: str) -> bool:
    scheme = SCHEMES[engine]
    return scheme.depthwise if name == "depthwise" else f"aten.{name}" in scheme.integer_ops | scheme.moving_ops


# OpenVINO fuses elementwise operators with their Q and DQ, which tells nothing of those that a scheme does not name.
PAIRS = [(engine, name) for engine in SCHEMES for name in OPERATORS if engine != "openvino" or said(engine, name)]


@pytest.mark.parametrize(("engine", "name"), PAIRS)
def test_an_operator_runs_on_integers_where_the_scheme_says_so(engine: str, name: str, tmp_path: Path) -> None:
    program = alone(name, SCHEMES[engine])
    assert on_integers(engine, program, graph(engine, program, tmp_path)) == said(engine, name)


@pytest.mark.parametrize("engine", SCHEMES)
def test_an_integer_operator_yields_floats_as_well_where_the_scheme_says_so(engine: str, tmp_path: Path) -> None:
    for name in ("conv2d", "linear", "matmul"):
        (tmp_path / name).mkdir()
        program = alone(name, SCHEMES[engine], floats_out=True)
        kinds = [kernel.kind for kernel in graph(engine, program, tmp_path / name).kernels]
        layers = [kind for kind in kinds if kind.startswith(("Conv", "FullyConnected", "MatMul", "QGemm"))]
        floats = all(kind.lower().endswith(("i8", "qgemm", "matmulintegertofloat")) for kind in layers)
        assert floats == (f"aten.{name}" in SCHEMES[engine].float_output_ops)


def test_schemes_name_operators_that_a_test_reads_back() -> None:
    tested = {f"aten.{name}" for name in OPERATORS} | {"aten.add"}  # an addition needs a layer before it: see there
    for scheme in SCHEMES.values():
        assert scheme.integer_ops | scheme.moving_ops <= tested


def test_tensorrt_gets_signed_symmetric_integers_on_the_identity_of_a_residual_alone(tmp_path: Path) -> None:
    model = onnx.load(export_onnx(quantized("residual stack", TENSORRT)[0], tmp_path))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    maker = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = stored[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type == "Add":
            assert sorted(maker[name].op_type for name in node.input) == ["Conv", "DequantizeLinear"]
        if node.op_type == "Conv":
            assert stored[node.input[2]].dtype == np.float32
    assert sum(node.op_type == "Add" for node in model.graph.node) == 3


def test_a_scheme_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"symmetric_ops: aten\.matmul is not among integer_ops"):
        QuantScheme("u8", False, "channel", "int32", "both", symmetric_ops=frozenset({"aten.matmul"}))


def test_a_kind_is_native_only_where_the_cpu_has_what_it_needs() -> None:
    assert OPENVINO.runs("bf16", {"avx2", "amx_bf16"})
    assert not OPENVINO.runs("bf16", {"avx2"})
    assert not ONNX_RUNTIME.runs("bf16", {"amx_bf16"})
    assert ONNX_RUNTIME.runs("int8", set())


def test_copies_that_openvino_makes_cover_what_they_are_copies_of(tmp_path: Path) -> None:
    """What rounds a concatenation it has done to each part, in copies numbered as the Program's own calls are."""

    def forward(self: Any, *parts: Tensor) -> Any:
        stacked = torch.cat([F.max_pool2d(part, 3, 1, 1) for part in parts], 1).relu()
        return rounded(F.conv2d(rounded(stacked, 0.023, False), weight(self)).relu(), 0.031, False)

    members = {"weight": torch.randint(-127, 128, (16, 48, 3, 3)).to(torch.int8), "scale": torch.rand(16) / 200 + 1e-3}
    kernels = graph("openvino", captured(forward, *map(torch.randn, [IMAGE] * 3), **members), tmp_path).kernels
    copies = [kernel.covers for kernel in kernels if "quantize_per_tensor" in kernel.covers]
    assert copies == [("relu", "quantize_per_tensor")] * 3
    assert sum("relu_1" in kernel.covers for kernel in kernels) == 1


def test_what_converts_layouts_behind_a_kernel_does_not_cover_its_last_call(tmp_path: Path) -> None:
    """ONNX Runtime runs convolutions on integers channels last, and has the result transposed under the name that it had."""
    kernels = graph("onnxruntime", alone("conv2d", ONNX_RUNTIME), tmp_path).kernels
    assert any(kernel.kind == "Transpose" for kernel in kernels)
    assert [kernel.kind for kernel in kernels if "quantize_per_tensor_1" in kernel.covers] == ["QLinearConv"]
