"""Neighbours of one kind that compose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fxopt_passes.cleanup import CancelInverses
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

RULE = CancelInverses()

CANCEL = {
    "transposes": lambda x: x.transpose(1, 2).transpose(2, 1),
    "permutes": lambda x: x.permute(1, 2, 0).permute(2, 0, 1),
    "unsqueeze, squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "flatten, unflatten": lambda x: x.flatten(1).reshape(x.shape[0], 4, 3),
    "casts": lambda x: x.double().float(),
    "negations": lambda x: x.neg().neg(),
}


@pytest.mark.parametrize("case", CANCEL)
def test_cancels(case: str) -> None:
    program = captured(Function(lambda s, x: CANCEL[case](x).exp()), torch.randn(2, 4, 3), dynamic=True)
    assert targets(rewrite(program, RULE)) == ["aten.exp.default"]


COMPOSE = {
    "permutes": (lambda x: x.permute(1, 2, 0).permute(0, 2, 1), "aten.permute.default"),
    "reshapes": (lambda x: x.reshape(2, 12).reshape(6, 4), "aten.reshape.default"),
    "pads": (lambda x: F.pad(F.pad(x, (1, 2)), (0, 1, 3, 0)), "aten.constant_pad_nd.default"),
    "relus": (lambda x: x.relu().relu(), "aten.relu.default"),
    "relu, relu6": (lambda x: F.relu6(x.relu()), "aten.relu6.default"),
    "relu6, relu": (lambda x: F.relu6(x).relu(), "aten.relu6.default"),
    "clamps": (lambda x: x.clamp(-1, 0.5).clamp(0, 3).clamp_max(2), "aten.clamp.default"),
    "clamps that do not meet": (lambda x: x.clamp(-2, -1).clamp(1, 3), "aten.clamp.default"),
    "clamp_min, clamp_max": (lambda x: x.clamp_min(-0.1).clamp_max(0.1), "aten.clamp.default"),
}


@pytest.mark.parametrize("case", COMPOSE)
def test_composes(case: str) -> None:
    compute, target = COMPOSE[case]
    program = captured(Function(lambda s, x: compute(x).exp()), torch.randn(2, 4, 3))
    assert targets(rewrite(program, RULE)) == [target, "aten.exp.default"]


def test_widening_casts_compose() -> None:
    program = captured(Function(lambda s, x: x.float().double().exp()), torch.arange(4, dtype=torch.int16))
    assert targets(rewrite(program, RULE)) == ["aten._to_copy.default", "aten.exp.default"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.0])
def test_clamps_keep_special_values(value: float) -> None:
    program = captured(Function(lambda s, x: F.relu6(x.relu()).clamp(1, 2) * 1.5), torch.randn(3))
    x = torch.full((3,), value)
    torch.testing.assert_close(rewrite(program, RULE).run([x]), program.run([x]), equal_nan=True)


DECLINED = {
    "loses digits": lambda x: x.half().float(),
    "different values": lambda x: F.pad(F.pad(x, (1, 1)), (1, 1), value=1.0),
    "reflect or repeat": lambda x: F.pad(F.pad(x, (1, 1)), (1, 1), mode="reflect"),
    "crops": lambda x: F.pad(F.pad(x, (1, 1)), (-1, 1)),
    "is used elsewhere": lambda x: (y := x.permute(1, 2, 0)).permute(0, 2, 1).exp().sum() + y.sin(),
    "a bound is not a number": lambda x: x.relu().clamp(max=x.shape[0]),
}


@pytest.mark.parametrize("reason", DECLINED)
def test_declines(reason: str) -> None:
    dynamic = reason == "a bound is not a number" or None
    program = captured(Function(lambda s, x: DECLINED[reason](x).exp()), torch.randn(2, 4, 3), dynamic=dynamic)
    assert reason in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


@settings(max_examples=10)
@given(st.lists(st.permutations([0, 1, 2]), min_size=2, max_size=4))
def test_composes_any_permutations(orders: list[list[int]]) -> None:
    def chain(s: Function, x: torch.Tensor) -> torch.Tensor:
        for order in orders:
            x = x.permute(order)
        return x.exp()

    assert len(targets(rewrite(captured(Function(chain), torch.randn(2, 3, 4)), RULE))) <= 2


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=4))
def test_composes_any_clamps(bounds: list[tuple[int, int]]) -> None:
    def chain(s: Function, x: torch.Tensor) -> torch.Tensor:
        for low, high in bounds:
            x = x.clamp(low, high)
        return x.exp()

    assert len(targets(rewrite(captured(Function(chain), 3 * torch.randn(64)), RULE))) <= 2


def test_what_dies_with_the_match_is_among_its_writes() -> None:
    program = captured(Function(lambda s, x: x.relu().transpose(0, 1).transpose(1, 0).exp()), torch.randn(2, 3))
    (candidate,) = proposals(RULE, program)
    assert candidate.writes == {"transpose", "transpose_1"}


def test_what_others_use_is_only_read() -> None:
    program = captured(
        Function(lambda s, x: ((y := x.transpose(0, 1)).exp(), y.transpose(1, 0).exp())), torch.randn(2, 3)
    )
    (candidate,) = proposals(RULE, program)
    assert (candidate.writes, candidate.reads) == ({"transpose_1"}, {"transpose"})
