"""Softmax attention written out in matrix products."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fxopt_passes.cleanup import FoldConstants
from fxopt_passes.fusion.recognise_attention import RecogniseAttention
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

RULE = RecogniseAttention()
OPERATOR = "aten.scaled_dot_product_attention.default"


def _inputs(*shape: int) -> list[torch.Tensor]:
    return [torch.randn(shape) for _ in range(3)]


FORMS = {
    "no scale": (lambda s, q, k, v: (q @ k.mT).softmax(-1) @ v, 1.0),
    "divided": (lambda s, q, k, v: (q @ k.transpose(-1, -2) / math.sqrt(8)).softmax(-1) @ v, 1 / math.sqrt(8)),
    "multiplied": (lambda s, q, k, v: F.softmax(q @ k.permute(0, 1, 3, 2) * 0.5, -1) @ v, 0.5),
    "scaled query": (lambda s, q, k, v: ((q * 0.3) @ k.transpose(2, 3)).softmax(3) @ v, 0.3),
    "both scaled": (lambda s, q, k, v: ((0.5 * q) @ (k / 2).transpose(2, 3)).softmax(-1) @ v, 0.25),
    "scaled after transposition": (lambda s, q, k, v: (q @ (k.transpose(2, 3) * 0.5)).softmax(-1) @ v, 0.5),
    "scale of a constant": (lambda s, q, k, v: (q @ k.mT * s.scale).softmax(-1) @ v, 0.25),
    "dropout": (lambda s, q, k, v: F.dropout((q @ k.mT).softmax(-1), 0.1, s.training) @ v, 1.0),
}


@pytest.mark.parametrize("case", FORMS)
def test_recognises(case: str) -> None:
    form, scale = FORMS[case]
    module = Function(form, scale=torch.tensor(0.25))
    after = rewrite(captured(module, *_inputs(2, 3, 5, 8), dynamic=True), RULE)
    assert targets(after) == [OPERATOR]
    assert math.isclose(next(after.calls).kwargs["scale"], scale)  # type: ignore[arg-type]


def test_recognises_three_axes() -> None:
    module = Function(lambda s, q, k, v: torch.bmm(torch.bmm(q, k.transpose(1, 2)).mul(0.3).softmax(-1), v))
    after = rewrite(captured(module, *_inputs(2, 5, 8), dynamic=True), RULE)
    assert targets(after) == ["aten.unsqueeze.default"] * 3 + [OPERATOR, "aten.squeeze.dim"]


MASKS = {
    "added": lambda s, scores: scores + s.mask,
    "added in front": lambda s, scores: s.mask + scores,
    "filled": lambda s, scores: scores.masked_fill(s.future, -math.inf),
    "chosen": lambda s, scores: torch.where(s.past, scores, -math.inf),
}


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (2, 5, 8)])
def test_recognises_masks(case: str, shape: tuple[int, ...]) -> None:
    def forward(s: Function, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return MASKS[case](s, q @ k.transpose(-1, -2) * 0.5).softmax(-1) @ v

    past = torch.ones(5, 5).tril() > 0
    module = Function(forward, mask=torch.randn(5, 5), past=past, future=~past)
    after = rewrite(captured(module, *_inputs(*shape), dynamic=True), FoldConstants(), RULE)
    assert OPERATOR in targets(after)
    assert not {"aten.matmul.default", "aten.softmax.int"} & set(targets(after))


def test_takes_keys_of_another_length() -> None:
    module = Function(lambda s, q, k, v: (q @ k.mT).softmax(-1) @ v)
    inputs = [torch.randn(2, 3, length, size) for length, size in ((5, 8), (7, 8), (7, 4))]
    assert targets(rewrite(captured(module, *inputs), RULE)) == [OPERATOR]


def test_keeps_a_transposed_key_that_others_use() -> None:
    module = Function(lambda s, q, k, v: ((q @ (t := k.mT)).softmax(-1) @ v, t.exp()))
    after = rewrite(captured(module, *_inputs(2, 3, 5, 8)), RULE)
    assert set(targets(after)) == {OPERATOR, "aten.transpose.int", "aten.exp.default"}


DECLINED = {
    "softmax is used elsewhere, by output": lambda s, q, k, v: ((p := (q @ k.mT).softmax(-1)) @ v, p),
    "matmul is used elsewhere": lambda s, q, k, v: ((p := q @ k.mT).softmax(-1) @ v, p.exp()),
    "a batch axis is broadcast": lambda s, q, k, v: (q @ k[:, :1].mT).softmax(-1) @ v,
    "not -inf": lambda s, q, k, v: (q @ k.mT).masked_fill(s.future, -1e9).softmax(-1) @ v,
    "may hide a whole row": lambda s, q, k, v: (q @ k.mT).masked_fill(s.all, -math.inf).softmax(-1) @ v,
    "nan and would be 0": lambda s, q, k, v: (q @ k.mT).masked_fill(v[..., :5] > 0, -math.inf).softmax(-1) @ v,
    "axes": lambda s, q, k, v: (q @ k[0].mT).softmax(-1) @ v,
    "not a product": lambda s, q, k, v: q.softmax(-1) @ v.mT,
}


@pytest.mark.parametrize("reason", DECLINED)
def test_declines(reason: str) -> None:
    module = Function(DECLINED[reason], future=torch.ones(5, 5).triu(1) > 0, all=torch.ones(5, 5) > 0)
    program = captured(module, *_inputs(2, 3, 5, 8))
    assert reason in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


def test_leaves_a_softmax_over_another_axis() -> None:
    program = captured(Function(lambda s, q, k, v: (q @ k.mT).softmax(-2) @ v), *_inputs(2, 3, 5, 8))
    assert proposals(RULE, program) == []


def test_keeps_what_views_the_result() -> None:
    def forward(s: Function, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return ((q @ k.mT).softmax(-1) @ v).transpose(1, 2).reshape(q.shape[0], 5, 24) * 2

    after = rewrite(captured(Function(forward), *_inputs(2, 3, 5, 8), dynamic=True), RULE)
    assert OPERATOR in targets(after)
