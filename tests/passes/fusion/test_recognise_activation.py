"""Activations written out in arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fxopt_passes.cleanup import CommonSubexpressions, RemoveIdentities
from fxopt_passes.fusion.recognise_activation import RecogniseActivation
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

RULE = RecogniseActivation()
C = math.sqrt(2 / math.pi)

FORMS = {
    "gelu": [
        lambda s, x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
        lambda s, x: 0.5 * x * (torch.erf(x * 0.7071067811865476) + 1.0),
        lambda s, x: x * (0.5 * (1 + torch.erf(x * math.sqrt(0.5)))),
        lambda s, x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
        lambda s, x: x * s.factor * (1 + torch.erf(x / math.sqrt(2))),
        lambda s, x: 0.5 * x + 0.5 * x * torch.erf(x / math.sqrt(2)),
        lambda s, x: 0.5 * x * (1 + torch.tanh(C * (x + 0.044715 * x**3))),
        lambda s, x: 0.5 * x * (1 + torch.tanh(x * C * (1 + 0.044715 * x * x))),
        lambda s, x: 0.5 * x * (1 + torch.tanh(C * (x + 0.044715 * torch.pow(x, 3.0)))),
    ],
    "silu": [lambda s, x: x * torch.sigmoid(x), lambda s, x: torch.sigmoid(x) * x],
    "mish": [lambda s, x: x * torch.tanh(F.softplus(x))],
    "hardswish": [
        lambda s, x: x * F.relu6(x + 3) / 6,
        lambda s, x: x * (F.hardtanh(x + 3, 0, 6) * (1 / 6)),
        lambda s, x: x * F.hardtanh(3 + x, 0.0, 6.0) / 6,
        lambda s, x: x * torch.clamp(x / 6 + 0.5, 0, 1),
        lambda s, x: x * F.hardsigmoid(x),
    ],
    "hardsigmoid": [lambda s, x: F.relu6(x + 3) / 6, lambda s, x: torch.clamp(x / 6 + 0.5, 0, 1)],
}


@pytest.mark.parametrize(("operator", "index"), [(name, i) for name, forms in FORMS.items() for i in range(len(forms))])
def test_recognises(operator: str, index: int) -> None:
    module = Function(FORMS[operator][index], factor=torch.tensor(0.5))
    program = captured(module, 3 * torch.randn(2, 5), dynamic=True)
    after = rewrite(program, RULE)
    assert targets(after) == [f"aten.{operator}.default"]
    if operator == "gelu":
        assert (dict(next(after.calls).kwargs) == {"approximate": "tanh"}) == (index >= 6)


def test_recognises_on_a_value_that_is_arithmetic_itself() -> None:
    def forward(s: Function, x: torch.Tensor) -> torch.Tensor:
        y = (x + 1) * 2
        return y * torch.sigmoid(y)

    assert targets(rewrite(captured(Function(forward), torch.randn(2, 5)), RULE))[-1] == "aten.silu.default"


def test_recognises_after_common_subexpressions() -> None:
    program = captured(Function(lambda s, x: (x + 1) * torch.sigmoid(x + 1)), torch.randn(2, 5))
    assert proposals(RULE, program) == []
    assert targets(rewrite(program, RemoveIdentities(), CommonSubexpressions(), RULE))[-1] == "aten.silu.default"


@pytest.mark.parametrize(
    "form",
    [
        lambda s, x: x * torch.sigmoid(1.702 * x),
        lambda s, x: x * 0.4 * (1 + torch.erf(x / math.sqrt(2))),
        lambda s, x: x * 0.5 * (1 + torch.erf(x / 1.5)),
        lambda s, x: x * F.relu6(x + 3) / 5,
        lambda s, x: x * F.relu6(x + 2) / 6,
        lambda s, x: x * F.hardtanh(x + 3, 0, 5) / 6,
        lambda s, x: x * torch.tanh(F.softplus(x, beta=2)),
        lambda s, x: x * torch.tanh(F.softplus(x, threshold=5)),
        lambda s, x: x * torch.sigmoid(x + x[0]),
        lambda s, x: x[0] * torch.sigmoid(x),
    ],
)
def test_leaves_other_formulas(form: object) -> None:
    assert proposals(RULE, captured(Function(form), torch.randn(2, 5))) == []  # type: ignore[arg-type]


def test_declines_inner_value_that_is_used_elsewhere() -> None:
    def forward(s: Function, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(x)
        return x * gate + gate.exp()

    program = captured(Function(forward), torch.randn(2, 5))
    assert "sigmoid is used elsewhere, by exp" in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


def test_declines_inner_value_that_is_an_output() -> None:
    program = captured(Function(lambda s, x: (x * (g := torch.sigmoid(x)), g)), torch.randn(2, 5))
    assert "sigmoid is used elsewhere, by output" in reasons(RULE, program)


def test_declines_tanh_of_another_polynomial() -> None:
    program = captured(Function(lambda s, x: 0.5 * x * (1 + torch.tanh(C * (x + 0.05 * x**3)))), torch.randn(2, 5))
    assert "not that of GELU" in reasons(RULE, program)
