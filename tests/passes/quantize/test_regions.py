"""Regions: what an engine runs on integers, cut where one tensor alone passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.program import Program
from fxopt.testing import captured
from fxopt_passes.quantize.regions import Islands
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO, TENSORRT
from tests.passes.quantize.calibrated import residual_network

IMAGE = torch.randn(2, 8, 8, 8)


def regions(program: Program, scheme: QuantScheme = ONNX_RUNTIME) -> list[list[str]]:
    """Operators of each region, like `"conv2d"`."""
    found = Islands(program, scheme).regions
    return [[node.target.__name__.split(".")[0] for node in region.nodes] for region in found]  # type: ignore[union-attr]


def why_not(program: Program, scheme: QuantScheme = ONNX_RUNTIME) -> list[str]:
    return [reason for _, reason in Islands(program, scheme).declines]


def conv(channels: int = 8, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(8, channels, 3, padding=1, **options)


def test_a_residual_block_is_a_region_and_what_has_no_layer_joins_the_one_before() -> None:
    block = ["conv2d", "relu", "conv2d", "add", "relu"]
    assert regions(residual_network()) == [
        ["conv2d", "relu", "max_pool2d"],
        block,
        [*block, "mean"],
        ["linear"],
    ]


def test_an_inverted_residual_is_a_region_and_a_chain_falls_into_its_layers() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        x = F.relu6(self.stem(x))
        y = F.relu6(self.deep(F.relu6(self.wide(x))))
        return self.last(F.relu6(self.next(x + self.narrow(y))))

    layers = {
        "stem": conv(),
        "wide": nn.Conv2d(8, 32, 1),
        "deep": nn.Conv2d(32, 32, 3, padding=1, groups=32),
        "narrow": nn.Conv2d(32, 8, 1),
        "next": conv(),
        "last": conv(),
    }
    found = regions(captured(forward, IMAGE, **layers))
    assert [part.count("conv2d") for part in found] == [1, 3, 1, 1]
    program = captured(forward, IMAGE, **layers)
    assert [part.count("conv2d") for part in regions(program, TENSORRT)] == [1, 1, 1, 1, 1]
    assert why_not(program, TENSORRT) == ["the engine has no integer kernel for depthwise convolutions"]


def test_layers_between_float_operators_are_regions_of_their_own() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return x + self.narrow(F.gelu(self.wide(self.norm(x))))

    layers = {"norm": nn.LayerNorm(8), "wide": nn.Linear(8, 32), "narrow": nn.Linear(32, 8)}
    assert regions(captured(forward, torch.randn(2, 5, 8), **layers)) == [["linear"], ["linear"]]


def test_an_addition_that_leads_to_no_layer_follows_only_one_that_yields_no_floats() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return F.silu(x.cos() + self.layer(x))

    image = captured(forward, IMAGE, layer=conv())
    assert regions(image, ONNX_RUNTIME) == [["conv2d", "add"]]
    assert regions(image, OPENVINO) == [["conv2d"]]
    rows = captured(forward, torch.randn(2, 5, 8), layer=nn.Linear(8, 8))
    assert regions(rows, ONNX_RUNTIME) == [["linear"]]


def test_what_begins_in_floats_is_not_rounded_for_its_own_sake() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.layer(F.max_pool2d(x.cos() + x.sin(), 2))

    assert regions(captured(forward, IMAGE, layer=conv())) == [["max_pool2d", "conv2d"]]


def test_a_product_of_two_activations_is_a_layer_and_one_with_a_constant_is_not() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return (x @ x.transpose(1, 2)).cos() @ self.table

    program = captured(forward, torch.randn(2, 5, 8), table=torch.randn(5, 3))
    assert regions(program) == [["transpose", "matmul"]]
    assert why_not(program) == ["it is no product of two activations of floats"]


def test_weights_that_are_no_constants_are_declined() -> None:
    program = captured(lambda _, x, w: F.conv2d(x, w), IMAGE, torch.randn(8, 8, 3, 3))
    assert regions(program) == []
    assert why_not(program) == ["its weights are no constants"]


def test_half_precision_and_images_without_batch_are_declined() -> None:
    half = captured(lambda s, x: s.layer(x), torch.randn(2, 8).half(), layer=nn.Linear(8, 8).half())
    assert why_not(half) == ["it computes on no floats of 32 bits, or on none at all"]
    single = captured(lambda s, x: s.layer(x), IMAGE[0], layer=conv())
    assert why_not(single) == ["its input has no batch axis"]


def test_operators_that_the_engine_does_not_run_on_integers_part_regions() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.last(torch.cat([self.first(x).sigmoid(), x], 1))

    program = captured(forward, IMAGE, first=conv(), last=nn.Conv2d(16, 8, 1))
    assert regions(program) == [["conv2d", "sigmoid", "cat"], ["conv2d"]]
    without = replace(ONNX_RUNTIME, integer_ops=ONNX_RUNTIME.integer_ops - {"aten.sigmoid"})
    assert regions(program, without) == [["conv2d"], ["conv2d"]]


def branches(self: Any, x: Tensor) -> Any:
    """Two layers as one, whose parts are added behind another layer."""
    first, second = self.wide(self.stem(x).relu()).split_with_sizes([16, 8], 1)
    return self.last(first + self.narrow(second.relu()))


BRANCHES = {"stem": conv(), "wide": conv(24), "narrow": conv(16), "last": nn.Conv2d(16, 8, 1)}


def test_what_was_split_stays_on_integers_with_all_its_parts() -> None:
    program = captured(branches, IMAGE, **BRANCHES)
    whole = ["conv2d", "split_with_sizes", "getitem", "getitem"]
    assert regions(program) == [["conv2d", "relu"], whole, ["conv2d", "add"], ["conv2d"]]
    islands = Islands(program, ONNX_RUNTIME)
    wide = next(node for node in program.calls if "split" in str(node.target)).args[0]
    parts = [node for node in program.calls if "getitem" in str(node.target)]
    assert [islands.root(part) for part in parts] == [wide, wide]
    assert not any("split" in name for part in regions(program, OPENVINO) for name in part)


def test_what_is_split_for_nobody_on_integers_is_no_part_of_a_region() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        first, second = self.wide(x).split_with_sizes([16, 8], -1)
        return first.exp() * second.mean()

    assert regions(captured(forward, IMAGE, wide=nn.Linear(8, 24))) == [["linear"]]


@pytest.mark.parametrize(
    "split",
    [
        lambda s, x: [s.first((parts := s.wide(x).split([16, 8], -1))[0]), s.last(parts[1])],
        lambda s, x: [s.first(s.wide(x).split([16, 8], -1)[0]), s.last(x)],
    ],
)
def test_parts_of_floats_are_each_rounded_on_their_own(split: Any) -> None:
    layers = {"wide": nn.Linear(8, 24), "first": nn.Linear(16, 8), "last": nn.Linear(8, 8)}
    program = captured(split, IMAGE, **layers)
    assert regions(program) == [["linear"]] * 3
    islands = Islands(program, ONNX_RUNTIME)
    parts = [node for node in program.calls if "getitem" in str(node.target)]
    assert [islands.root(part) for part in parts] == parts


@pytest.mark.parametrize("sizes", [[16, 8, 0], [16, 8]])
def test_a_split_is_of_integers_only_where_all_its_parts_are_taken_and_hold_something(sizes: list[int]) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        parts = self.wide(self.stem(x).relu()).split(sizes, 1)
        taken = self.narrow(parts[1])
        return (taken, parts[2]) if len(sizes) > 2 else taken

    program = captured(forward, IMAGE, stem=conv(), wide=conv(24), narrow=nn.Conv2d(8, 16, 1))
    assert regions(program) == [["conv2d", "relu"], ["conv2d"], ["conv2d"]]


def test_equal_parts_are_parts_as_well() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        first, second = self.wide(x).chunk(2, 1)
        return self.last(first + self.narrow(second))

    program = captured(forward, IMAGE, wide=conv(16), narrow=conv(), last=conv())
    assert regions(program) == [["conv2d"], ["split", "getitem", "getitem", "conv2d", "add"], ["conv2d"]]


def padded(self: Any, x: Tensor) -> Any:
    """Layers behind uneven zeros, as TensorFlow pads."""
    uneven = (0, 1, 0, 1)
    x = F.relu6(self.first(F.pad(x, uneven)))
    return self.last(F.relu6(self.deep(F.pad(x, uneven))))


PADDED = {"first": nn.Conv2d(8, 16, 3, 2), "deep": nn.Conv2d(16, 16, 3, 2, groups=16), "last": nn.Conv2d(16, 8, 1)}


def test_zeros_that_are_padded_belong_to_the_layer_behind_them() -> None:
    program = captured(padded, IMAGE, **PADDED)
    layer = ["pad", "conv2d", "relu6"]
    assert regions(program) == [layer, layer, ["conv2d"]]
    assert regions(program, replace(ONNX_RUNTIME, padding=False)) == [
        ["conv2d", "relu6"],
        ["conv2d", "relu6"],
        ["conv2d"],
    ]


@pytest.mark.parametrize(
    "pad",
    [
        lambda s, x: s.layer(F.pad(x, (0, 1), value=1.0)),
        lambda s, x: s.layer(F.pad(x, (0, 1, 0, 1), "reflect")),
        lambda s, x: s.layer(y := F.pad(x, (0, 1))) + y.mean(),
        lambda s, x: s.layer(F.pad(x, (0, -1))),
        lambda s, x: s.layer(F.pad(x, (0, 1, 0, 1, 0, 1))[:, :8]),
    ],
)
def test_other_padding_is_no_part_of_a_region(pad: Any) -> None:
    assert regions(captured(pad, IMAGE, layer=conv())) == [["conv2d"]]


def test_padding_of_channels_and_before_other_layers_is_no_part_of_a_region() -> None:
    channels = captured(lambda s, x: s.layer(F.pad(x, (0, 0, 0, 0, 0, 1))), IMAGE, layer=nn.Conv2d(9, 8, 3))
    assert regions(channels) == [["conv2d"]]
    linear = captured(lambda s, x: s.layer(F.pad(x, (0, 1))), torch.randn(2, 8), layer=nn.Linear(9, 8))
    assert regions(linear) == [["linear"]]
