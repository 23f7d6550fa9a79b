"""The target `gpu`: what its devices can do, which kernels run there, and what they are expected to take."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fxopt.errors import InputError
from fxopt.registry import Registry
from fxopt.testing.specimen import captured
from fxopt_plugins import targets
from fxopt_plugins.engines import fxopt_engines
from fxopt_plugins.engines.eager import Eager
from fxopt_plugins.engines.schemes import TENSORRT
from fxopt_plugins.engines.tensorrt import TensorRt
from fxopt_plugins.targets import gpu
from fxopt_plugins.targets.gpu import Gpu
from fxopt_plugins.targets.gpu_kernels import Kernel, calls_of, kernels
from fxopt_plugins.targets.gpu_times import Table, coefficients, devices, parts
from tests.engines.nets import CASES, case, program
from tests.engines.quantized_nets import quantized


class Bottlenecks(nn.Module):
    """Two residual blocks as of ResNet-50: images (N, 64, 56, 56)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU()),
                *(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
                *(nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64)),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


class Block(nn.Module):
    """Half a transformer's block: (N, 196, 192) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.project, self.out = nn.LayerNorm(192), nn.Linear(192, 576), nn.Linear(192, 192)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.norm(x)).unflatten(2, (3, 3, 64)).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))


IMAGES = torch.randn(1, 64, 56, 56)


def milliseconds(target: Gpu, net: nn.Module, *inputs: Tensor, precision: str = "f32") -> float:
    return target.price(program(net, *inputs), TensorRt(precision=precision)).milliseconds


def test_the_hook_fxopt_targets_brings_it_and_its_engines_exist() -> None:
    registry = Registry()
    registry.register(targets, "targets", "fxopt")
    assert registry.targets["gpu"] is Gpu
    assert set(Gpu.engines) <= {engine.name for engine in fxopt_engines()}


def test_an_unknown_device_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="gpu: unknown device 'v100'; there is auto, t4, a10, .*rtx4090, orin"):
        Registry.load().make_target("gpu{device=v100}")
    assert Registry.load().make_target("gpu{device=t4, graphs=false}").spec() == "gpu{device=t4, graphs=false}"


@pytest.mark.parametrize("device", devices())
def test_each_device_is_stamped_with_what_it_can_do(device: str) -> None:
    target = Gpu(device)
    machine, found = target.machine(), target.capabilities()
    assert machine.cpu == devices()[device].label
    assert machine.isa == found.isa
    assert machine.isa[0].startswith("sm_")
    assert {"float16", "int8"} <= found.dtypes
    assert ("bfloat16" in found.dtypes) == (device != "t4")
    assert found.channel_grid == 32


@pytest.mark.parametrize(
    ("said", "device"),
    [
        ("Model: \t\t NVIDIA A100-PCIE-40GB\n", "a100_pcie"),
        ("Model: NVIDIA A100-SXM4-80GB", "a100"),
        ("Model: NVIDIA GeForce RTX 4090", "rtx4090"),
        ("Model: Tesla T4", "t4"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "orin"),
        ("Model: GeForce GTX 1080", None),
        ("", None),
    ],
)
def test_the_device_at_hand_is_told_by_its_drivers_name(said: str, device: str | None) -> None:
    assert gpu.device_named(said) == device


def test_without_the_device_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_found", lambda: None)
    assert not Gpu().here
    monkeypatch.setattr(gpu, "_found", lambda: "t4")
    assert Gpu().here
    assert Gpu("t4").here
    assert not Gpu("h100").here
    assert Gpu().machine().cpu == "NVIDIA T4"


def test_what_follows_a_layer_runs_at_its_end_where_the_engine_does_so() -> None:
    calls = calls_of(program(Bottlenecks().eval(), IMAGES))
    styles = {style: [kernel.kind for kernel in kernels(calls, style)] for style in ("apart", "pointwise", "epilogue")}
    assert styles["epilogue"] == ["conv1x1", "conv", "conv1x1"] * 2
    assert sorted(styles["pointwise"]) == sorted([*styles["epilogue"], *["pointwise"] * 6])
    assert len(styles["apart"]) == len(calls)


def test_attention_is_one_kernel_and_its_heads_are_not_copied() -> None:
    found = kernels(calls_of(program(Block(), torch.randn(1, 196, 192))), "epilogue")
    assert [kernel.kind for kernel in found] == ["normalization", "linear", "attention", "linear"]
    attention = found[2]
    assert (attention.rows, attention.columns, attention.terms, attention.groups) == (196, 196, 64, 3)
    assert attention.read == 3 * attention.written == 3 * 196 * 192 * 4


def test_each_call_is_in_one_kernel_and_bytes_are_those_of_its_border() -> None:
    model = program(Bottlenecks().eval(), IMAGES)
    calls = calls_of(model)
    for style in ("apart", "pointwise", "epilogue"):
        found = kernels(calls, style)
        inside = sorted(number for kernel in found for number in kernel.calls)
        assert inside == [number for number, call in enumerate(calls) if call.kind != "view"]
        assert sum(kernel.flops for kernel in found) == pytest.approx(sum(call.flops - call.spared for call in calls))
    size = IMAGES.numel() * 4
    assert [kernel.written for kernel in found] == [size] * 6
    assert [kernel.read for kernel in found] == [size, size, 2 * size] * 2


def test_float16_and_integers_move_fewer_bytes() -> None:
    model = program(Bottlenecks().eval(), IMAGES)
    whole, half = (kernels(calls_of(model, half), "epilogue") for half in (False, True))
    assert [kernel.read for kernel in half] == [kernel.read / 2 for kernel in whole]
    assert {kernel.dtype for kernel in half} == {"float16"}
    integers = kernels(calls_of(quantized("residual stack", TENSORRT)[0]), "epilogue")
    assert {kernel.dtype for kernel in integers if kernel.kind in ("conv", "conv1x1")} == {"int8"}


def test_in_float32_a_3x3_convolution_of_step_1_takes_fewer_multiplications() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, stride=2, padding=1)
            self.apart, self.flat = nn.Conv2d(64, 64, 3, padding=2, dilation=2), nn.Conv2d(64, 64, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.flat(self.apart(self.one(self.two(x))))  # type: ignore[no-any-return]

    model = program(Steps().eval(), IMAGES)
    whole, half = ([kernel.flops for kernel in kernels(calls_of(model, half), "epilogue")] for half in (False, True))
    assert [one / other for one, other in zip(half, whole, strict=True)] == pytest.approx([1, 2.25, 1, 1], rel=0.01)


def arithmetic(kind: str, rows: int, columns: int, terms: int, groups: int = 1) -> float:
    """Milliseconds of a product's arithmetic in float16 on an A100."""
    kernel = Kernel(kind, "float16", 2.0 * rows * columns * terms * groups, 0, 0, 0, rows, columns, terms, groups)
    return float(parts(Table.of([kernel]), devices()["a100"], coefficients()["tensorrt"])[0][0])


def test_long_sums_of_linear_layers_are_divided_among_multiprocessors_that_would_be_idle() -> None:
    longer = {kind: arithmetic(kind, 64, 256, 8192) / arithmetic(kind, 64, 256, 1024) for kind in ("linear", "conv1x1")}
    assert longer["linear"] < 2 < 6 < longer["conv1x1"]


def test_heads_of_attention_run_beside_one_another_but_not_the_columns_of_one() -> None:
    assert arithmetic("attention", 256, 256, 64, groups=64) < 3 * arithmetic("attention", 256, 256, 64, groups=4)
    # 197 tokens fill as many tiles as 256 do.
    assert arithmetic("attention", 197, 197, 64, 4) == pytest.approx(arithmetic("attention", 256, 256, 64, 4), rel=0.15)
    assert arithmetic("attention", 256, 2048, 64, groups=4) > 6 * arithmetic("attention", 256, 256, 64, groups=4)


@pytest.mark.parametrize("net", CASES)
@pytest.mark.parametrize("engine", [TensorRt(), Eager()], ids=lambda engine: engine.name)
def test_prices_are_finite_and_say_how_far_off_they_are(net: str, engine: TensorRt | Eager) -> None:
    model, _ = case(net)
    cost, price = Gpu("a10").predict(model, engine), Gpu("a10").price(model, engine)
    assert cost.source == "predicted"
    assert 0 < cost.latency_ms.low < cost.latency_ms.estimate < cost.latency_ms.high < math.inf
    assert 0.05 < price.spread < 0.5
    assert price.measured_share < 1 or not price.pieces


def test_faster_devices_and_fewer_bits_are_faster_where_there_is_work() -> None:
    images = torch.randn(32, 64, 56, 56)
    t4, a100 = (milliseconds(Gpu(device), Bottlenecks().eval(), images) for device in ("t4", "a100"))
    assert a100 < t4
    half = milliseconds(Gpu("t4"), Bottlenecks().eval(), images, precision="f16")
    assert half < 0.6 * t4  # in float32 half the work is done by Winograd's algorithm


def test_few_rows_keep_more_of_a_device_busy_without_tensor_cores() -> None:
    sizes = [128, 8192]
    single, half = (
        [milliseconds(Gpu("t4"), nn.Linear(4096, 4096), torch.randn(rows, 4096), precision=p) for rows in sizes]
        for p in ("f32", "f16")
    )
    # By how much a row takes longer where there are few.
    assert 64 * single[0] / single[1] < 64 * half[0] / half[1]


def test_a_graph_saves_launches() -> None:
    net = Bottlenecks().eval()
    assert milliseconds(Gpu("t4"), net, IMAGES) < milliseconds(Gpu("t4", graphs=False), net, IMAGES)


def test_without_a_graph_the_host_launches_while_the_device_computes() -> None:
    net = Bottlenecks().eval()
    few, many = (IMAGES[:, :, :7, :7], torch.randn(64, 64, 56, 56))
    engine = TensorRt(precision="f16")
    small, large = (
        [Gpu("a100", graphs).price(program(net, images), engine).milliseconds for graphs in (False, True)]
        for images in (few, many)
    )
    assert small[0] > max(1.04 * small[1], 6 * coefficients()["tensorrt"].launch_us / 1e3)
    assert large[0] < 1.01 * large[1]


def test_the_data_files_are_whole() -> None:
    folder = Path(gpu.__file__).parent
    data = json.loads((folder / "gpu_coefficients.json").read_text())
    assert set(data["fits"]) == {"eager", "inductor", "tensorrt"}
    assert all(0 < fit["spread"] < 0.5 for fit in data["fits"].values())


def test_attention_of_one_tensor_with_itself_has_a_price() -> None:
    net = captured(lambda _, x: torch.nn.functional.scaled_dot_product_attention(x, x, x), torch.randn(1, 4, 64, 32))
    square = captured(lambda _, x: x @ x, torch.randn(64, 64))
    for item in (net, square):
        found = Gpu("t4").price(item, TensorRt())
        assert found.milliseconds > 0
