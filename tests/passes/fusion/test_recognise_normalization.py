"""LayerNorm and RMSNorm written out in arithmetic."""

from __future__ import annotations

import pytest
import torch

from fxopt_passes.cleanup import RemoveIdentities
from fxopt_passes.fusion.recognise_normalization import RecogniseNormalization
from tests.passes.apply import Function, captured, reasons, rewrite, targets

RULE = RecogniseNormalization()


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean(-1, keepdim=True)


VARIANCES = {
    "pow": lambda x, d: _mean(d.pow(2)),
    "product": lambda x, d: _mean(d * d),
    "square of another difference": lambda x, d: _mean((x - _mean(x)).square()),
    "var of x": lambda x, d: x.var(-1, keepdim=True, unbiased=False),
    "var of the difference": lambda x, d: torch.var(d, -1, correction=0, keepdim=True),
}
QUOTIENTS = {
    "div sqrt": lambda d, v: d / torch.sqrt(v + 1e-5),
    "mul rsqrt": lambda d, v: d * torch.rsqrt(1e-5 + v),
    "rsqrt mul": lambda d, v: torch.rsqrt(v + 1e-5) * d,
    "div pow": lambda d, v: d / (v + 1e-5) ** 0.5,
    "reciprocal": lambda d, v: 1 / torch.sqrt(v + 1e-5) * d,
}


def _norm(affine: object, variance: str = "pow", quotient: str = "div sqrt") -> Function:
    def forward(s: Function, x: torch.Tensor) -> torch.Tensor:
        d = x - _mean(x)
        return affine(s, QUOTIENTS[quotient](d, VARIANCES[variance](x, d)))  # type: ignore[operator]

    return Function(forward, w=torch.randn(8), b=torch.randn(8), row=torch.randn(1, 1, 8), wide=torch.randn(4, 8))


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("quotient", ["div sqrt", "mul rsqrt"])
def test_recognises_layer_norm(variance: str, quotient: str) -> None:
    program = captured(_norm(lambda s, y: y * s.w + s.b, variance, quotient), torch.randn(2, 4, 8), dynamic=True)
    after = rewrite(program, RULE)
    assert targets(after) == ["aten.layer_norm.default"]
    assert next(after.calls).args[4] == 1e-5


@pytest.mark.parametrize("quotient", QUOTIENTS)
def test_recognises_layer_norm_without_affine(quotient: str) -> None:
    program = captured(_norm(lambda s, y: y, "product", quotient), torch.randn(2, 4, 8))
    assert targets(rewrite(program, RemoveIdentities(), RULE)) == ["aten.layer_norm.default"]


@pytest.mark.parametrize(
    ("affine", "rest"),
    [
        (lambda s, y: s.w * y, []),
        (lambda s, y: y + s.b, []),
        (lambda s, y: y * s.row + s.row, []),
        (lambda s, y: y * s.wide, ["aten.mul.Tensor"]),
        (lambda s, y: y * s.w + s.wide, ["aten.add.Tensor"]),
    ],
)
def test_takes_only_an_affine_of_the_normalised_axes(affine: object, rest: list[str]) -> None:
    program = captured(_norm(affine), torch.randn(2, 4, 8))
    assert targets(rewrite(program, RULE)) == ["aten.layer_norm.default", *rest]


def test_recognises_several_last_axes() -> None:
    def forward(s: Function, x: torch.Tensor) -> torch.Tensor:
        d = x - x.mean((-2, -1), keepdim=True)
        return d / torch.sqrt(d.pow(2).mean((1, 2), keepdim=True) + 1e-6)

    after = rewrite(captured(Function(forward), torch.randn(2, 4, 8), dynamic=True), RULE)
    assert targets(after) == ["aten.layer_norm.default"]
    assert next(after.calls).args[1] == [4, 8]


@pytest.mark.parametrize(
    "form",
    [
        lambda s, x: s.w * (x * torch.rsqrt(_mean(x.pow(2)) + 1e-6)),
        lambda s, x: x / torch.sqrt(_mean(x * x) + 1e-6) * s.w,
        lambda s, x: x * torch.rsqrt(_mean(x.square()) + 1e-6),
    ],
)
def test_recognises_rms_norm(form: object) -> None:
    program = captured(Function(form, w=torch.randn(8)), torch.randn(2, 4, 8), dynamic=True)  # type: ignore[arg-type]
    assert targets(rewrite(program, RULE)) == ["aten.rms_norm.default"]


def _channels_first(s: Function, x: torch.Tensor) -> torch.Tensor:
    d = x - x.mean(1, keepdim=True)
    return d / torch.sqrt(d.pow(2).mean(1, keepdim=True) + 1e-6)


DECLINED = {
    "divides by n - 1": lambda s, x: (x - _mean(x)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5),
    "eps is added to the standard deviation": lambda s, x: s.w * (x - _mean(x)) / (x.std(-1, keepdim=True) + 1e-5),
    "which are not the last": _channels_first,
    "is used elsewhere, by exp": lambda s, x: x * torch.rsqrt((v := _mean(x.pow(2))) + 1e-6) + v.exp(),
}


@pytest.mark.parametrize("reason", DECLINED)
def test_declines(reason: str) -> None:
    program = captured(Function(DECLINED[reason], w=torch.randn(8)), torch.randn(2, 4, 8))
    assert reason in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


def test_leaves_the_mean_of_another_value() -> None:
    module = Function(lambda s, x, y: (d := x - _mean(y)) / torch.sqrt(_mean((x - _mean(x)).pow(2)) + 1e-5) + d)
    program = captured(module, torch.randn(2, 8), torch.randn(2, 8))
    assert targets(rewrite(program, RULE)) == targets(program)


def test_declines_dynamic_axes() -> None:
    module = Function(lambda s, x: x * torch.rsqrt(_mean(x.pow(2)) + 1e-6))
    program = captured(module, torch.randn(2, 8), dynamic=(({1: torch.export.Dim("L", min=2, max=32)},),))
    assert "dynamic" in reasons(RULE, program)
