"""EXACT where values are quantized: both sides start from the same integers, and what comes out is compared bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from fxopt.compiler.search import Search, search
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.registry import Registry
from fxopt.testing import captured

qd = operators()
aten = torch.ops.aten


def rounded(x: torch.Tensor, scale: float) -> Any:
    numbers = (scale, 128, 0, 255, torch.uint8)
    return qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)


def program() -> Program:
    """A sum of quantized values that is doubled and quantized again."""
    return captured(
        lambda _, x, y: rounded((rounded(x, 0.0213) + rounded(y, 0.0317)) * 2, 0.0911), *torch.randn(2, 64, 64)
    )


@dataclass(frozen=True)
class Distribute(Pass):
    """Doubles both addends instead of the sum, or does so with another factor."""

    name: ClassVar[str] = "distribute"
    factor: float = 2.0

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.mul.Tensor and node.args[0].target == aten.add.Tensor:
                (user,) = node.users
                names = (user.name, node.name, node.args[0].name)
                yield Candidate(self.name, names, frozenset(names))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        user, _, add = edit.nodes(candidate)
        left, right = (edit.call(aten.mul.Tensor, (value, self.factor)) for value in add.args)
        total = edit.call(aten.add.Tensor, (left, right))
        edit.replace(user, edit.call(user.target, (total, *user.args[1:])))


def run(factor: float) -> Search:
    return search(program(), [Distribute(factor)], Registry())


def test_a_right_rewrite_before_a_rounding_is_exact() -> None:
    found = run(2.0)
    assert len(found.steps) == 1
    assert all(item.float64_error == 0 for item in found.evidence.values())


def test_a_factor_that_is_wrong_by_a_thousandth_is_refused() -> None:
    assert not run(2.002).steps
