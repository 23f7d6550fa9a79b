"""What tests of passes share: capture a module, list what a pass proposes and declines, rewrite to the fixpoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Decline, Pass, View
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.ir.twin import double

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
        if any(item.kind is item.VAR_POSITIONAL for item in inspect.signature(module.forward).parameters.values()):
            dynamic = (dynamic,)
    return capture(export(module, args, dynamic_shapes=dynamic))


class Function(torch.nn.Module):
    """A module that calls `function(self, *args)`; keyword arguments become parameters."""

    def __init__(self, function: Callable[..., Any], **tensors: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in tensors.items():
            self.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(self, *args)


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


def assert_equal(
    before: Program, after: Program, sizes: Mapping[str, int] | None = None, tolerance: float = TOLERANCE
) -> None:
    """Both give equal outputs, shapes and dtypes, to `tolerance` of the largest value."""
    inputs = sample_inputs(before, sizes=sizes)
    for old, new in zip(before.run(inputs), after.run(inputs), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
        finite = old[old.isfinite()] if old.is_floating_point() else old[:0]
        scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
        torch.testing.assert_close(new, old, rtol=0, atol=tolerance * scale, equal_nan=True)


def one_round(program: Program, rule: Pass, twin: Program) -> tuple[Program, Program]:
    """All that the pass proposes and that does not conflict, in one transaction; the same on the twin."""
    chosen: list[Candidate] = []
    for candidate in proposals(rule, program):
        if not any(candidate.conflicts_with(other) for other in chosen):
            chosen.append(candidate)
    if not chosen:
        return program, twin
    return apply(program, rule, chosen), apply(twin, rule, chosen)


def apply(program: Program, rule: Pass, candidates: Sequence[Candidate]) -> Program:
    """The candidates, applied in one transaction."""
    with program.edit() as edit:
        for candidate in candidates:
            with edit.step(candidate):
                rule.apply(edit, candidate)
    return edit.program


def rewrite(program: Program, *rules: Pass, rounds: int = 30) -> Program:
    """The fixpoint of the passes, each round checked against the original.

    In float64 outputs agree to 1e-12, on a twin that goes through the same rewrites; in the Program's own arithmetic to
    1e-4; both also at another size of each dynamic dimension.

    Raises:
        AssertionError: the outputs changed, or there is no fixpoint within `rounds`.
    """
    original = double(program)
    sizes: list[dict[str, int] | None] = [None, *({dim.name: dim.min + 2} for dim in program.interface.dims)]
    after: Program = program
    twin: Program = original
    for _ in range(rounds):
        before = after
        for rule in rules:
            after, twin = one_round(after, rule, twin)
        if after is before:
            return after
        for size in sizes:
            assert_equal(original, twin, size)
            assert_equal(program, after, size, tolerance=1e-4)
    raise AssertionError(f"no fixpoint within {rounds} rounds of {', '.join(rule.name for rule in rules)}")
