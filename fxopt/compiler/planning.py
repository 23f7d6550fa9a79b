"""What a planner is asked, engine by engine: which rewrites there are for it, and on top of what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fxopt.compiler.contest import Contender
from fxopt.compiler.offers import offer, prepare
from fxopt.contracts.planner import Problem
from fxopt.measure import CONFIDENCE

if TYPE_CHECKING:
    from fxopt.compiler.lab import EngineLab
    from fxopt.compiler.rewrite import Search
    from fxopt.compiler.run import Run
    from fxopt.compiler.workshop import Session
    from fxopt.contracts.engine import QuantScheme

# An engine that is slower than the best by more than this on the unmodified model is not planned for. On integers engines
# rank otherwise than on floats.
COMPETITIVE, COMPETITIVE_IN_INTEGERS = 1.2, 2.0


def plans(run: Run, found: Search, labs: dict[str, EngineLab], first: Session) -> list[Contender]:
    """What the planner makes of the rewrites for each engine that is near the best.

    Args:
        run: what is asked for, and where plans are built.
        found: the rewrites that hold for all engines.
        labs: by engine.
        first: how the engines compare on the unmodified model.
    """
    planner = run.registry.make_planner(next(iter(run.registry.planners)))
    made: list[Contender] = []
    for spec, lab in labs.items():
        reason = _out_of_the_running(run, spec, first)
        if reason is not None:
            steps = [step.id for step in found.steps]
            (lab.skip if run.engines[spec].name == "eager" else lab.refuse)(steps, f"not planned for: {reason}")
            continue
        for there, problem in _problems(run, found, spec, lab, first.variants[spec].latency_ms.estimate):
            with run.progress.phase(f"plan for {run.engines[spec].name}", 60):
                there.progress = run.advance()
                kept = (there.keep(build) for build in planner.plan(problem))
                made += [Contender(spec, build, there) for build in kept if build is not None]
    return made


def scheme(run: Run, spec: str) -> QuantScheme | None:
    """How an engine wants its integers on this machine; None where it has no say, or quality may not drop."""
    found = run.engines[spec].quant_scheme
    return None if found is None or not run.quality.lossy else run.workshop.scheme(spec, found)


def _out_of_the_running(run: Run, spec: str, first: Session) -> str | None:
    """Why an engine is not planned for; None if it is."""
    engine = run.engines[spec]
    if engine.name == "eager" and len(first.variants) > 1:
        return "eager is the reference, not to be shipped rewritten"
    best = min(item.latency_ms.estimate for item in first.variants.values())
    slower = first.variants[spec].latency_ms.low / best
    integers = run.quality.lossy and engine.quant_scheme is not None
    if slower > (COMPETITIVE_IN_INTEGERS if integers else COMPETITIVE):
        return f"{engine.name} takes {slower:.2f} times as long as the best engine on the unmodified model"
    return None


def _problems(
    run: Run, found: Search, spec: str, lab: EngineLab, latency_ms: float
) -> Iterator[tuple[EngineLab, Problem]]:
    """The exact rewrites with what lower precision offers on top of them; then that on top of preparations for it."""
    plain = Problem(run.program, found.steps, run.request.budget, CONFIDENCE, lab, latency_ms=latency_ms)
    if not run.quality.lossy:
        if found.steps:
            yield lab, plain
        return
    engine = run.engines[spec]
    with run.progress.phase(f"look for lower precision for {engine.name}"):
        context = replace(run.context, scheme=scheme(run, spec))
        offered = offer(found, run.passes, run.registry, context, run.progress.detail)
        prepared = prepare(found, offered, run.passes, run.registry, context, run.progress.detail)
    kinds = context.scheme.native if context.scheme is not None else ()
    native = [kind for kind in kinds if context.scheme and context.scheme.runs(kind, run.target.machine().isa)]

    def on(basis: Search, search: Search, there: EngineLab) -> tuple[EngineLab, Problem]:
        there.found, there.steps, there.evidence, there.sensitivity = (
            search,
            search.steps,
            search.evidence,
            search.sensitivity,
        )
        there.context = replace(context, fitted=search.tensors)
        problem = replace(
            plain,
            lab=there,
            basis=basis.steps,
            offers=search.steps[len(basis.steps) :],
            native=native,
            sensitivity=search.sensitivity,
            size_change=search.size_change,
        )
        return there, problem

    lab.calib = run.calib if run.request.recipes else None
    yield on(found, offered, lab)
    if prepared is not None:
        basis, search = prepared
        again, problem = on(basis, search, lab.fresh())
        run.labs.append(again)
        yield again, replace(problem, steps=())  # the exact ones have been planned
