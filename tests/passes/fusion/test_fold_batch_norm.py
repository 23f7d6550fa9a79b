from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fxopt_passes.fusion.fold_batch_norm import FoldBatchNorm
from tests.passes.apply import captured, declines, proposals, reasons, rewrite, targets

FOLD = FoldBatchNorm()
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def stirred(module: nn.Module) -> nn.Module:
    """The module in float64, with batch-norm statistics and weights unlike those at the start."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = torch.randn(part.num_features, generator=generator)
            part.running_var = torch.rand(part.num_features, generator=generator) + 0.1
            if part.affine:
                nn.init.normal_(part.weight, generator=generator)
                nn.init.normal_(part.bias, generator=generator)
    return module.double().eval()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("groups", "bias"), [(1, True), (2, False), (4, True)])
def test_folds_into_the_convolution_before_it(axes: int, groups: int, bias: bool) -> None:
    module = nn.Sequential(CONVOLUTIONS[axes](4, 8, 3, padding=1, groups=groups, bias=bias), NORMS[axes](8))
    after = rewrite(captured(stirred(module), image(2, 4, *[5] * axes)), FOLD)
    assert targets(after) == [f"aten.conv{axes}d.default"]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 4])
def test_folds_into_the_transposed_convolution_before_it(axes: int, groups: int) -> None:
    layer = TRANSPOSED[axes](4, 12, 3, stride=2, padding=1, output_padding=1, groups=groups)
    after = rewrite(captured(stirred(nn.Sequential(layer, NORMS[axes](12))), image(2, 4, *[4] * axes)), FOLD)
    assert len(targets(after)) == 1


def test_folds_into_a_depthwise_convolution() -> None:
    module = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6))
    assert targets(rewrite(captured(stirred(module), image(2, 6, 5, 5)), FOLD)) == ["aten.conv2d.default"]


def test_folds_into_a_convolution_with_padding_by_name() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4))
    assert targets(rewrite(captured(stirred(module), image(2, 3, 5, 5)), FOLD)) == ["aten.conv2d.padding"]


def test_folds_into_the_linear_layer_before_it_with_a_dynamic_batch() -> None:
    module = nn.Sequential(nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7))
    assert targets(rewrite(captured(stirred(module), image(3, 5), dynamic=True), FOLD)) == ["aten.linear.default"]


def test_folds_into_a_linear_layer_behind_a_view_that_keeps_its_channels() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            value = self.linear(x)
            return self.norm(value.flatten(0, 1)).reshape_as(value)

    after = rewrite(captured(stirred(Flat()), image(2, 3, 5), dynamic=True), FOLD)
    assert not any("batch_norm" in target for target in targets(after))


def test_folds_a_batch_norm_without_weight_and_bias() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False))
    assert targets(rewrite(captured(stirred(module), image(2, 3, 5, 5)), FOLD)) == ["aten.conv2d.default"]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Conv2d(4, 6, 3),
        lambda: nn.Conv2d(4, 6, 3, groups=2, stride=2, dilation=2, bias=False),
        lambda: nn.Conv2d(4, 6, 1, padding="same"),
        lambda: nn.ConvTranspose2d(4, 6, 1, groups=2),
    ],
)
def test_folds_into_the_convolution_after_it(layer: Callable[[], nn.Module]) -> None:
    module = nn.Sequential(nn.BatchNorm2d(4), layer())
    assert len(targets(rewrite(captured(stirred(module), image(2, 4, 7, 7)), FOLD))) == 1


def test_folds_into_the_linear_layer_after_it() -> None:
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6))
    assert targets(rewrite(captured(stirred(module), image(2, 4)), FOLD)) == ["aten.linear.default"]


def test_folds_a_batch_norm_without_shift_before_a_padded_convolution() -> None:
    module = stirred(nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 3, padding=1)))
    module[0].running_mean.zero_()
    assert targets(rewrite(captured(module, image(2, 4, 5, 5)), FOLD)) == ["aten.conv2d.default"]


def test_folds_all_batch_norms_of_a_chain() -> None:
    layers = [nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.ReLU()]
    after = rewrite(
        captured(stirred(nn.Sequential(*layers, nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))), image(2, 3, 6, 6)), FOLD
    )
    assert targets(after) == ["aten.conv2d.default", "aten.relu.default", "aten.conv2d.default"]


def test_folds_where_the_batch_norm_is_an_output_too() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            value = self.norm(self.conv(x))
            return value, value.relu()

    after = rewrite(captured(stirred(Two()), image(1, 3, 5, 5)), FOLD)
    assert targets(after) == ["aten.conv2d.default", "aten.relu.default"]


def test_folds_two_convolutions_that_share_a_weight() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.conv(self.one(self.conv(x)).relu()))

    after = rewrite(captured(stirred(Shared()), image(1, 3, 5, 5)), FOLD)
    assert targets(after) == ["aten.conv2d.default", "aten.relu.default", "aten.conv2d.default"]


def test_the_folded_weight_is_rounded_once_and_keeps_its_dtype() -> None:
    module = stirred(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).float()
    program = captured(module, torch.randn(1, 3, 5, 5))
    with program.edit() as edit, edit.step(proposals(FOLD, program)[0]):
        FOLD.apply(edit, proposals(FOLD, program)[0])
    weight = next(value for value in edit.program.attributes.values() if value.dim() == 4)
    norm = module[1].double()
    exact = module[0].weight.double() * (norm.weight / (norm.running_var + norm.eps).sqrt()).reshape(-1, 1, 1, 1)
    assert weight.dtype == torch.float32
    assert torch.equal(weight, exact.float())


def test_writes_name_the_batch_norm_and_the_convolution() -> None:
    program = captured(stirred(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), image(1, 3, 5, 5))
    (candidate,) = proposals(FOLD, program)
    assert candidate.writes == {node.name for node in program.calls}


class Residual(nn.Module):
    """A batch norm after a convolution whose value goes elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = self.conv(x)
        return self.norm(value) + value


def test_declines_a_convolution_with_two_users() -> None:
    program = captured(stirred(Residual()), image(1, 3, 5, 5))
    assert not proposals(FOLD, program)
    assert "conv2d has 2 users" in reasons(FOLD, program)


def test_declines_a_convolution_whose_value_is_an_output() -> None:
    class Output(Residual):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            value = self.conv(x)
            return self.norm(value), value

    program = captured(stirred(Output()), image(1, 3, 5, 5))
    assert not proposals(FOLD, program)
    assert "conv2d has 2 users" in reasons(FOLD, program)


def test_declines_a_shift_that_zero_padding_would_see() -> None:
    program = captured(stirred(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1))), image(1, 3, 5, 5))
    assert not proposals(FOLD, program)
    assert "the zero padding of conv2d would see the shift" in reasons(FOLD, program)


def test_declines_a_shift_before_a_transposed_convolution() -> None:
    program = captured(stirred(nn.Sequential(nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 4, 3))), image(1, 3, 5, 5))
    assert not proposals(FOLD, program)
    assert "edges" in reasons(FOLD, program)


def test_declines_a_linear_layer_whose_channels_lie_elsewhere() -> None:
    program = captured(stirred(nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5))), image(2, 5, 5))
    assert not proposals(FOLD, program)
    assert "do not lie along the output channels" in reasons(FOLD, program)


def test_declines_a_batch_norm_with_no_linear_map_beside_it() -> None:
    program = captured(stirred(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU())), image(1, 3, 5, 5))
    (decline,) = declines(FOLD, program)
    assert "no linear map is beside it: it comes after relu" in decline.reason


def test_declines_a_batch_norm_before_a_linear_map_and_another_user() -> None:
    class Branch(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            value = self.norm(x)
            return self.conv(value) + value.relu()

    program = captured(stirred(Branch()), image(1, 3, 5, 5))
    assert "its user relu is not a linear map" in reasons(FOLD, program)


@settings(max_examples=10)
@given(
    groups=st.sampled_from([1, 2, 3]),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    eps=st.sampled_from([1e-5, 1e-3, 0.1]),
    transposed=st.booleans(),
    first=st.booleans(),
)
def test_any_fold_is_exact(
    groups: int, per_group: tuple[int, int], kernel: int, stride: int, eps: float, transposed: bool, first: bool
) -> None:
    inward, outward = groups * per_group[0], groups * per_group[1]
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(inward, outward, kernel, stride=stride, groups=groups)
    module = (
        nn.Sequential(nn.BatchNorm2d(inward, eps=eps), layer)
        if first
        else nn.Sequential(layer, nn.BatchNorm2d(outward, eps=eps))
    )
    program = captured(stirred(module), image(2, inward, 5, 5), dynamic=True)
    after = rewrite(program, FOLD)
    refused = first and transposed and (kernel, stride) != (1, 1)
    assert len(targets(after)) == (2 if refused else 1)
