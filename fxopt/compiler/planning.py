"""What a planner is asked, engine by engine: which rewrites there are for it, and on top of what."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fxopt.compiler.contest import Contender
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.offers import offer, prepare
from fxopt.contracts.planner import Build, Problem
from fxopt.errors import EngineError

if TYPE_CHECKING:
    from fxopt.compiler.context import Context
    from fxopt.compiler.run import Run
    from fxopt.compiler.search import Search
    from fxopt.compiler.session import Session
    from fxopt.contracts.quantization import QuantScheme

# An engine that is slower than the best by more than this on the unmodified model is not planned for. On integers engines
# rank otherwise than on floats.
COMPETITIVE, COMPETITIVE_IN_INTEGERS = 1.2, 2.0
# Plans are told apart by sessions of their own engines, a little more roughly than by the confirming one.
IN_SIGHT = 1.1
# So many other plans have to be better than one that leaves.
BETTER = 2
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
    made: list[Contender] = []
    order = sorted(labs, key=lambda spec: first.variants[spec].latency_ms.estimate)
    if run.quality.lossy:
        order = _fastest_first(run, found, {spec: labs[spec] for spec in order}, first)
    for spec in order:
        lab, latency = labs[spec], first.variants[spec].latency_ms.estimate
        reason = _out_of_the_running(run, spec, first, made)
        if reason is not None:
            steps = [step.id for step in found.steps]
            (lab.skip if run.engines[spec].name == "eager" else lab.refuse)(steps, f"not planned for: {reason}")
            continue
        reached = _reached_ms(run, made, first)
        exact = Problem(
            run.program, found.steps, run.request.budget, first.confidence, lab, latency_ms=latency, reached_ms=reached
        )
        if run.quality.lossy:
            if reached is not None and latency > COMPETITIVE * reached:
                lab.skip(
                    [step.id for step in found.steps],
                    f"not planned for alone: {run.engines[spec].name} takes {latency / reached:.2f} times as long on the"
                    " unmodified model as plans so far that may ship",
                )
                exact = replace(exact, steps=())
            made += _of_lower_precision(run, found, lab, exact)
        else:
            made += _planned(run, lab, exact)
    # The unmodified program under a tuning may be the plan of two labs.
    return _finalists(run, [*{(item.engine, item.build.key): item for item in made}.values()], first)


def scheme(run: Run, spec: str) -> QuantScheme | None:
    """How an engine wants its integers on this machine; None where it has no say or fails at them, or quality may not drop."""
    found = run.engines[spec].quant_scheme
    if found is None or not run.quality.lossy:
        return None
    engine = run.engines[spec].name
    try:
        right = run.workshop.scheme(spec, found)
    except EngineError as error:
        run.progress.note(f"nothing is put on integers for {engine}, whose sums cannot be tested: {error}")
        return None
    for op in sorted(found.integer_ops - right.integer_ops):
        run.progress.note(f"{op} stays in floats on {engine}: its integers are wrong on this machine")
    return right


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


def _reached_ms(run: Run, made: Sequence[Contender], first: Session) -> float | None:
    """What a plan must not take longer than to be among the finalists, whatever it loses; None where any may be."""
    if not _only_latency(run):
        return None
    paces: dict[Any, float] = {}
    for item in made:
        if item.lab.lossy(item.build) and (pace := _latency_ms(item, first)) is not None:
            paces[_what(item)] = min(pace, paces.get(_what(item), math.inf))
    fastest = sorted(paces.values())
    return max(IN_SIGHT * fastest[0], fastest[BETTER - 1]) if len(fastest) >= BETTER else None


def _only_latency(run: Run) -> bool:
    return run.request.budget.minimize == "latency" and run.request.budget.max_size_bytes is None


def _what(item: Contender) -> tuple[str, str | None, frozenset[str]]:
    """What a plan has in common with itself under other tunings: it is lost with it."""
    return item.engine, item.build.recipe, item.build.steps


def _finalists(run: Run, made: list[Contender], first: Session) -> list[Contender]:
    """The plans that may still be the best: each that is measured once more takes time, and makes proof harder for all.

    Of those that are not exact, what is clearly slower than the fastest leaves where several others are faster and lose no
    more. One would not do: it may not keep its quality on unseen samples, which are as few as those that it was seen on.
    """
    if not _only_latency(run):
        return made
    timed = {id(item): pace for item in made if (pace := _latency_ms(item, first)) is not None}
    lossy = [item for item in made if id(item) in timed and item.lab.lossy(item.build)]
    best = min((timed[id(item)] for item in lossy), default=0.0)

    def stays(item: Contender) -> bool:
        pace = timed[id(item)]
        better = {_what(other) for other in lossy if timed[id(other)] < pace and other.loss <= item.loss}
        return pace <= best * IN_SIGHT or len(better - {_what(item)}) < BETTER

    judged = {id(item) for item in lossy}
    return [item for item in made if id(item) not in judged or stays(item)]


def _planned(run: Run, lab: EngineLab, problem: Problem) -> list[Contender]:
    """What the planner makes of a problem, as far as it is right."""
    with run.progress.phase(f"plan for {run.engines[lab.engine].name}", 60):
        lab.progress = run.advance()
        kept = (lab.keep(build) for build in run.planner.plan(problem))
        return [Contender(lab.engine, build, lab) for build in kept if build is not None]


def _fastest_first(run: Run, found: Search, labs: Mapping[str, EngineLab], first: Session) -> list[str]:
    """Engines by what their fastest kind of lower precision takes: what the first reaches says how far the others are planned for.

    On integers engines rank otherwise than on floats. By their profiles they are told apart well enough for an order, and
    what is built for it is what is planned with.
    """
    pace = {spec: first.variants[spec].latency_ms.estimate for spec in labs}
    running = [spec for spec in labs if _out_of_the_running(run, spec, first, ()) is None]
    for spec in running if len(running) > 1 else ():  # of one alone there is no order
        if run.engines[spec].quant_scheme is not None:
            _look_for_offers(run, found, labs[spec])
            with run.progress.phase(f"weigh lower precision for {run.engines[spec].name}"):
                pace[spec] *= _fastest_kind(run, found, labs[spec])
    return sorted(pace, key=pace.__getitem__)


def _fastest_kind(run: Run, found: Search, lab: EngineLab) -> float:
    """What the fastest kind that an engine computes in takes wherever it is offered, of what the unmodified model does, by profile."""
    native, kinds = _native(run, lab.context), dict[str, list[str]]()
    for step in lab.search.steps[len(found.steps) :]:
        if step.candidate.parameters.get("kind") in native:
            kinds.setdefault(step.spec, []).append(step.id)
    basis, floats = [step.id for step in found.steps], _profiled_ms(lab, lab.baseline)
    times, wanted = [floats], [[*basis, *kind] for kind in kinds.values() if floats]
    lab.build_ahead(wanted)
    for steps in wanted:
        build = None if run.workshop.out_of_time() else lab.build(steps)
        times.append(0.0 if build is None else _profiled_ms(lab, build))
    return min(filter(None, times)) / floats if floats else 1.0


def _profiled_ms(lab: EngineLab, build: Build) -> float:
    """What the kernels of a build take by the engine's profile; 0 where it has none."""
    return sum(kernel["ms"] or 0.0 for kernel in lab.kernels(build))


def _look_for_offers(run: Run, found: Search, lab: EngineLab) -> None:
    """Let a lab know what lower precision offers on top of the exact rewrites."""
    context = lab.context = replace(run.context, scheme=scheme(run, lab.engine))
    lab.calib = run.calib if run.request.recipes else None
    with (
        run.progress.phase(f"look for lower precision for {run.engines[lab.engine].name}"),
        run.workshop.meanwhile(lab.recipe_jobs()),
    ):
        offered = offer(found, run.passes, run.registry, context, run.progress.detail, _weighed(run, context))
    lab.look_into(offered, context)


def _of_lower_precision(run: Run, found: Search, lab: EngineLab, exact: Problem) -> list[Contender]:
    """Plans of the exact rewrites with what lower precision offers on top; then of that on top of what prepares for it."""
    if lab.search is found:
        _look_for_offers(run, found, lab)
    made = _planned(run, lab, _with_offers(run, exact, found, lab))
    if broken := lab.over_budget():
        made += _of_prepared(run, found, lab, exact, broken)
    return made


def _of_prepared(run: Run, found: Search, lab: EngineLab, exact: Problem, broken: Collection[str]) -> list[Contender]:
    """Plans on top of what prepares for passes that broke the budget, where these cost less on top of it."""
    context = replace(lab.context, fitted=run.context.fitted)
    with run.progress.phase(f"prepare for lower precision for {run.engines[lab.engine].name}"):
        basis = prepare(found, run.passes, run.registry, context, run.progress.detail)
        preparations = [step.id for step in basis.steps[len(found.steps) :]]
        if not preparations:
            return []
        search, reason = _offered_on(basis, run, found, lab.search, context, broken)
    there = EngineLab(
        lab.workshop,
        lab.registry,
        lab.engine,
        search,
        lab.plan,
        lab.quality,
        context,
        fixed=lab.fixed,
        target=lab.target,
        experience=lab.experience,
    )
    run.labs.append(there)
    if reason is None:
        return _planned(
            run, there, replace(_with_offers(run, exact, basis, there), steps=())
        )  # those have been planned
    there.refuse(preparations, reason)
    offers = [step.id for step in search.steps[len(basis.steps) :]]
    there.skip(offers, "not planned for on top of preparations that bring too little")
    return []


def _offered_on(
    basis: Search, run: Run, found: Search, offered: Search, context: Context, broken: Collection[str]
) -> tuple[Search, str | None]:
    """What is offered on top of preparations, of the passes that fit to data; and why that is not planned for, if it is not.

    What the preparations do not touch costs what it did, so that mostly nothing has to be fitted anew to tell.
    """
    rules, before = ", ".join(sorted(broken)), _cost(offered, found, broken)
    if not before:
        return basis, f"{rules} broke the budget, and what they cost does not depend on preparations"
    steps = basis.steps[len(found.steps) :]
    touched = {name for step in steps for name in step.candidate.footprint | step.candidate.writes}
    if (least := _cost(offered, found, broken, touched) / before) > WORTH_PREPARING:
        return basis, f"with it {rules} cost at least {least:.2f} of what they cost without"
    fitted = {step.candidate.rule for step in offered.steps[len(found.steps) :] if step.candidate.fitted}
    again = [rule for rule in run.passes if rule.name in fitted]
    search = offer(basis, again, run.registry, context, run.progress.detail, _weighed(run, context))
    share = _cost(search, basis, broken) / before
    return search, f"with it {rules} cost {share:.2f} of what they cost without" if share > WORTH_PREPARING else None


def _with_offers(run: Run, exact: Problem, basis: Search, lab: EngineLab) -> Problem:
    """The problem with the offers of a lab's search on top of another one."""
    search = lab.search
    return replace(
        exact,
        lab=lab,
        basis=basis.steps,
        offers=search.steps[len(basis.steps) :],
        native=_native(run, lab.context),
        sensitivity=search.sensitivity,
        size_change=search.size_change,
    )


def _native(run: Run, context: Context) -> list[str]:
    """The kinds that an engine computes in on this machine."""
    wanted, isa = context.scheme, run.target.machine().isa
    return [] if wanted is None else [kind for kind in wanted.native if wanted.runs(kind, isa)]


def _weighed(run: Run, context: Context) -> list[str] | None:
    """The kinds of which it matters what they cost in quality; None: all, where what is only stored in one may ship."""
    budget = run.request.budget
    size = budget.minimize == "size" or budget.max_size_bytes is not None
    return None if size else _native(run, context)


def _cost(search: Search, basis: Search, rules: Collection[str], touched: Collection[str] = ()) -> float:
    """What the offers on top of a basis cost together that are of some passes and fitted to data.

    Only those that touch none of some nodes, if any are named.
    """
    offers = (step for step in search.steps[len(basis.steps) :] if step.candidate.rule in rules)
    fitted = (step for step in offers if step.candidate.fitted and step.candidate.footprint.isdisjoint(touched))
    return sum(search.sensitivity.get(step.id, 0.0) for step in fitted)
