"""What is read back from the engines: signatures, kernels, times."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fxopt.contracts.engine import EngineGraph
from fxopt.ir.program import Program
from fxopt_plugins.engines.onnx_graph import covers
from tests.engines.nets import ConvNet, Merged, case, program
from tests.engines.test_outputs import make

READABLE = ["onnxruntime", "openvino"]
SIGNED = [*READABLE, pytest.param("inductor", marks=pytest.mark.slow)]


def graph(engine: str, program: Program, folder: Path) -> EngineGraph:
    """What the engine makes of a Program, by way of a new folder."""
    runtime = make(engine)
    folder.mkdir()
    return runtime.fused_kernels(runtime.emit(program, folder))


def folded(net: ConvNet) -> ConvNet:
    """The same network without batch norms."""
    net = copy.deepcopy(net).eval()
    for part in (net.stem, net.body):
        part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return net


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("engine", SIGNED)
def test_a_batch_norm_that_the_engine_folds_itself_leaves_the_signature(
    engine: str, dynamic: bool, tmp_path: Path
) -> None:
    net, x = ConvNet().eval(), torch.randn(2, 3, 16, 16)
    before = graph(engine, program(net, x, dynamic=dynamic), tmp_path / "before")
    after = graph(engine, program(folded(net), x, dynamic=dynamic), tmp_path / "after")
    assert before.signature == after.signature


@pytest.mark.parametrize("engine", SIGNED)
def test_new_weights_leave_the_signature(engine: str, tmp_path: Path) -> None:
    x = torch.randn(2, 3, 16, 16)
    signatures = {graph(engine, program(ConvNet(), x), tmp_path / str(i)).signature for i in range(2)}
    assert len(signatures) == 1


@pytest.mark.parametrize("engine", SIGNED)
def test_merged_convolutions_change_the_signature(engine: str, tmp_path: Path) -> None:
    x = torch.randn(2, 3, 8, 8)
    one, two = (graph(engine, program(Merged(n), x), tmp_path / str(n)) for n in (1, 2))
    assert one.signature != two.signature


@pytest.mark.parametrize("engine", READABLE)
@pytest.mark.parametrize("change", [{"stride": 2}, {"dilation": 2, "padding": 2}, {"groups": 4}])
def test_attributes_of_a_convolution_change_the_signature(engine: str, change: dict[str, int], tmp_path: Path) -> None:
    x = torch.randn(1, 4, 8, 8)
    plain = graph(engine, program(nn.Conv2d(4, 4, 3, padding=1), x), tmp_path / "plain")
    other = graph(engine, program(nn.Conv2d(4, 4, 3, **{"padding": 1, **change}), x), tmp_path / "other")
    assert plain.signature != other.signature


@pytest.mark.parametrize("engine", READABLE)
def test_the_sizes_of_an_input_change_the_signature(engine: str, tmp_path: Path) -> None:
    small, large = (graph(engine, program(ConvNet(), torch.randn(1, 3, n, n)), tmp_path / str(n)) for n in (16, 32))
    assert small.signature != large.signature


@pytest.mark.parametrize("engine", READABLE)
def test_kernels_name_the_nodes_that_they_cover(engine: str, tmp_path: Path) -> None:
    net, _ = case("convolutions")
    kernels = graph(engine, net, tmp_path / "graph").kernels
    covered = [set(kernel.covers) for kernel in kernels]
    assert {"conv2d", "batch_norm", "hardtanh"} in covered
    assert {node.name for node in net.calls} == set().union(*covered)


@pytest.mark.parametrize("engine", READABLE)
@pytest.mark.parametrize("net", ["transformer", "many outputs", "condition"])
def test_kernels_cover_only_nodes_that_there_are(engine: str, net: str, tmp_path: Path) -> None:
    model, _ = case(net)
    kernels = graph(engine, model, tmp_path / "graph").kernels
    assert {name for kernel in kernels for name in kernel.covers} <= {node.name for node in model.nodes}


@pytest.mark.parametrize("engine", READABLE)
def test_a_profile_gives_each_kernel_its_time(engine: str, tmp_path: Path) -> None:
    net, inputs = case("convolutions")
    runtime = make(engine)
    artifact = runtime.emit(net, tmp_path)
    kernels = runtime.profile(artifact, [value.numpy() for value in inputs])
    assert [kernel.name for kernel in kernels] == [kernel.name for kernel in runtime.fused_kernels(artifact).kernels]
    assert all(kernel.milliseconds is not None and kernel.milliseconds >= 0 for kernel in kernels)
    assert sum(kernel.milliseconds or 0 for kernel in kernels) > 0


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.last = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(nn.functional.silu(self.first(x))))


def test_onnxruntimes_own_fusions_cover_what_they_are_named_after(tmp_path: Path) -> None:
    """QuickGelu of x * sigmoid(x), and Gemm of a product with three axes."""
    kernels = graph("onnxruntime", program(Gated(), torch.randn(1, 3, 10, 10)), tmp_path / "graph").kernels
    by_kind = {kernel.kind: kernel.covers for kernel in kernels}
    assert by_kind["QuickGelu"] == ("silu",)
    assert "linear" in by_kind["Gemm"]


def test_an_activation_behind_a_sum_belongs_to_the_convolution_that_took_both_in() -> None:
    """As ONNX Runtime writes them in blocks of channels, named after the convolution alone."""
    node = onnx.helper.make_node
    first = node("Conv", ["x", "w"], ["conv2d"], name="conv2d")
    last = node("Conv", ["relu", "w"], ["conv2d_1"], name="conv2d_1")
    middle = [
        node("Add", ["conv2d", "y"], ["add"], name="add"),
        node("Relu", ["add"], ["relu"], name="relu"),
    ]
    block = node("Conv", ["x", "w", "", "y"], ["conv2d_nchwc"], name="conv2d_nchwc", activation="Relu")
    after = node("Conv", ["conv2d_nchwc", "w"], ["conv2d_1"], name="conv2d_1")
    source, optimized = (
        onnx.helper.make_graph(nodes, "graph", [], []) for nodes in ([first, *middle, last], [block, after])
    )
    assert covers(source, optimized) == [("conv2d", "add", "relu"), ("conv2d_1",)]


class Sums(nn.Module):
    """Sums of sums, each with the branch of a convolution that takes it in; and a norm that nothing comes before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.branches = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(2))
        self.norm, self.last = nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            x = x + branch(x)
        return self.last(torch.relu(self.norm(x)))


def test_each_sum_belongs_to_its_own_convolution_and_a_norm_is_a_kernel(tmp_path: Path) -> None:
    kernels = graph("onnxruntime", program(Sums().eval(), torch.randn(1, 3, 16, 16)), tmp_path / "graph").kernels
    covered = [set(kernel.covers) for kernel in kernels if "Conv" in kernel.kind]
    sums = [{"conv2d"}, {"conv2d_1", "add"}, {"conv2d_2", "add_1"}]
    assert covered == [*sums, {"batch_norm", "relu"}, {"conv2d_3"}]
