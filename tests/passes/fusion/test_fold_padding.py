from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from fxopt_passes.fusion.fold_padding import FoldPadding
from tests.passes.apply import captured, declines, proposals, reasons, rewrite, targets

FOLD = FoldPadding()


class Padded(nn.Module):
    """`layer(pad(first(x)))`."""

    def __init__(
        self,
        layer: nn.Module,
        pad: Sequence[int],
        value: float = 0.0,
        mode: str = "constant",
        first: Callable | None = None,
    ) -> None:
        super().__init__()
        self.layer, self.pad, self.value, self.mode, self.first = layer, list(pad), value, mode, first
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.first is None else self.first(x)
        return self.layer(F.pad(x, self.pad, self.mode, self.value if self.mode == "constant" else None))


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def folded(module: nn.Module, *shape: int) -> list[str]:
    return targets(rewrite(captured(module, image(*shape), dynamic=True), FOLD))


@pytest.mark.parametrize("padding", [0, 1, (2, 0), "valid", "same"])
def test_folds_zeros_into_a_convolution(padding: int | str) -> None:
    module = Padded(nn.Conv2d(3, 4, 3, padding=padding), [1, 1, 2, 2])
    assert folded(module, 2, 3, 6, 6) == ["aten.conv2d.default"]


@pytest.mark.parametrize(
    ("layer", "pad", "shape"),
    [
        (nn.Conv1d(3, 4, 3, stride=2), [2, 2], (2, 3, 9)),
        (nn.Conv3d(3, 4, 2, bias=False), [1, 1, 0, 0, 2, 2], (2, 3, 4, 4, 4)),
        (nn.Conv2d(4, 4, 3, groups=4, dilation=2), [2, 2, 2, 2], (2, 4, 6, 6)),
    ],
)
def test_folds_zeros_into_each_kind_of_convolution(layer: nn.Module, pad: list[int], shape: tuple[int, ...]) -> None:
    assert len(folded(Padded(layer, pad), *shape)) == 1


@pytest.mark.parametrize(
    "layer", [nn.AvgPool2d(4), nn.AvgPool2d(4, 2, padding=1), nn.AvgPool2d(4, 2, count_include_pad=False)]
)
def test_folds_zeros_into_an_average_pooling(layer: nn.Module) -> None:
    assert folded(Padded(layer, [1, 1, 1, 1]), 2, 3, 8, 8) == ["aten.avg_pool2d.default"]


def test_folds_minus_infinity_into_a_maximum_pooling() -> None:
    assert folded(Padded(nn.MaxPool2d(3, 2), [1, 1, 1, 1], -math.inf), 2, 3, 7, 7) == ["aten.max_pool2d.default"]


@pytest.mark.parametrize(
    "first", [F.relu, F.relu6, torch.sigmoid, lambda x: x.clamp(min=0.5), lambda x: torch.cat([x.relu(), x.abs()])]
)
def test_folds_zeros_into_a_maximum_pooling_of_what_is_never_negative(first: Callable) -> None:
    program = captured(Padded(nn.MaxPool2d(3, 2), [1, 1, 1, 1], first=first), image(2, 3, 7, 7))
    after = rewrite(program, FOLD)
    assert len(targets(after)) == len(targets(program)) - 1


def test_drops_padding_of_nothing_whatever_follows() -> None:
    module = Padded(nn.ReLU(), [0, 0, 0, 0])
    assert folded(module, 2, 3, 4, 4) == ["aten.relu.default"]


def test_folds_into_both_users() -> None:
    class Two(Padded):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(3, 4, 3), [1, 1, 1, 1])
            self.other = nn.Conv2d(3, 4, 3, stride=2).double()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            x = F.pad(x, self.pad)
            return self.layer(x), self.other(x)

    assert folded(Two(), 2, 3, 6, 6) == ["aten.conv2d.default"] * 2


def declined(module: nn.Module, *shape: int) -> str:
    program = captured(module, image(*shape))
    assert not proposals(FOLD, program)
    return reasons(FOLD, program)


def test_declines_asymmetric_padding_as_tensorflow_has_it() -> None:
    assert "asymmetric" in declined(Padded(nn.Conv2d(3, 4, 3, stride=2), [0, 1, 0, 1]), 2, 3, 6, 6)


def test_declines_cropping() -> None:
    assert "it crops" in declined(Padded(nn.Conv2d(3, 4, 3), [-1, -1, 1, 1]), 2, 3, 6, 6)


def test_declines_reflection() -> None:
    assert "reflect padding is not constant" in declined(
        Padded(nn.Conv2d(3, 4, 3), [1, 1, 1, 1], mode="reflect"), 2, 3, 6, 6
    )


def test_declines_ones_before_a_convolution() -> None:
    assert "it pads with 1, conv2d with 0" in declined(Padded(nn.Conv2d(3, 4, 3), [1, 1, 1, 1], 1.0), 2, 3, 6, 6)


def test_declines_padding_of_channels() -> None:
    assert "more axes than conv2d can" in declined(Padded(nn.Conv2d(5, 4, 3), [0, 0, 0, 0, 1, 1]), 2, 3, 6, 6)


def test_declines_a_convolution_whose_own_padding_is_asymmetric() -> None:
    assert "the padding of conv2d is asymmetric" in declined(
        Padded(nn.Conv2d(3, 4, 2, padding="same"), [1, 1, 1, 1]), 2, 3, 6, 6
    )


def test_declines_a_transposed_convolution() -> None:
    assert "its user conv_transpose2d pads nothing" in declined(
        Padded(nn.ConvTranspose2d(3, 4, 3), [1, 1, 1, 1]), 2, 3, 6, 6
    )


def test_declines_a_user_that_cannot_pad() -> None:
    assert "its user relu pads nothing" in declined(Padded(nn.ReLU(), [1, 1, 1, 1]), 2, 3, 6, 6)


def test_declines_padding_that_is_an_output() -> None:
    assert "its user output pads nothing" in declined(Padded(nn.Identity(), [1, 1, 1, 1]), 2, 3, 6, 6)


def test_declines_zeros_before_a_maximum_of_what_may_be_negative() -> None:
    assert "its input may be below 0" in declined(Padded(nn.MaxPool2d(3), [1, 1, 1, 1]), 2, 3, 7, 7)


def test_declines_more_than_half_a_window() -> None:
    assert "half its window at most" in declined(Padded(nn.AvgPool2d(2), [2, 2, 2, 2]), 2, 3, 6, 6)


def test_declines_a_pooling_that_rounds_its_size_up() -> None:
    assert "rounds its size up" in declined(Padded(nn.AvgPool2d(3, 2, ceil_mode=True), [1, 1, 1, 1]), 2, 3, 6, 6)


def test_declines_an_average_that_does_not_count_its_padding() -> None:
    layer = nn.AvgPool2d(4, 2, padding=1, count_include_pad=False)
    assert "does not count its padding" in declined(Padded(layer, [1, 1, 1, 1]), 2, 3, 8, 8)


def test_declines_zeros_before_a_dilated_maximum() -> None:
    module = Padded(nn.MaxPool2d(3, 1, dilation=2), [1, 1, 1, 1], first=F.relu)
    assert "may see only padding" in declined(module, 2, 3, 7, 7)


def test_says_nothing_about_programs_without_padding() -> None:
    assert not declines(FOLD, captured(nn.Conv2d(3, 4, 3, padding=1).double(), image(1, 3, 5, 5)))


@settings(max_examples=15)
@given(
    kind=st.sampled_from(["conv", "average", "maximum"]),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    own=st.integers(0, 1),
    size=st.integers(4, 7),
)
def test_any_fold_is_exact(kind: str, kernel: int, stride: int, pads: tuple[int, int], own: int, size: int) -> None:
    assume(kind == "conv" or 2 * own <= kernel)
    layer = {
        "conv": lambda: nn.Conv2d(2, 3, kernel, stride, own),
        "average": lambda: nn.AvgPool2d(kernel, stride, own),
        "maximum": lambda: nn.MaxPool2d(kernel, stride, own),
    }[kind]()
    module = Padded(layer, [pads[0], pads[0], pads[1], pads[1]], first=F.relu)
    after = rewrite(captured(module, image(2, 2, size, size)), FOLD)
    fits = kind == "conv" or all(2 * (pad + own) <= kernel for pad in pads) or not any(pads)
    assert len(targets(after)) == (2 if fits else 3)
