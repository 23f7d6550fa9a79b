"""The claim EXACT is enforced: wrong rewrites are found, right ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from fxopt.compiler.search import Search, search
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.ir.twin import canonical
from fxopt.registry import Registry
from fxopt.verify.fidelity import Evidence

aten = torch.ops.aten


@dataclass(frozen=True)
class Fold(Pass):
    """Folds a batch norm after a conv, or does so wrongly."""

    name: ClassVar[str] = "fold"
    flaw: str = ""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.batch_norm.default:
                yield Candidate("fold", (node.name, node.args[0].name), frozenset({node.name, node.args[0].name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        norm, conv = edit.nodes(candidate)
        weight = edit.tensor(conv.args[1])
        gamma, beta, mean, var = (edit.tensor(a) for a in norm.args[1:5])
        eps = 0.0 if self.flaw == "forgets eps" else norm.args[7]
        scale = gamma.double() / (var.double() + eps).sqrt()
        bias = (beta.double() - mean.double() * scale).to(weight.dtype)
        folded = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
        if self.flaw == "raises":
            raise ZeroDivisionError("by design")
        if self.flaw == "float32 only" and weight.dtype == torch.float32:
            folded = folded.half().float()
        args = (conv.args[0], edit.constant(folded, "weight"), edit.constant(bias, "bias"), *conv.args[3:])
        edit.replace(norm, edit.call(aten.conv2d.default, args))


def program() -> Program:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)
    )
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return capture(export(model, (torch.randn(2, 3, 6, 6),)))


def run(flaw: str) -> Search:
    return search(program(), [Fold(flaw)], Registry())


def test_a_right_fold_is_exact_everywhere() -> None:
    found = run("")
    assert len(found.steps) == 2 and not found.refusals
    assert all(item.float64_error < 1e-13 for item in found.evidence.values())


@pytest.mark.parametrize(("flaw", "reason"), [("forgets eps", "float64"), ("float32 only", "rounding error")])
def test_a_wrong_fold_is_refused_and_the_program_stays(flaw: str, reason: str) -> None:
    found = run(flaw)
    assert not found.steps
    assert len(found.refusals) == 2 and all(reason in r.reason for r in found.refusals)
    assert found.program is found.source


def test_results_that_are_rounding_alone_need_not_agree_in_float64() -> None:
    eps = torch.finfo(torch.float32).eps
    assert Evidence(float64_error=2.5, native_error=1e9, original_error=2e9, floor=eps).fault is None
    assert Evidence(float64_error=2.5, native_error=1e9, original_error=1e6, floor=eps).fault
    assert Evidence(float64_error=2.5, native_error=1e9, original_error=float("inf"), floor=eps).fault
    assert Evidence(float64_error=2e-9, native_error=1e-6, original_error=1e-6, floor=eps).fault


def test_rounding_may_be_four_times_the_originals_or_four_units_in_the_last_place() -> None:
    eps = torch.finfo(torch.float32).eps
    assert Evidence(0.0, native_error=3.9e-6, original_error=1e-6, floor=eps).fault is None
    assert Evidence(0.0, native_error=4.1e-6, original_error=1e-6, floor=eps).fault
    assert Evidence(0.0, native_error=3.9 * eps, original_error=0.1 * eps, floor=eps).fault is None
    assert Evidence(0.0, native_error=4.1 * eps, original_error=0.1 * eps, floor=eps).fault


def test_values_that_are_nan_throughout_are_no_evidence() -> None:
    class OfLogarithms(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.log()  # of normal numbers
            return self.norm(self.conv(x - x.mean()))

    found = search(capture(export(OfLogarithms(), (torch.rand(1, 3, 6, 6),))), [Fold("forgets eps")], Registry())
    assert not found.steps
    assert ["cannot be checked" in refusal.reason for refusal in found.refusals] == [True]


def test_a_pass_that_raises_costs_its_own_rewrites_only() -> None:
    found = run("raises")
    assert not found.steps
    assert "ZeroDivisionError" in found.faults["fold"]


def test_canonical_numbers_are_found_within_a_float32_ulp_only() -> None:
    sixth = torch.tensor(1 / 6, dtype=torch.float32).item()
    assert canonical(sixth) == 1 / 6
    assert canonical(-sixth) == -1 / 6
    assert canonical(0.1666) == 0.1666
    assert canonical(1e-5) == 1e-5
