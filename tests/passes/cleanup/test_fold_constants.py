"""Calls that depend on no input, and sizes that are known."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxopt.testing.zoo import quantized_residual
from fxopt_passes.cleanup import FoldConstants, FoldSizes
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

RULE = FoldConstants()


def test_folds_a_chain_into_one_constant() -> None:
    module = Function(lambda s, x: x * (s.w * 0.1 + 1).exp().t(), w=torch.randn(4, 3))
    program = captured(module, torch.randn(2, 3, 4), dynamic=True)
    assert len(proposals(RULE, program)) == 1
    after = rewrite(program, RULE)
    assert targets(after) == ["aten.mul.Tensor"]
    assert after.weight_bytes == program.weight_bytes


def test_folds_calls_without_arguments() -> None:
    program = captured(Function(lambda s, x: x + torch.arange(4) * 0.5 + torch.ones(4)), torch.randn(2, 4))
    assert set(targets(rewrite(program, RULE))) == {"aten.add.Tensor"}


def test_declines_what_would_grow_too_much_and_folds_below_it() -> None:
    module = Function(lambda s, x: x + (s.w * 2).expand(500, 500), w=torch.randn(1, 500))
    program = captured(module, torch.randn(500, 500))
    assert "bytes larger" in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == ["aten.expand.default", "aten.add.Tensor"]
    assert targets(rewrite(program, FoldConstants(max_growth_bytes=2_000_000))) == ["aten.add.Tensor"]


def test_leaves_floats_that_integers_are_stored_for() -> None:
    assert not [found for found in proposals(RULE, quantized_residual()) if "dequantize" in found.site[0]]


def test_declines_an_output_that_is_constant() -> None:
    program = captured(Function(lambda s, x: (x + 1, s.w * 2), w=torch.randn(3)), torch.randn(2, 3))
    assert "the output would be a constant" in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


def test_leaves_what_depends_on_an_input() -> None:
    program = captured(Function(lambda s, x: (x * 0).exp() * s.w, w=torch.randn(3)), torch.randn(2, 3))
    assert proposals(RULE, program) == []


@settings(max_examples=10)
@given(st.lists(st.sampled_from(["exp", "neg", "tanh", "t", "double"]), min_size=1, max_size=5))
def test_folds_any_chain(names: list[str]) -> None:
    def chain(s: Function, x: torch.Tensor) -> torch.Tensor:
        value = s.w
        for name in names:
            value = getattr(value, name)()
        return x * value

    program = captured(Function(chain, w=torch.randn(3, 3)), torch.randn(3, 3))
    after = rewrite(program, RULE)
    assert targets(after) == ["aten.mul.Tensor"]


def test_sizes_that_are_dynamic_stay() -> None:
    program = captured(Function(lambda s, x: x.reshape(x.shape[0], -1) * 2), torch.randn(2, 3, 4), dynamic=True)
    assert proposals(FoldSizes(), program) == []
