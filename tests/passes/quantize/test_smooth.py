"""`smooth`: scales that go over from a norm's output into the weights after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.passes import View
from fxopt.ir.evaluate import run_graph
from fxopt.ir.program import Program
from fxopt.testing import captured
from fxopt_passes.quantize.smooth import Smooth
from tests.passes.apply import apply, assert_equal, rewrite, targets
from tests.passes.quantize.kinds import offers, reasons
from tests.passes.quantize.prepared import ShownSmooth, attention_after_a_norm, norm_that_others_take, rounded

TOKENS = torch.randn(4, 5, 8)


def outliers(bias: bool = True, affine: bool = True) -> Program:
    """A layer norm in whose output two channels are much larger, and two linear layers."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.norm(x + self.offset)
        return self.a(y).relu() + self.b(y)

    torch.manual_seed(0)
    norm, offset = nn.LayerNorm(8, elementwise_affine=affine, bias=bias), torch.zeros(8)
    offset[0], offset[1] = 200, -150
    return captured(forward, TOKENS, norm=norm, a=nn.Linear(8, 6), b=nn.Linear(8, 6, bias=False), offset=offset)


def data() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(4, 5, 8, generator=generator),) for _ in range(8)]


def smoothed(program: Program, **options: Any) -> Program:
    found = offers(Smooth(**options), program, data=data())
    assert found
    return apply(program, Smooth(**options), found)


def spread(program: Program) -> float:
    """How much larger the largest channel of the norm's output is than the smallest, in factors of two."""
    (norm,) = (node for node in program.calls if "layer_norm" in str(node.target))
    seen = []
    for batch in data():
        values: dict[Any, Tensor] = {}
        run_graph(program.graph, program.attributes, list(batch), values.__setitem__)
        seen.append(values[norm])
    largest = torch.cat(seen).abs().flatten(0, 1).amax(0)
    return float((largest.max() / largest.min()).log2())


@pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, True), (False, False)])
def test_outliers_go_over_into_the_weights_and_the_function_stays(bias: bool, affine: bool) -> None:
    program = outliers(bias, affine)
    after = smoothed(program)
    assert_equal(program, after, tolerance=0)
    assert sorted(targets(after)) == sorted(targets(program))
    assert spread(after) < spread(program) - 1


def test_it_is_exact_in_float64_and_comes_to_an_end() -> None:
    for program in (attention_after_a_norm(), outliers()):
        assert rewrite(program, ShownSmooth()) is not program


def test_integers_that_share_a_scale_lose_less() -> None:
    program = outliers()
    after = smoothed(program)
    inputs = list(data()[0])
    exact = program.run(inputs)[0]
    before, now = ((rounded(item, inputs, activations=True) - exact).norm() for item in (program, after))
    assert now < 0.8 * before


def test_scales_are_powers_of_two_near_the_paper_s_formula() -> None:
    program = outliers()
    (candidate,) = offers(Smooth(alpha=0.75), program, data=data())
    scale = candidate.fitted["scale"]
    assert torch.equal(scale.log2(), scale.log2().round())
    (norm,) = (node.name for node in program.calls if "layer_norm" in str(node.target))
    assert candidate.site == (norm, "linear", "linear_1")
    seen = torch.cat([F.layer_norm(x + program.attributes["offset"], (8,)) for (x,) in data()]).flatten(0, 1)
    weights = torch.cat([program.attributes["a_weight"], program.attributes["b_weight"]])
    wanted = (seen.abs().amax(0) ** 0.75 / weights.abs().amax(0) ** 0.25).log2()
    assert float((scale.log2() - (wanted - wanted.mean())).abs().max()) < 0.51


def test_the_more_alpha_the_more_goes_into_the_weights() -> None:
    program = outliers()
    assert spread(smoothed(program, alpha=1.0)) < spread(smoothed(program, alpha=0.5)) < spread(program)


def test_even_channels_are_left_alone() -> None:
    torch.manual_seed(0)
    program = captured(lambda self, x: self.linear(self.norm(x)), TOKENS, norm=nn.LayerNorm(8), linear=nn.Linear(8, 64))
    assert offers(Smooth(), program, data=data()) == []
    assert reasons(Smooth(), program, data=data()) == []


def test_channels_that_are_never_seen_keep_their_scale() -> None:
    norm = nn.LayerNorm(8)
    norm.weight.data.copy_(torch.tensor([0, 1, 1, 1, 1, 1, 50, 50.0]))
    layer = nn.Linear(8, 4)
    layer.weight.data[:, 1] = 0
    program = captured(lambda self, x: self.linear(self.norm(x)), TOKENS, norm=norm, linear=layer)
    (candidate,) = offers(Smooth(), program, data=data())
    assert candidate.fitted["scale"][:2].tolist() == [1, 1]
    assert_equal(program, smoothed(program), tolerance=0)


def test_what_is_fitted_is_not_fitted_again() -> None:
    program = outliers()
    (candidate,) = offers(Smooth(), program, data=data())
    known = View("smooth", _fitted=candidate.tensors)
    (again,) = Smooth().propose(program, known)
    assert again == candidate
    assert torch.equal(again.fitted["scale"], candidate.fitted["scale"])


def test_near_misses_are_declined_with_their_reasons() -> None:
    assert reasons(Smooth(), outliers()) == ["it needs calibration data (--calib)"]
    assert reasons(Smooth(), norm_that_others_take(), data=data()) == ["its user add is not a linear map"]

    def tied(self: Any, x: Tensor) -> Any:
        return self.linear(self.norm(x)), x @ self.linear.weight

    program = captured(tied, TOKENS, norm=nn.LayerNorm(8), linear=nn.Linear(8, 8))
    assert reasons(Smooth(), program, data=data()) == ["the weight of linear is used elsewhere"]
    program = captured(
        lambda self, x: self.linear(F.layer_norm(x, (8,), x.mean((0, 1)))), TOKENS, linear=nn.Linear(8, 8)
    )
    assert reasons(Smooth(), program, data=data()) == ["its weight or bias is not a constant"]


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_alpha_outside_0_and_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Smooth(alpha=alpha)
