from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fxopt_passes.fusion.fold_affine import FoldAffine
from tests.passes.apply import captured, declines, proposals, reasons, rewrite, targets

FOLD = FoldAffine()


class Around(nn.Module):
    """`after(layer(before(x)))`; both may use constants of different shapes."""

    def __init__(
        self, layer: nn.Module, before: Callable | None = None, after: Callable | None = None, channels: int = 4
    ) -> None:
        super().__init__()
        self.layer, self.before, self.after = layer, before, after
        generator = torch.Generator().manual_seed(1)
        self.a = nn.Parameter(torch.randn(channels, 1, 1, generator=generator))
        self.b = nn.Parameter(torch.randn(1, channels, 1, 1, generator=generator))
        self.v = nn.Parameter(torch.randn(channels, generator=generator))
        self.c = nn.Parameter(torch.randn(channels, 1, generator=generator))
        self.d = nn.Parameter(torch.randn(channels, 1, 1, 1, generator=generator))
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = self.layer(x if self.before is None else self.before(self, x))
        return value if self.after is None else self.after(self, value)


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


AFFINE = {
    "multiply": lambda m, x: x * m.a,
    "multiply from the left": lambda m, x: m.a * x,
    "multiply by a number": lambda m, x: x * 3.0,
    "divide": lambda m, x: x / m.b,
    "divide by a number": lambda m, x: x / 3,
    "add": lambda m, x: x + m.b,
    "add some": lambda m, x: torch.add(x, m.a, alpha=3),
    "subtract": lambda m, x: x - m.a,
    "subtract from": lambda m, x: m.a - x,
    "subtract from a number": lambda m, x: 2.5 - x,
    "subtract some from": lambda m, x: torch.sub(m.b, x, alpha=0.5),
    "normalise": lambda m, x: (x - m.a) / m.b,
    "scale and shift": lambda m, x: x * m.a + m.b,
}


@pytest.mark.parametrize("affine", AFFINE)
def test_folds_into_the_convolution_before_it(affine: str) -> None:
    module = Around(nn.Conv2d(4, 4, 3, padding=1, groups=2), after=AFFINE[affine])
    assert targets(rewrite(captured(module, image(2, 4, 5, 5), dynamic=True), FOLD)) == ["aten.conv2d.default"]


@pytest.mark.parametrize("affine", AFFINE)
def test_folds_into_the_convolution_after_it(affine: str) -> None:
    module = Around(nn.Conv2d(4, 6, 3, groups=2, bias=False), before=AFFINE[affine])
    assert targets(rewrite(captured(module, image(2, 4, 5, 5), dynamic=True), FOLD)) == ["aten.conv2d.default"]


@pytest.mark.parametrize("affine", ["normalise", "subtract some from", "scale and shift"])
def test_folds_into_the_transposed_convolution_before_it(affine: str) -> None:
    module = Around(nn.ConvTranspose2d(6, 4, 3, groups=2, stride=2), after=AFFINE[affine])
    assert len(targets(rewrite(captured(module, image(2, 6, 5, 5)), FOLD))) == 1


def test_folds_a_scale_before_a_padded_convolution_but_not_the_shift() -> None:
    program = captured(Around(nn.Conv2d(4, 6, 3, padding=1), before=AFFINE["normalise"]), image(2, 4, 5, 5))
    after = rewrite(program, FOLD)
    assert targets(after) == ["aten.sub.Tensor", "aten.conv2d.default"]
    assert "would see the shift" in reasons(FOLD, after)


def test_folds_layer_scale_into_the_linear_layer_before_it() -> None:
    module = Around(nn.Linear(3, 4), after=lambda m, x: x * m.v)
    assert targets(rewrite(captured(module, image(2, 5, 3)), FOLD)) == ["aten.linear.default"]


def test_folds_the_scale_of_queries_through_views_and_transpositions() -> None:
    def heads(m: Around, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], 5, 2, 2).transpose(1, 2) * 0.25

    program = captured(Around(nn.Linear(3, 4), after=heads), image(2, 5, 3), dynamic=True)
    after = rewrite(program, FOLD)
    assert "aten.mul.Tensor" not in targets(after)
    assert targets(after)[-1] in ("aten.permute.default", "aten.transpose.int")


def test_folds_layer_scale_behind_a_permutation() -> None:
    class Block(nn.Module):
        """The end of a ConvNeXt block: a linear layer over the last axis, back to channels first, then the scale."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.gamma = nn.Linear(3, 4), nn.Parameter(torch.randn(4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x).permute(0, 3, 1, 2) * self.gamma

    after = rewrite(captured(Block().double(), image(2, 5, 6, 3), dynamic=True), FOLD)
    assert targets(after) == ["aten.linear.default", "aten.permute.default"]


def test_folds_the_weight_of_a_layer_norm_before_a_permutation() -> None:
    class Norm2d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.LayerNorm(4), nn.Conv2d(4, 3, 2, stride=2)
            nn.init.normal_(self.norm.weight)
            nn.init.normal_(self.norm.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))

    after = rewrite(captured(Norm2d().double(), image(2, 4, 6, 6), dynamic=True), FOLD)
    norm = next(node for node in after.calls if "layer_norm" in str(node.target))
    assert all(after.tensor(argument) is None for argument in norm.args)


@pytest.mark.parametrize(
    "move",
    [
        lambda m, x: x.flatten(2) * m.c,
        lambda m, x: x.transpose(1, 3) * m.v,
        lambda m, x: x.permute(1, 0, 3, 2) * m.d,
        lambda m, x: x.permute(0, 2, 3, 1).flatten(0, 2) * m.v,
        lambda m, x: x.contiguous() * m.a,
    ],
)
def test_folds_a_scale_by_channel_behind_moves(move: Callable) -> None:
    module = Around(nn.Conv2d(3, 4, 1), after=move)
    assert "aten.mul.Tensor" not in targets(rewrite(captured(module, image(2, 3, 4, 4)), FOLD))


@pytest.mark.parametrize(
    "move",
    [
        lambda m, x: x.reshape(2, 2, 2, 4, 4) * m.c,
        lambda m, x: x.transpose(1, 2) * m.a,
        lambda m, x: x.flatten(0, 1).reshape(4, 2, 4, 4) * m.d,
    ],
)
def test_never_folds_a_scale_by_position_behind_moves(move: Callable) -> None:
    assert not proposals(FOLD, captured(Around(nn.Conv2d(3, 4, 1), after=move), image(2, 3, 4, 4)))


def test_leaves_a_scale_by_channel_behind_a_view() -> None:
    module = Around(nn.Linear(3, 4), after=lambda m, x: x.view(2, 4, 5) * m.c)
    assert not proposals(FOLD, captured(module, image(2, 5, 3)))


class Attention(nn.Module):
    """Queries, keys and values of one normalised input."""

    def __init__(self, norm: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.norm = norm
        self.q, self.k, self.v = nn.Linear(width, 3), nn.Linear(width, 3, bias=False), nn.Linear(width, 3)
        for parameter in self.norm.parameters():
            nn.init.normal_(parameter)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = self.norm(x)
        return self.q(value) * self.k(value) + self.v(value)


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_folds_weight_and_bias_of_a_norm_into_all_its_linear_layers(norm: type[nn.Module]) -> None:
    after = rewrite(captured(Attention(norm(4)), image(2, 5, 4), dynamic=True), FOLD)
    calls = [node for node in after.calls if "norm" in str(node.target)]
    assert all(after.tensor(argument) is None for node in calls for argument in node.args)
    assert targets(after).count("aten.linear.default") == 3


def test_folds_weight_and_bias_of_a_group_norm_into_a_convolution() -> None:
    module = nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 3)).double()
    nn.init.normal_(module[0].weight)
    after = rewrite(captured(module, image(2, 4, 5, 5)), FOLD)
    norm = next(iter(after.calls))
    assert all(after.tensor(argument) is None for argument in norm.args)


def test_a_norm_without_weights_has_nothing_to_fold() -> None:
    program = captured(Attention(nn.LayerNorm(4, elementwise_affine=False)), image(2, 5, 4))
    assert not proposals(FOLD, program)
    assert not declines(FOLD, program)


def test_folds_a_shared_scale_into_each_convolution_that_uses_it() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            value = x * 2.0
            return self.one(value), self.two(value)

    after = rewrite(captured(Branches().double(), image(1, 3, 5, 5)), FOLD)
    assert targets(after) == ["aten.conv2d.default"] * 2


def test_folds_beside_a_weight_that_another_convolution_shares() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv((self.conv(x) * 2.0).relu())

    after = rewrite(captured(Shared().double(), image(1, 3, 5, 5)), FOLD)
    assert targets(after) == ["aten.conv2d.default", "aten.relu.default", "aten.conv2d.default"]


def test_declines_a_constant_per_position() -> None:
    class Positions(Around):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + self.v

    program = captured(Positions(nn.Conv2d(3, 6, 1), channels=5), image(2, 3, 5, 5))
    assert not proposals(FOLD, program)
    assert "do not lie along the output channels of conv2d" in reasons(FOLD, program)


def test_never_folds_a_constant_that_broadcasts_the_value_up() -> None:
    program = captured(Around(nn.Conv2d(3, 1, 1), after=lambda m, x: x * m.a), image(2, 3, 5, 5))
    assert not proposals(FOLD, program)
    program = captured(Around(nn.Linear(3, 4), after=lambda m, x: x * m.b), image(2, 3))
    assert not proposals(FOLD, program)


def test_never_folds_a_constant_of_a_wider_dtype() -> None:
    class Wider(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)
            self.register_buffer("wide", torch.ones(4, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) * self.wide

    assert not proposals(FOLD, captured(Wider(), torch.randn(2, 3)))


def test_declines_a_convolution_with_two_users() -> None:
    module = Around(nn.Conv2d(4, 4, 1), after=lambda m, x: x * m.a + x)
    program = captured(module, image(2, 4, 5, 5))
    assert not proposals(FOLD, program)
    assert "conv2d has 2 users" in reasons(FOLD, program)


def test_declines_a_scale_that_is_used_by_more_than_linear_maps() -> None:
    class Skip(Around):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            value = x * self.a
            return self.layer(value) + value

    program = captured(Skip(nn.Conv2d(4, 4, 1)), image(2, 4, 5, 5))
    assert not proposals(FOLD, program)
    assert "its user add is not a linear map" in reasons(FOLD, program)


def test_declines_a_scale_whose_value_is_an_output() -> None:
    class Output(Around):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            value = x * self.a
            return self.layer(value), value

    program = captured(Output(nn.Conv2d(4, 4, 1)), image(2, 4, 5, 5))
    assert not proposals(FOLD, program)
    assert "its value is an output" in reasons(FOLD, program)


def test_declines_a_division_by_zero() -> None:
    program = captured(Around(nn.Linear(3, 4), after=lambda m, x: x / 0.0), image(2, 3))
    assert not proposals(FOLD, program)
    assert "not finite" in reasons(FOLD, program)


def test_declines_a_weight_that_is_computed() -> None:
    class Computed(Around):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, x) * 2.0

    program = captured(Computed(nn.Identity()), image(4, 4))
    assert not proposals(FOLD, program)
    assert "the weight of linear is not a constant" in reasons(FOLD, program)


def test_leaves_the_sum_of_two_convolutions_alone() -> None:
    class Sum(Around):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + x

    assert not proposals(FOLD, captured(Sum(nn.Conv2d(4, 4, 1)), image(2, 4, 5, 5)))


@settings(max_examples=10)
@given(
    affine=st.sampled_from(sorted(AFFINE)),
    groups=st.sampled_from([1, 2]),
    kernel=st.integers(1, 3),
    padding=st.integers(0, 1),
    stride=st.integers(1, 2),
    before=st.booleans(),
)
def test_any_fold_is_exact(affine: str, groups: int, kernel: int, padding: int, stride: int, before: bool) -> None:
    layer = nn.Conv2d(4, 4, kernel, padding=padding, stride=stride, groups=groups)
    module = Around(layer, **{"before" if before else "after": AFFINE[affine]})
    after = rewrite(captured(module, image(2, 4, 6, 6)), FOLD)
    assert (len(targets(after)) == 1) >= (not before or padding == 0)
