"""What tests of passes share: capture a module, list what a pass proposes and declines, rewrite to the fixpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Decline, Pass, View
from fxopt.errors import StaleCandidate
from fxopt.ir.capture import capture, export
from fxopt.ir.evaluate import DOUBLE, run_graph
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs

TOLERANCE = 1e-12


def captured(module: torch.nn.Module, *args: Any, dynamic: Any = None) -> Program:
    """A Program of `module` called on `args`.

    Args:
        module: captured in evaluation mode.
        args: example inputs.
        dynamic: True makes axis 0 of every argument one dynamic dimension N; else what torch.export takes.
    """
    if dynamic is True:
        batch = torch.export.Dim("N", min=1, max=64)
        dynamic = tuple({0: batch} for _ in args)
    return capture(export(module, args, dynamic_shapes=dynamic))


def proposals(rule: Pass, program: Program) -> list[Candidate]:
    """What the pass proposes."""
    return list(rule.propose(program, View(rule.name)))


def declines(rule: Pass, program: Program) -> list[Decline]:
    """The near misses of the pass."""
    view = View(rule.name)
    list(rule.propose(program, view))
    return view.declines


def reasons(rule: Pass, program: Program) -> str:
    """The reasons of all near misses, one a line."""
    return "\n".join(decline.reason for decline in declines(rule, program))


def targets(program: Program) -> list[str]:
    """Names of the operators called, in order, like `"aten.relu.default"`."""
    return [str(node.target) for node in program.calls]


def doubles(program: Program, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs of the float64 twin."""
    with torch.no_grad():
        return run_graph(program.graph, program.attributes, inputs, DOUBLE)[0]


def assert_equal(before: Program, after: Program, sizes: Mapping[str, int] | None = None) -> None:
    """Both float64 twins agree to 1e-12 of the outputs' largest value; shapes and float32 dtypes agree too."""
    inputs = sample_inputs(before, sizes=sizes)
    for old, new in zip(before.run(inputs), after.run(inputs), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    for old, new in zip(doubles(before, inputs), doubles(after, inputs), strict=True):
        scale = max(1.0, float(old.abs().max())) if old.numel() else 1.0
        torch.testing.assert_close(new, old, rtol=0, atol=TOLERANCE * scale, equal_nan=True)


def one_round(program: Program, rule: Pass) -> Program:
    """All that the pass proposes and that does not conflict, applied in one transaction."""
    chosen: list[Candidate] = []
    for candidate in proposals(rule, program):
        if not any(candidate.conflicts_with(other) for other in chosen):
            chosen.append(candidate)
    if not chosen:
        return program
    with program.edit() as edit:
        for candidate in chosen:
            try:
                with edit.step(candidate):
                    rule.apply(edit, candidate)
            except StaleCandidate:
                assert len(chosen) > 1, f"{candidate.id} is stale on the Program that it was proposed for"
    return edit.program


def rewrite(program: Program, *rules: Pass, rounds: int = 30) -> Program:
    """The fixpoint of the passes, each round checked against the original in float64.

    Raises:
        AssertionError: the outputs changed, or there is no fixpoint within `rounds`.
    """
    after = program
    for _ in range(rounds):
        before = after
        for rule in rules:
            after = one_round(after, rule)
        if after is before:
            return after
        assert_equal(program, after)
        for dim in program.interface.dims:
            assert_equal(program, after, sizes={dim.name: dim.min + 2})
    raise AssertionError(f"no fixpoint within {rounds} rounds of {', '.join(rule.name for rule in rules)}")
