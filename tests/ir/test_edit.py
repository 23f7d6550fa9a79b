"""Transactions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt.contracts.candidate import Candidate
from fxopt.errors import FootprintError, StaleCandidate
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program

aten = torch.ops.aten


class Chain(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.neg(torch.relu(x)) + 1)


def chain() -> Program:
    return capture(export(Chain(), (torch.randn(2, 3),)))


def candidate(site: str, *writes: str) -> Candidate:
    return Candidate("test", (site,), frozenset(writes or (site,)))


def test_an_edit_leaves_the_program_it_came_from_as_it_was() -> None:
    program = chain()
    before = program.text()
    with program.edit() as edit, edit.step(candidate("neg")):
        edit.replace(edit.node("neg"), edit.call(aten.abs.default, (edit.node("relu"),)))
    assert program.text() == before
    assert "aten.abs" in edit.program.text() and "aten.neg" not in edit.program.text()


def test_dead_code_goes_with_its_constants() -> None:
    program = chain()
    with program.edit() as edit, edit.step(candidate("neg")):
        unused = edit.constant(torch.ones(3), "unused")
        edit.call(aten.add.Tensor, (edit.node("neg"), unused))
    assert edit.program.text() == program.text()
    assert not edit.program.attributes


def test_names_do_not_depend_on_other_steps() -> None:
    program = chain()
    names = []
    for sites in (["neg"], ["relu", "neg"]):
        with program.edit() as edit:
            for site in sites:
                with edit.step(candidate(site)):
                    node = edit.node(site)
                    new = edit.call(aten.abs.default, (node.args[0],))
                    edit.replace(node, new)
        names.append(new.name)
    assert names[0] == names[1]


def test_a_change_outside_the_footprint_is_refused() -> None:
    with pytest.raises(FootprintError, match="'relu', which is not among its writes"):
        with chain().edit() as edit, edit.step(candidate("neg")):
            edit.replace(edit.node("relu"), edit.call(aten.abs.default, (edit.node("x"),)))


def test_a_site_that_another_step_replaced_is_stale() -> None:
    with pytest.raises(StaleCandidate, match="'neg' is gone"), chain().edit() as edit:
        with edit.step(candidate("neg")):
            edit.replace(edit.node("neg"), edit.call(aten.abs.default, (edit.node("relu"),)))
        edit.node("neg")


def test_shapes_downstream_of_a_change_are_computed_anew() -> None:
    program = chain()
    with program.edit() as edit, edit.step(candidate("neg")):
        wide = edit.call(aten.cat.default, ([edit.node("relu"), edit.node("relu")], 1))
        edit.replace(edit.node("neg"), wide)
    assert tuple(edit.program.outputs[0].meta["val"].shape) == (2, 6)


def test_an_operator_that_does_not_fit_raises_and_leaves_no_node() -> None:
    program = chain()
    with program.edit() as edit, edit.step(candidate("neg")), pytest.raises(RuntimeError):
        edit.call(aten.mm.default, (edit.node("relu"), edit.node("relu")))
    assert edit.program.text() == program.text()


def test_a_cycle_is_refused() -> None:
    with pytest.raises(FootprintError, match="cycle"), chain().edit() as edit, edit.step(candidate("relu")):
        edit.replace(edit.node("relu"), edit.call(aten.abs.default, (edit.node("add"),)))
