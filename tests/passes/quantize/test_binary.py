"""`binary`: layers on signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt import Fidelity
from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.search import search
from fxopt.registry import Registry
from fxopt_passes.quantize.binary import Binary
from tests.passes.apply import captured
from tests.passes.quantize.kinds import ENGINES, assert_agrees, offers, quantized, reasons, run


class Between(nn.Module):
    """A layer between a first and a last one."""

    def __init__(self, layer: nn.Module, first: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.layer, self.last = first, layer, last

    def forward(self, x: Tensor) -> Any:
        return self.last(self.layer(self.first(x)))


def linear() -> Between:
    torch.manual_seed(0)
    return Between(nn.Linear(12, 8), nn.Linear(6, 12), nn.Linear(8, 4))


def conv(**options: Any) -> Between:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 6, 3, **{"padding": 1, **options})
    return Between(layer, nn.Conv2d(3, 8, 1), nn.Conv2d(6, 4, 1))


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


def by_hand(net: Between, x: Tensor) -> Tensor:
    """XNOR-Net's approximation of the middle layer."""
    x, layer = net.first(x), net.layer
    weight, bias = layer.weight, layer.bias
    magnitude = weight.abs().flatten(1).mean(1)
    if isinstance(layer, nn.Linear):
        y = F.linear(sign(x), sign(weight)) * magnitude * x.abs().mean(-1, keepdim=True) + bias
    else:
        kernel = torch.full((1, 1, 3, 3), 1 / 9)
        seen = F.conv2d(x.abs().mean(1, keepdim=True), kernel, stride=layer.stride, padding=layer.padding)
        y = F.conv2d(sign(x), sign(weight), stride=layer.stride, padding=layer.padding)
        y = y * magnitude[:, None, None] * seen + bias[:, None, None]
    return net.last(y)


NETS = [(linear(), (5, 6)), (conv(), (2, 3, 7, 7)), (conv(stride=2, padding=0), (2, 3, 7, 7))]


@pytest.mark.parametrize(("net", "shape"), NETS)
def test_a_layer_is_signs_times_magnitudes(net: Between, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    program = captured(net, x, dynamic=True)
    after = quantized(Binary(), program)
    torch.testing.assert_close(after.run([x])[0], by_hand(net, x).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("net", "shape"), NETS)
def test_engines_agree(net: Between, shape: tuple[int, ...], engine: str, tmp_path: Path) -> None:
    x = torch.randn(shape)
    after = quantized(Binary(), captured(net, x, dynamic=True))
    assert_agrees(run(engine, after, [x], tmp_path)[2], after, [x])


def test_the_first_and_the_last_layer_stay_and_odd_ones_are_declined() -> None:
    program = captured(linear(), torch.randn(2, 6))
    assert [item.site for item in offers(Binary(), program)] == [("linear_1",)]
    assert reasons(Binary(), program) == ["it is the first or the last layer"] * 2
    for options, reason in (
        ({"groups": 2}, "its groups see inputs of other magnitudes"),
        ({"dilation": 2}, "it is dilated"),
        ({"padding": 2}, "its padding is wider than half its kernel"),
    ):
        assert reason in reasons(Binary(), captured(conv(**options), torch.randn(2, 3, 9, 9)))


def test_it_is_skipped_until_there_is_recovery() -> None:
    program = captured(linear(), torch.randn(2, 6))
    assert {item.fidelity for item in offers(Binary(), program)} == {Fidelity.NEEDS_RECOVERY}
    found = offer(search(program, [], Registry()), [Binary()], Registry(), Context())
    assert not found.steps
    (refusal,) = found.refusals
    assert refusal.verdict == "skipped" and "recovery" in refusal.reason
