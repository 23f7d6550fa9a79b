"""What each of the Program's nodes is computed with, read back: engines change it, and tell nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.engine import EngineGraph, Kernel
from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.program import Program
from tests.engines.nets import case, program
from tests.engines.quantized_nets import NETS, Quantized, as_it_comes, quantized, weight_only
from tests.engines.test_quantized import READABLE, SCHEMES, built

LAYERS = ("conv2d", "linear")


def dtypes(engine: str, program: Program, inputs: list[Tensor], folder: Path, **options: Any) -> dict[str, str]:
    """By node what it is computed with, several names in one where its kernels differ."""
    graph, _ = built(engine, program, inputs, folder, **options)
    return {node: "+".join(sorted(names)) for node, names in graph.dtypes().items()}


class FloatBetween(Quantized):
    """Three convolutions, (N, 16, 12, 12) to (N, 16, 12, 12): on integers, in float between DQ and Q, and in float."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        x = self.rounded("x", x)
        x = self.rounded("0", F.conv2d(x, *self.integers("convs.0", "x"), padding=1).relu())
        x = self.rounded("1", self.convs[1](x).relu())
        return self.convs[2](x)


@pytest.mark.parametrize("engine", READABLE)
def test_a_float_layer_between_integers_stays_in_floats(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 12, 12)
    net = program(FloatBetween(SCHEMES[engine]).ready(x), x, dynamic=True)
    found = dtypes(engine, net, [x], tmp_path)
    assert (found["conv2d"], found["conv2d_1"], found["conv2d_2"]) == ("uint8", "float32", "float32")


@pytest.mark.parametrize("engine", READABLE)
@pytest.mark.parametrize("net", NETS)
def test_layers_of_quantized_networks_are_computed_with_integers(engine: str, net: str, tmp_path: Path) -> None:
    model, inputs, _ = quantized(net, SCHEMES[engine])
    found = dtypes(engine, model, inputs, tmp_path)
    layers = [node.name for node in model.calls if node.name.startswith(LAYERS)]
    assert {found[name] for name in layers} == {"uint8"}
    if net == "mlp":
        assert found["gelu"] == {"onnxruntime": "float32", "openvino": "uint8"}[engine]


@pytest.mark.parametrize("engine", READABLE)
@pytest.mark.parametrize("net", ["static", "transformer"])
def test_layers_of_float_networks_are_computed_with_floats(engine: str, net: str, tmp_path: Path) -> None:
    model, inputs = case(net)
    found = dtypes(engine, model, inputs, tmp_path)
    layers = [node.name for node in model.calls if node.name.startswith(LAYERS)]
    assert {found[name] for name in layers} == {"float32"}


def test_an_addition_that_falls_back_to_floats_shows(tmp_path: Path) -> None:
    model, inputs, _ = quantized("residual stack", SCHEMES["onnxruntime"])
    (add,) = (node for node in model.calls if node.target is torch.ops.aten.add.Tensor and "45" in node.name)
    with model.edit() as edit:
        added = edit.node(add.args[1].name)
        edit.replace(added, edit.node(added.all_input_nodes[0].all_input_nodes[0].name))
    found = dtypes("onnxruntime", edit.program, inputs, tmp_path)
    assert found[add.name] == "float32"
    assert found["add_101"] == "uint8"


def test_what_onnxruntime_quantizes_as_it_comes_shows(tmp_path: Path) -> None:
    model, inputs = as_it_comes()
    assert dtypes("onnxruntime", model, inputs, tmp_path / "as it comes")["linear"] == "uint8"
    model, inputs = weight_only(4, 32)
    assert dtypes("onnxruntime", model, inputs, tmp_path / "exact")["linear"] == "float32"
    found = dtypes("onnxruntime", model, inputs, tmp_path / "lossy", dynamic_quantization=True)
    assert found["linear"] == "int8"


def test_nothing_is_said_where_openvino_may_quantize_and_does_not_tell(tmp_path: Path) -> None:
    model, inputs = weight_only(8, 32)
    assert dtypes("openvino", model, inputs, tmp_path / "exact")["linear"] == "float32"
    assert "linear" not in dtypes("openvino", model, inputs, tmp_path / "lossy", dynamic_quantization=True)


def test_a_node_of_several_kernels_has_the_dtypes_of_all_that_tell() -> None:
    kernels = (Kernel("a", "Conv", ("x", "y"), dtype="uint8"), Kernel("b", "Gelu", ("y",), dtype="float32"))
    found = EngineGraph((*kernels, Kernel("c", "Reshape", ("x", "z"))), None).dtypes()
    assert found == {"x": {"uint8"}, "y": {"uint8", "float32"}}
