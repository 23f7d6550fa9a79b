"""A Program in one kind of lower precision wherever that is offered, whatever it costs in quality: to price or to weigh it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.data import Data
from fxopt.ir.samples import sample_inputs
from fxopt.ir.statistics import Statistics
from fxopt.ir.work import flops, node_flops

if TYPE_CHECKING:
    from fxopt.compiler.search import Search
    from fxopt.contracts.candidate import Step
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.passes import Pass
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.registry import Registry

_SAMPLES = 2


@dataclass(frozen=True)
class Lowering:
    """One way to bring a Program to lower precision.

    Attributes:
        kind: spec of the pass.
        engine: whose scheme it follows.
        every: of the rewrites that are offered every so many-th is taken; the others leave floats between.
    """

    kind: str
    engine: Engine
    every: int = 1


def lowered(
    found: Search, rule: Pass, registry: Registry, context: Context, every: int = 1
) -> tuple[Program, list[Step]]:
    """The Program that a search ended with, in one kind of lower precision, and the rewrites that took.

    Args:
        found: the search.
        rule: the pass.
        registry: where passes come from.
        context: with the data that the pass is fitted to, and the engine's scheme.
        every: as of a `Lowering`.
    """
    offered = offer(found, [rule], registry, context, weigh=())
    steps = offered.steps[len(found.steps) + every - 1 :: every]
    program, skipped = replay(found.program, steps, registry, replace(context, fitted=offered.tensors))
    return program, [step for step in steps if step.id not in skipped]


def of_made_up_data(
    program: Program, wanted: Iterable[Lowering], registry: Registry, target: Target, share: float = 0.0
) -> Iterator[tuple[Lowering, Program]]:
    """The Program in lower precision, fitted to made-up inputs, on which its latency does not depend.

    What is offered nowhere, or takes less than a share of the Program's FLOPs, is passed over.
    """
    context = Context(target.capabilities(), Statistics(made_up(program)), lossy=True)
    found = search(program, registry.make_passes(None), registry, context)
    least = share * flops(found.program)
    for each in wanted:
        there = replace(context, scheme=each.engine.quant_scheme)
        rule = registry.make_pass(each.kind)
        lower, taken = lowered(found, replace(rule, **rule.hasty), registry, there, each.every)
        if taken and _flops_of(taken, found.program) >= least:
            yield each, lower


def _flops_of(steps: Sequence[Step], program: Program) -> int:
    """Of the calls that steps rewrite."""
    written = {name for step in steps for name in step.candidate.writes}
    return sum(node_flops(program, node) for node in program.calls if node.name in written)


def made_up(program: Program) -> Data:
    """A few samples of noise, to fit ranges to where only latency is asked for."""
    inputs = [sample_inputs(program, seed=seed) for seed in range(_SAMPLES)]
    names = program.interface.argument_names
    samples = {name: torch.cat([values[index] for values in inputs]) for index, name in enumerate(names)}
    return Data.read(samples, program.interface, "calib")
