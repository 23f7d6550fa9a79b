"""`equalize`: ranges of weights that agree over layers in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.testing import captured
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.quantize.equalize import Equalize
from tests.passes.apply import apply, proposals, reasons, rewrite, targets
from tests.passes.quantize.prepared import rounded, separable_convolutions, uneven

IMAGE = torch.randn(2, 4, 6, 6)


def layers(program: Program) -> list[LinearMap]:
    return [linear for node in program.calls if (linear := linear_map(program, node)) is not None]


def ranges(program: Program) -> list[tuple[Tensor, Tensor]]:
    """For each two layers in a row the largest weight of each channel before and after it."""
    found = []
    for before, after in zip(layers(program), layers(program)[1:], strict=False):
        rows = before.blocks.flatten(2).abs().amax(2).reshape(-1)
        columns = after.blocks.transpose(1, 2).flatten(2).abs().amax(2).reshape(len(rows), -1).amax(1)
        found.append((rows, columns))
    return found


def furthest(program: Program) -> float:
    return max(float((rows / columns).log2().abs().max()) for rows, columns in ranges(program))


def pair(between: Callable[..., Any], first: Any = None, last: Any = None) -> Program:
    torch.manual_seed(1)
    first, last = first or uneven(nn.Conv2d(4, 8, 1)), last or uneven(nn.Conv2d(8, 4, 1))
    layers = {"first": first, "last": last, "prelu": nn.PReLU(8)}
    return captured(lambda self, x: self.last(between(self, self.first(x))), IMAGE, **layers)


def test_a_chain_with_depthwise_and_linear_layers_is_equalized_at_once_and_stays_so() -> None:
    program = separable_convolutions()
    assert furthest(program) > 4
    (candidate,) = proposals(Equalize(), program)
    after = apply(program, Equalize(), [candidate])
    assert furthest(after) < 2
    assert len(layers(after)) == 4
    assert sorted(targets(after)) == sorted(targets(program))
    assert proposals(Equalize(), after) == []
    rewrite(program, Equalize())  # compares in float64


def test_not_a_bit_of_the_output_changes_in_float32() -> None:
    program = separable_convolutions()
    after = rewrite(program, Equalize())
    inputs = sample_inputs(program)
    assert after is not program
    assert torch.equal(after.run(inputs)[0], program.run(inputs)[0])


def test_weights_that_share_a_scale_lose_less_on_8_bits() -> None:
    program = separable_convolutions()
    after, inputs = rewrite(program, Equalize()), sample_inputs(program)
    exact = program.run(inputs)[0]
    before, now = ((rounded(item, inputs) - exact).norm() / exact.norm() for item in (program, after))
    assert now < before / 2


def test_a_long_chain_of_very_uneven_layers_settles_in_one_round() -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        convs = [uneven(nn.Conv2d(8, 8, 3, padding=1, groups=(1, 2, 8)[k % 3], bias=k % 2 > 0), 8) for k in range(12)]
        program = captured(lambda self, x: self.net(x), torch.randn(1, 8, 6, 6), net=nn.Sequential(*convs))
        after = apply(program, Equalize(), proposals(Equalize(), program))
        assert proposals(Equalize(), after) == []
        rewrite(program, Equalize())


@pytest.mark.parametrize(
    "between",
    [
        lambda _, x: x,
        lambda _, x: F.leaky_relu(x, -0.5),
        lambda _, x: x.clamp_min(0),
        lambda self, x: self.prelu(x),
        lambda _, x: F.avg_pool2d(F.relu(x), 2, padding=1),
        lambda _, x: F.max_pool2d(x, 2).abs(),
        lambda _, x: F.adaptive_avg_pool2d(-x, 2),
    ],
    ids=["nothing", "leaky relu", "clamp", "prelu", "average", "maximum", "adaptive"],
)
def test_positively_homogeneous_functions_let_scales_pass(between: Any) -> None:
    program = pair(between)
    after = rewrite(program, Equalize())
    assert furthest(program) > 2 > 1 >= furthest(after)
    assert len(layers(after)) == 2


def test_transposed_convolutions_and_permuted_channels_are_followed() -> None:
    program = pair(lambda _, x: x.relu(), last=uneven(nn.ConvTranspose2d(8, 4, 2, 2)))
    assert furthest(program) > 2
    assert proposals(Equalize(), rewrite(program, Equalize())) == []
    torch.manual_seed(2)
    program = captured(
        lambda self, x: self.last(self.first(x).relu().permute(0, 2, 3, 1)),
        IMAGE, first=uneven(nn.Conv2d(4, 8, 1)), last=uneven(nn.Linear(8, 4)),
    )  # fmt: skip
    assert furthest(program) > 2 > 1 >= furthest(rewrite(program, Equalize()))


def test_channels_without_weights_and_those_of_a_bias_alone_bring_no_large_numbers() -> None:
    first, last = nn.Conv2d(4, 8, 1), uneven(nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        first.weight[0], first.bias[0] = 0, 0  # type: ignore[index]
        first.weight[1], first.bias[1] = 1e-12, 1  # type: ignore[index]
        last.weight[:, 2] = 0
    program = pair(lambda _, x: x.relu(), first, last)
    after = rewrite(program, Equalize())
    assert after is not program
    assert float(layers(after)[0].bias64.abs().max()) < 2**8
    assert all(bool(item.weight.isfinite().all()) for item in layers(after))


def test_balanced_layers_are_left_alone_and_the_factor_says_what_is_balanced() -> None:
    torch.manual_seed(0)
    program = pair(lambda _, x: x.relu(), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1))
    assert 1 < furthest(program) < 2
    assert proposals(Equalize(), program) == []
    program = pair(lambda _, x: x.relu())
    assert proposals(Equalize(), program)
    assert proposals(Equalize(factor=1e4), program) == []


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda _, x: F.relu6(x), "no scale passes relu6, which is not positively homogeneous"),
        (lambda _, x: x.clamp(0, 6), "no scale passes clamp, which is not positively homogeneous"),
        (lambda _, x: F.hardtanh(x, 0, 6), "no scale passes hardtanh, which is not positively homogeneous"),
        (lambda _, x: x.clamp_min(-1), "no scale passes clamp_min, which is not positively homogeneous"),
        (lambda _, x: F.gelu(x), "no scale passes gelu, which is not positively homogeneous"),
    ],
    ids=["relu6", "clamp", "hardtanh", "clamp from below", "gelu"],
)
def test_what_clips_or_bends_is_declined(between: Any, reason: str) -> None:
    program = pair(between)
    assert proposals(Equalize(), program) == []
    assert reasons(Equalize(), program) == reason


def test_residual_values_keep_their_scale() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        return self.last(y) + y

    program = captured(forward, IMAGE, first=uneven(nn.Conv2d(4, 4, 1)), last=uneven(nn.Conv2d(4, 4, 1)))
    assert proposals(Equalize(), program) == []
    assert reasons(Equalize(), program) == "relu has 2 users"

    def twice(self: Any, x: Tensor) -> Tensor:
        return self.last((self.first(x) + x).relu())

    program = captured(twice, IMAGE, first=uneven(nn.Conv2d(4, 4, 1)), last=uneven(nn.Conv2d(4, 4, 1)))
    assert proposals(Equalize(), program) == []


def test_weights_that_others_use_and_that_are_no_numbers_are_declined() -> None:
    layer = uneven(nn.Conv2d(4, 4, 1))
    program = captured(lambda self, x: self.layer(self.layer(x).relu()), IMAGE, layer=layer)
    assert reasons(Equalize(), program) == "the weight of conv2d is used elsewhere"
    broken = nn.Conv2d(4, 8, 1)
    broken.weight.data[0] = float("inf")
    assert reasons(Equalize(), pair(lambda _, x: x, broken)) == "its weights are not finite"
    program = captured(lambda self, x, w: F.conv2d(self.layer(x), w), IMAGE, torch.randn(4, 4, 1, 1), layer=layer)
    assert reasons(Equalize(), program) == "the weight of conv2d_1 is not a constant"


def test_a_factor_that_rounding_would_undo_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1\.5, not 1\.2"):
        Equalize(factor=1.2)
