"""The example of a pass works, is refused nothing, and stands in the docs as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from examples import reciprocal_sqrt
from fxopt.registry import Registry
from tests.house.tree import ROOT
from tests.passes.apply import Function, captured, reasons, rewrite, targets

RULE = reciprocal_sqrt.ReciprocalSqrt()


def test_one_over_a_square_root_becomes_rsqrt() -> None:
    program = captured(Function(lambda _, x: x.exp().sqrt().reciprocal()), torch.randn(2, 3))
    assert targets(rewrite(program, RULE)) == ["aten.exp.default", "aten.rsqrt.default"]


def test_declines_a_square_root_with_two_users() -> None:
    def both(_: torch.nn.Module, x: Tensor) -> Tensor:
        root = x.exp().sqrt()
        return root.reciprocal() + root

    program = captured(Function(both), torch.randn(2, 3))
    assert "sqrt has 2 users" in reasons(RULE, program)
    assert targets(rewrite(program, RULE)) == targets(program)


def test_registers_by_its_hook() -> None:
    registry = Registry()
    registry.register(reciprocal_sqrt, "example", "example")
    assert registry.make_pass("reciprocal_sqrt") == RULE


def test_stands_in_the_docs_as_it_is() -> None:
    source = (ROOT / "examples" / "reciprocal_sqrt.py").read_text().split("\n\n", 1)[1]
    assert f"```python\n{source}```" in (ROOT / "docs" / "write-a-pass.md").read_text()


def test_the_class_takes_about_25_lines() -> None:
    source = (ROOT / "examples" / "reciprocal_sqrt.py").read_text()
    body = source.split("@dataclass")[1].split("@hookimpl")[0]
    assert len(body.strip().splitlines()) <= 25
