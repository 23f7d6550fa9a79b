"""What each rewrite of a round adds to the size of the weights, or saves."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx import Node

from fxopt.compiler.sizes import size_changes
from fxopt.contracts.candidate import Candidate
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program

aten = torch.ops.aten


class Net(nn.Module):
    """A small and a large linear layer, and two that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Linear(8, 16, bias=False), nn.Linear(16, 64, bias=False)
        self.shared = nn.Parameter(torch.randn(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.linear(self.large(self.small(x)), self.shared)
        return nn.functional.linear(y.relu(), self.shared)


def linears() -> tuple[Program, list[Node]]:
    program = capture(export(Net(), (torch.randn(2, 8),)))
    return program, [node for node in program.calls if node.target == aten.linear.default]


def changes(program: Program, nodes: list[Node]) -> list[int | None]:
    """Of candidates that store the weight of a layer in half as many bytes each, all in one round."""
    candidates = [Candidate("half", (node.name,), frozenset({node.name})) for node in nodes]
    with program.edit() as edit:
        for name, candidate in zip((node.name for node in nodes), candidates, strict=True):
            with edit.step(candidate):
                node = edit.node(name)
                value = edit.tensor(node.args[1])
                assert value is not None
                stored = edit.call(aten._to_copy.default, (edit.constant(value.half()),), {"dtype": torch.float32})
                edit.replace(node, edit.call(aten.linear.default, (node.args[0], stored)))
    found = size_changes(program, edit.program, edit.records)
    assert sum(found.values()) == edit.program.weight_bytes - program.weight_bytes or len(found) < len(nodes)
    return [found.get(candidate.id) for candidate in candidates]


def test_each_rewrite_of_a_round_has_the_size_of_its_own_weights() -> None:
    program, (small, large, *_) = linears()
    assert changes(program, [small, large]) == [-8 * 16 * 2, -16 * 64 * 2]


def test_a_weight_that_others_use_stays() -> None:
    program, (small, _, shared, _) = linears()
    assert changes(program, [small, shared]) == [-8 * 16 * 2, 64 * 64 * 2]


def test_who_gives_up_a_weight_together_with_others_has_no_size() -> None:
    program, (small, _, *both) = linears()
    assert changes(program, [small, *both]) == [-8 * 16 * 2, None, None]


def test_what_dies_with_a_rewritten_node_is_its_own() -> None:
    program, (_, large, *_) = linears()
    relu = next(node for node in program.calls if node.target == aten.relu.default)
    cut, other = (Candidate("cut", (node.name,), frozenset({node.name})) for node in (large, relu))
    with program.edit() as edit:
        with edit.step(cut):
            edit.replace(edit.node(large.name), edit.call(aten.zeros.default, ([2, 64],)))
        with edit.step(other):
            pass
    assert size_changes(program, edit.program, edit.records) == {cut.id: -(8 * 16 + 16 * 64) * 4, other.id: 0}
