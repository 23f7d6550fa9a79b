"""A Program in one kind of lower precision wherever that is offered, whatever it costs in quality: to price or to weigh it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.data import Data
from fxopt.ir.samples import sample_inputs
from fxopt.ir.statistics import Statistics

if TYPE_CHECKING:
    from fxopt.compiler.search import Search
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.registry import Registry

_SAMPLES = 4


def lowered(found: Search, kind: str, registry: Registry, context: Context) -> tuple[Program, int]:
    """The Program that a search ended with, in one kind of lower precision, and how many rewrites that took.

    Args:
        found: the search.
        kind: spec of the pass.
        registry: where passes come from.
        context: with the data that the pass is fitted to, and the engine's scheme.
    """
    offered = offer(found, [registry.make_pass(kind)], registry, context, weigh=())
    steps = offered.steps[len(found.steps) :]
    program, skipped = replay(found.program, steps, registry, replace(context, fitted=offered.tensors))
    return program, len(steps) - len(skipped)


def of_made_up_data(
    program: Program, kind: str, registry: Registry, target: Target, engines: Iterable[Engine]
) -> Iterator[tuple[Engine, Program]]:
    """For each engine the Program in one kind, fitted to made-up inputs, on which its latency does not depend.

    Engines that it is offered nowhere for are passed over.
    """
    context = Context(target.capabilities(), Statistics(made_up(program)), lossy=True)
    found = search(program, registry.make_passes(None), registry, context)
    for engine in engines:
        lower, count = lowered(found, kind, registry, replace(context, scheme=engine.quant_scheme))
        if count:
            yield engine, lower


def made_up(program: Program) -> Data:
    """A few samples of noise, to fit ranges to where only latency is asked for."""
    inputs = [sample_inputs(program, seed=seed) for seed in range(_SAMPLES)]
    names = program.interface.argument_names
    samples = {name: torch.cat([values[index] for values in inputs]) for index, name in enumerate(names)}
    return Data.read(samples, program.interface, "calib")
