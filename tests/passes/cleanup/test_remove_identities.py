"""Calls that give back their argument."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fxopt_passes.cleanup import RemoveIdentities
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

IDENTITIES = {
    "dropout": lambda s, x: F.dropout(x, 0.5, s.training),
    "contiguous": lambda s, x: x.contiguous().clone(),
    "detach": lambda s, x: x.detach(),
    "view": lambda s, x: x.view(x.shape[0], 4, 6),
    "reshape": lambda s, x: x.reshape(x.shape),
    "expand": lambda s, x: x.expand(x.shape),
    "repeat": lambda s, x: x.repeat(1, 1, 1),
    "permute": lambda s, x: x.permute(0, 1, 2),
    "add zero": lambda s, x: x + 0,
    "zero add": lambda s, x: 0.0 + x,
    "subtract zero": lambda s, x: x - 0,
    "times one": lambda s, x: 1.0 * x,
    "times a tensor of ones": lambda s, x: x * s.ones,
    "over one": lambda s, x: x / 1,
    "power one": lambda s, x: x**1,
    "cast": lambda s, x: x.to(torch.float32).float(),
    "slice": lambda s, x: x[:, 0:],
    "cat of one": lambda s, x: torch.cat([x], 1),
    "chunk of one": lambda s, x: x.chunk(1, 1)[0],
    "pad by nothing": lambda s, x: F.pad(x, (0, 0, 0, 0)),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_removes(case: str) -> None:
    module = Function(lambda s, x: IDENTITIES[case](s, x).exp(), ones=torch.ones(6))
    program = captured(module, torch.randn(2, 4, 6), dynamic=case != "pad by nothing" or None)
    assert targets(rewrite(program, RemoveIdentities())) == ["aten.exp.default"]


KEPT = {
    "pad that shifts": lambda s, x: F.pad(x, (1, -1)),
    "add one": lambda s, x: x + 1,
    "zero minus x": lambda s, x: 0 - x,
    "two over x": lambda s, x: 2 / x,
    "add zero that broadcasts": lambda s, x: x + torch.zeros(3, 1, 4, 6),
    "add zero of a wider dtype": lambda s, x: x + torch.zeros(4, 6, dtype=torch.float64),
    "cast": lambda s, x: x.double(),
    "transpose of a square": lambda s, x: x[:, :, :4].transpose(1, 2),
}


@pytest.mark.parametrize("case", KEPT)
def test_keeps(case: str) -> None:
    program = captured(Function(lambda s, x: KEPT[case](s, x).exp()), torch.randn(2, 4, 6))
    assert proposals(RemoveIdentities(), program) == []


def test_removes_a_copy_that_a_view_relied_on() -> None:
    module = Function(lambda s, x: x.transpose(1, 2).contiguous().relu().view(2, -1) * 2)
    after = targets(rewrite(captured(module, torch.randn(2, 4, 6)), RemoveIdentities()))
    assert after == ["aten.transpose.int", "aten.relu.default", "aten.reshape.default", "aten.mul.Tensor"]


def test_declines_output_that_would_be_an_input() -> None:
    program = captured(Function(lambda s, x: x.clone()), torch.randn(2, 4))
    assert "the output would be" in reasons(RemoveIdentities(), program)
    assert proposals(RemoveIdentities(), program) == []


def test_declines_to_make_two_outputs_one() -> None:
    program = captured(Function(lambda s, x: ((y := x.exp()), y + 0)), torch.randn(2, 4))
    assert "are both outputs" in reasons(RemoveIdentities(), program)


def test_keeps_integers_that_become_floats() -> None:
    program = captured(Function(lambda s, x: (x + 0.0) * 2), torch.arange(6).reshape(2, 3))
    assert proposals(RemoveIdentities(), program) == []
