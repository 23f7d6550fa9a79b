"""Quantized programs on ONNX Runtime and OpenVINO: what is run on integers, read back, and what comes out."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from fxopt.contracts.engine import EngineGraph
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.testing import captured
from fxopt_plugins.engines.onnx_export import export_onnx
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.engines.quantized_nets import NETS, as_it_comes, quantized, weight_only
from tests.engines.test_outputs import make

SCHEMES = {"onnxruntime": ONNX_RUNTIME, "openvino": OPENVINO}
READABLE = list(SCHEMES)
qd = operators()


def built(
    engine: str, program: Program, inputs: list[torch.Tensor], folder: Path, **options: Any
) -> tuple[EngineGraph, list[Any]]:
    """What the engine makes of a Program, and what comes out."""
    runtime = replace(make(engine), **options)
    folder.mkdir(exist_ok=True)
    artifact = runtime.emit(program, folder)
    call = runtime.load(artifact, artifact.stages[0])
    return runtime.fused_kernels(artifact), call([value.numpy() for value in inputs])


def kinds(graph: EngineGraph) -> Counter[str]:
    return Counter(kernel.kind for kernel in graph.kernels)


@pytest.mark.parametrize("engine", READABLE)
@pytest.mark.parametrize("net", NETS)
def test_outputs_are_the_programs_within_one_step(engine: str, net: str, tmp_path: Path) -> None:
    program, inputs, step = quantized(net, SCHEMES[engine])
    for batch in (1, 2):
        values = [value[:batch] for value in inputs]
        _, (found,) = built(engine, program, values, tmp_path / str(batch))
        steps = np.abs(found - program.run(values)[0].numpy()) / step
        assert np.mean(steps < 1.01) >= 0.99


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        ("residual stack", {"QLinearConv": 6, "QLinearAdd": 3}),
        ("depthwise separable", {"QLinearConv": 3, "QLinearAdd": 1}),
        ("mlp", {"QGemm": 2, "Gelu": 1}),
    ],
)
def test_onnxruntime_runs_every_layer_on_integers(net: str, expected: dict[str, int], tmp_path: Path) -> None:
    program, inputs, _ = quantized(net, ONNX_RUNTIME)
    found = kinds(built("onnxruntime", program, inputs, tmp_path)[0])
    free = {"Transpose", "Reshape"}  # moves, and the two ends
    border = {"QuantizeLinear": 1 + (net == "mlp"), "DequantizeLinear": 1}
    assert {kind: count for kind, count in found.items() if kind not in free} == {**expected, **border}


@pytest.mark.parametrize(("net", "layers"), [("residual stack", 6), ("depthwise separable", 3), ("mlp", 2)])
def test_openvino_runs_every_layer_on_integers(net: str, layers: int, tmp_path: Path) -> None:
    program, inputs, _ = quantized(net, OPENVINO)
    graph, _ = built("openvino", program, inputs, tmp_path)
    runs = [kernel.kind for kernel in graph.kernels if kernel.kind.startswith(("Convolution", "FullyConnected"))]
    assert len(runs) == layers
    assert all(kind.lower().endswith("i8") for kind in runs)


def test_openvino_takes_the_activation_into_the_layer(tmp_path: Path) -> None:
    program, inputs, _ = quantized("mlp", OPENVINO)
    graph, _ = built("openvino", program, inputs, tmp_path)
    (covers,) = (kernel.covers for kernel in graph.kernels if "gelu" in kernel.covers)
    assert "linear" in covers


def test_an_addition_with_one_input_in_float_is_not_run_on_integers(tmp_path: Path) -> None:
    program, inputs, _ = quantized("residual stack", ONNX_RUNTIME)
    with program.edit() as edit:
        (add,) = (node for node in program.calls if node.target is torch.ops.aten.add.Tensor and "45" in node.name)
        added = edit.node(add.args[1].name)
        edit.replace(added, edit.node(added.all_input_nodes[0].all_input_nodes[0].name))
    found = kinds(built("onnxruntime", edit.program, inputs, tmp_path)[0])
    assert found["QLinearAdd"] == 2
    assert found["QLinearConv"] < 6


def weights(program: Program, folder: Path) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """The ONNX file of a Program, and its initializers."""
    model = onnx.load(export_onnx(program, folder, onnxruntime=True))
    return model, {tensor.name: tensor for tensor in model.graph.initializer}


def test_the_file_holds_integers_alone(tmp_path: Path) -> None:
    program, _, _ = quantized("residual stack", ONNX_RUNTIME)
    _, stored = weights(program, tmp_path)
    large = {tensor.data_type for tensor in stored.values() if np.prod(tensor.dims) > 16}
    assert large == {onnx.TensorProto.INT8}
    biases = [tensor for tensor in stored.values() if tensor.data_type == onnx.TensorProto.INT32]
    assert len(biases) == 6


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize(("bits", "group"), [(4, 32), (4, 128), (8, 32)])
def test_grouped_weights_are_stored_in_their_bits_and_run_as_they_are(
    bits: int, group: int, asymmetric: bool, tmp_path: Path
) -> None:
    program, inputs = weight_only(bits, group, asymmetric)
    expected = program.run(inputs)[0].numpy()
    graph, (found,) = built("onnxruntime", program, inputs, tmp_path / "onnxruntime")
    if bits == 4:
        assert [kernel.kind for kernel in graph.kernels] == ["MatMulNBits"]
    else:  # has a kernel for them that takes 50 times as long as float's
        assert not {"MatMulNBits", "DequantizeLinear"} & kinds(graph).keys()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    graph, (found,) = built("openvino", program, inputs, tmp_path / "openvino")
    assert [kernel.kind.split()[0] for kernel in graph.kernels] == ["FullyConnected"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    size = (tmp_path / "onnxruntime" / "model.onnx").stat().st_size
    assert size < 128 * 128 * bits // 8 + 8 * 128 * 128 // group + 3000


@pytest.mark.parametrize("bits", [4, 8])
def test_grouped_weights_behind_integers_are_not_made_floats_in_each_call(bits: int, tmp_path: Path) -> None:
    """No kernel takes them beside integers: the layer runs on floats, of which its weights are made once."""
    program, inputs = weight_only(bits, 32, size=256, behind_integers=True)
    expected = program.run(inputs)[0].numpy()
    for engine in READABLE:
        graph, (found,) = built(engine, program, inputs, tmp_path / engine)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        if engine == "onnxruntime":
            assert kinds(graph)["DequantizeLinear"] <= 1  # of the input


def test_groups_of_a_large_layer_lie_in_the_file_as_their_kernel_takes_them(tmp_path: Path) -> None:
    program, _ = weight_only(4, 32, asymmetric=True, size=1024)  # what is large is not folded on the way to ONNX
    model, stored = weights(program, tmp_path)
    (floats,) = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    types = [(stored[name].data_type, list(stored[name].dims)) for name in floats.input]
    four, single = onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT
    assert types == [(four, [1024, 1024]), (single, [32, 1024]), (four, [32, 1024])]
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "MatMul", "Add"]
    assert make("openvino").emit(program, tmp_path)


@pytest.mark.parametrize("engine", READABLE)
def test_activations_of_weight_only_layers_stay_in_float_unless_told_otherwise(engine: str, tmp_path: Path) -> None:
    program, inputs = weight_only(8, 32)
    expected = program.run(inputs)[0].numpy()
    _, (lossy,) = built(engine, program, inputs, tmp_path / "lossy", dynamic_quantization=True)
    _, (exact,) = built(engine, program, inputs, tmp_path / "exact")
    assert np.abs(exact - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(lossy - expected).max() < 0.1 * np.abs(expected).max()


def test_activations_quantized_as_they_come_are_one_kernel(tmp_path: Path) -> None:
    program, inputs = as_it_comes()
    graph, (found,) = built("onnxruntime", program, inputs, tmp_path)
    assert [kernel.kind for kernel in graph.kernels] == ["DynamicQuantizeMatMul"]
    expected = program.run(inputs)[0].numpy()
    assert np.mean(np.abs(found - expected) < 0.01 * np.abs(expected).max()) > 0.99


def test_two_dynamic_axes_stay_dynamic_around_a_linear_layer(tmp_path: Path) -> None:
    def forward(self: Any, x: torch.Tensor) -> Any:
        numbers = (0.02, 128, 0, 255, torch.uint8)
        x = qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)
        return torch.nn.functional.linear(x, qd.dequantize_per_tensor(self.weight, 0.01, 0, -127, 127, torch.int8))

    axes = {0: torch.export.Dim("N", min=1, max=9), 1: torch.export.Dim("L", min=1, max=9)}
    weight = torch.randint(-63, 64, (4, 8), dtype=torch.int8)
    program = captured(forward, torch.randn(2, 3, 8), dynamic=(axes,), weight=weight)
    x = torch.randn(5, 7, 8)
    graph, (found,) = built("onnxruntime", program, [x], tmp_path)
    assert kinds(graph)["QGemm"] == 1
    np.testing.assert_allclose(found, program.run([x])[0].numpy(), atol=0.02)


@pytest.mark.parametrize("engine", READABLE)
def test_a_narrow_range_of_integers_is_kept(engine: str, tmp_path: Path) -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        numbers = (0.1, 64, 0, 127, torch.uint8)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)

    program, x = captured(forward, torch.randn(64)), torch.linspace(-20, 20, 64)
    _, (found,) = built(engine, program, [x], tmp_path)
    np.testing.assert_allclose(found, program.run([x])[0].numpy(), atol=1e-6)


def test_sixteen_bits_are_run(tmp_path: Path) -> None:
    def forward(_: Any, x: torch.Tensor) -> Any:
        numbers = (0.001, 0, -32768, 32767, torch.int16)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)

    program, x = captured(forward, torch.randn(64)), torch.randn(64)
    _, (found,) = built("onnxruntime", program, [x], tmp_path)
    np.testing.assert_allclose(found, program.run([x])[0].numpy(), atol=1e-6)


def test_a_weight_of_two_layers_is_stored_once_for_each_form(tmp_path: Path) -> None:
    def forward(self: Any, x: torch.Tensor) -> Any:
        weight = qd.dequantize_per_channel(self.weight, self.scale, None, 0, -127, 127, torch.int8)
        return operator.add(torch.nn.functional.linear(x, weight), torch.nn.functional.linear(x + 1, weight))

    weight = torch.randint(-127, 128, (16, 16), dtype=torch.int8)
    program = captured(forward, torch.randn(2, 3, 16), weight=weight, scale=torch.rand(16))
    model, stored = weights(program, tmp_path)
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    assert not {name for name in stored if not any(name in node.input for node in model.graph.node)}


@pytest.mark.slow
@pytest.mark.parametrize(("net", "kernel", "layers"), [("residual stack", "qconv", 6), ("mlp", "qlinear", 2)])
def test_inductor_runs_every_layer_on_integers(net: str, kernel: str, layers: int, tmp_path: Path) -> None:
    program, inputs, step = quantized(net, ONNX_RUNTIME)
    graph, (found,) = built("inductor", program, inputs, tmp_path)
    assert sum(kind.startswith(kernel) for kind in kinds(graph).elements()) == layers
    assert np.mean(np.abs(found - program.run(inputs)[0].numpy()) / step < 1.01) >= 0.99
