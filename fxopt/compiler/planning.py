"""What a planner is asked, engine by engine: which rewrites there are for it, and on top of what."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
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
# Plans are told apart by sessions of their own engines, a little more roughly than by the confirming one.
IN_SIGHT = 1.1
# Preparations that leave this much of the cost of lower precision are not worth planning for once more.
WORTH_PREPARING = 0.9


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
        reason = _out_of_the_running(run, spec, first, made)
        if reason is not None:
            steps = [step.id for step in found.steps]
            (lab.skip if run.engines[spec].name == "eager" else lab.refuse)(steps, f"not planned for: {reason}")
            continue
        for there, problem in _problems(run, found, spec, lab, first.variants[spec].latency_ms.estimate):
            with run.progress.phase(f"plan for {run.engines[spec].name}", 60):
                there.progress = run.advance()
                kept = (there.keep(build) for build in planner.plan(problem))
                made += [Contender(spec, build, there) for build in kept if build is not None]
    return _finalists(run, made, first)


def scheme(run: Run, spec: str) -> QuantScheme | None:
    """How an engine wants its integers on this machine; None where it has no say, or quality may not drop."""
    found = run.engines[spec].quant_scheme
    return None if found is None or not run.quality.lossy else run.workshop.scheme(spec, found)


def _out_of_the_running(run: Run, spec: str, first: Session, made: Sequence[Contender]) -> str | None:
    """Why an engine is not planned for; None if it is."""
    engine = run.engines[spec]
    if engine.name == "eager" and len(first.variants) > 1:
        return "eager is the reference, not to be shipped rewritten"
    integers = run.quality.lossy and engine.quant_scheme is not None
    latency = first.variants[spec].latency_ms.low
    slower = latency / min(item.latency_ms.estimate for item in first.variants.values())
    if slower > (COMPETITIVE_IN_INTEGERS if integers else COMPETITIVE):
        return f"{engine.name} takes {slower:.2f} times as long as the best engine on the unmodified model"
    paces = [_latency_ms(item, first) for item in made]
    slower = latency / min((pace for pace in paces if pace is not None), default=math.inf)
    if slower > COMPETITIVE and not integers and run.request.budget.minimize == "latency":
        return f"{engine.name} takes {slower:.2f} times as long on the unmodified model as the best plan so far"
    return None


def _latency_ms(contender: Contender, first: Session) -> float | None:
    """What a plan takes, judged by the sessions in which it was made; None if it was not timed."""
    ratio = contender.lab.ratios.get(contender.build.key)
    if ratio is None:
        return None
    return first.variants[contender.engine].latency_ms.estimate * ratio.interval.estimate


def _finalists(run: Run, made: list[Contender], first: Session) -> list[Contender]:
    """The plans that may still be the best: each that is measured once more takes time, and makes proof harder for all.

    Plans that are not exact leave where they are clearly slower than the best of them. The exact ones stay: what else
    ships where no other keeps its quality on unseen samples?
    """
    budget = run.request.budget
    if budget.minimize != "latency" or budget.max_size_bytes is not None:
        return made
    paces = {id(item): _latency_ms(item, first) for item in made if item.lab.lossy(item.build)}
    best = min((pace for pace in paces.values() if pace is not None), default=math.inf)
    return [item for item in made if (paces.get(id(item)) or 0.0) <= best * IN_SIGHT]


def _problems(
    run: Run, found: Search, spec: str, lab: EngineLab, latency_ms: float
) -> Iterator[tuple[EngineLab, Problem]]:
    """The exact rewrites with what lower precision offers on top of them; then that on top of preparations for it.

    The second is worth its time only where the first broke the budget, and where what is offered costs less on top of the
    preparations.
    """
    plain = Problem(run.program, found.steps, run.request.budget, CONFIDENCE, lab, latency_ms=latency_ms)
    if not run.quality.lossy:
        if found.steps:
            yield lab, plain
        return
    engine = run.engines[spec]
    context = replace(run.context, scheme=scheme(run, spec))
    with run.progress.phase(f"look for lower precision for {engine.name}"):
        offered = offer(found, run.passes, run.registry, context, run.progress.detail)
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
    rules = lab.over_budget()
    if not rules:
        return
    with run.progress.phase(f"prepare for lower precision for {engine.name}"):
        prepared = prepare(found, offered, run.passes, run.registry, context, run.progress.detail)
    if prepared is None:
        return
    basis, search = prepared
    again, problem = on(basis, search, lab.fresh())
    run.labs.append(again)
    share = _cost(search, len(basis.steps), rules) / (_cost(offered, len(found.steps), rules) or math.inf)
    if share > WORTH_PREPARING:
        reason = f"what {', '.join(sorted(rules))} costs on top of it is {share:.2f} of what it costs without"
        again.refuse([step.id for step in basis.steps[len(found.steps) :]], reason)
        again.skip([step.id for step in problem.offers], "not planned for on top of preparations that bring nothing")
        return
    yield again, replace(problem, steps=())  # the exact ones have been planned


def _cost(search: Search, basis: int, rules: Collection[str]) -> float:
    """What the offers of some passes cost together that are fitted to data, and so change with preparations."""
    offers = (step for step in search.steps[basis:] if step.candidate.fitted and step.candidate.rule in rules)
    return sum(search.sensitivity.get(step.id, 0.0) for step in offers)
