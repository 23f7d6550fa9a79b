"""Equal calls on equal arguments."""

from __future__ import annotations

import pytest
import torch

from fxopt.errors import StaleCandidate
from fxopt_passes.cleanup import CommonSubexpressions
from tests.passes.apply import Function, apply, captured, proposals, reasons, rewrite, targets

RULE = CommonSubexpressions()


def test_computes_a_repeated_chain_once_in_one_step() -> None:
    module = Function(lambda s, x: (x + 1).sigmoid().exp() * (x + 1).sigmoid().exp().log())
    program = captured(module, torch.randn(2, 4), dynamic=True)
    (candidate,) = proposals(RULE, program)
    assert len(candidate.writes) == 3
    assert targets(rewrite(program, RULE)) == [
        f"aten.{name}" for name in ("add.Tensor", "sigmoid.default", "exp.default", "log.default", "mul.Tensor")
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda x: x.sum(0), lambda x: x.sum(1)),
        (lambda x: x.clamp(0, 1), lambda x: x.clamp(0, 2)),
        (lambda x: x - x[0], lambda x: x[0] - x),
        (lambda x: x.to(torch.float64).sum(1), lambda x: x.to(torch.float16).sum(1)),
    ],
)
def test_keeps_calls_that_differ(left: object, right: object) -> None:
    program = captured(Function(lambda s, x: (left(x).exp(), right(x).exp())), torch.randn(3, 3))  # type: ignore[operator]
    assert not [c for c in proposals(RULE, program) if not c.site[0].startswith("select")]


def test_shares_equal_small_constants() -> None:
    module = Function(
        lambda s, x: (x * s.a).exp() + (x * s.b).exp(), a=torch.tensor([1.5, 2.0]), b=torch.tensor([1.5, 2.0])
    )
    assert targets(rewrite(captured(module, torch.randn(3, 2)), RULE)).count("aten.exp.default") == 1


def test_declines_two_outputs_of_one_value() -> None:
    program = captured(Function(lambda s, x: ((x + 1).exp(), (x + 1).exp())), torch.randn(3, 2))
    assert "are both outputs" in reasons(RULE, program)
    assert targets(rewrite(program, RULE)).count("aten.exp.default") == 2


def test_keeps_the_output_where_the_other_is_inside() -> None:
    program = captured(Function(lambda s, x: (x.exp(), x.exp() + 1)), torch.randn(3, 2))
    assert targets(rewrite(program, RULE)) == ["aten.exp.default", "aten.add.Tensor"]


def test_raises_where_the_two_are_no_longer_equal() -> None:
    same = captured(Function(lambda s, x: x.exp() + x.exp() * 2), torch.randn(3, 2))
    other = captured(Function(lambda s, x, y: x.exp() + y.exp() * 2), torch.randn(3, 2), torch.randn(3, 2))
    with pytest.raises(StaleCandidate):
        apply(other, RULE, proposals(RULE, same))
