"""Steps are given back until a build is right as a whole, or keeps the quality budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from fxopt.compiler.largest import largest
from fxopt.compiler.steps import closure, replay
from fxopt.errors import DataError
from fxopt.verify.sensitivity import SAMPLES, sensitivities

if TYPE_CHECKING:
    from fxopt.compiler.lab import EngineLab
    from fxopt.compiler.search import Search
    from fxopt.contracts.planner import Build
    from fxopt.ir.edit import Record
    from fxopt.ir.program import Program
    from fxopt.verify.paired import PairedDrop
    from fxopt.verify.quality import Quality


def give_back_worst(lab: EngineLab, build: Build, gains: Mapping[str, float]) -> Build | None:
    """What is left of a faulty build where as few steps as it takes are given back; None if none can be kept.

    Steps are given back as far as is estimated to help, then by bisection; of many up to a sixteenth too many. Those go
    first that by themselves cost most for what they gain, or have grown most. Where the quality budget is broken, exact
    steps stay. What is given back is refused in `lab`. `gains` are as of `Lab.keep`.
    """
    fault = lab.fault(build)
    blamed = build.steps & lab.lossy_steps if lab.lossy(build) else build.steps
    if len(blamed & lab.lossy_steps) > 1:
        _weigh(lab, build, blamed & lab.lossy_steps)
    ranked = sorted(blamed, key=_harm(lab.search, gains))

    def look(first: int) -> tuple[Build | None, float]:
        part = lab.build([*build.steps - blamed, *ranked[:first]])
        if part is not None and build.tunings:
            part = lab.under(part, build.tunings)
        if part is None or lab.fault(part) is not None:
            return None, math.inf if part is None else _degree(lab, part)
        return part, 1.0

    best = largest(look, _costs(lab.search.sensitivity, ranked), _degree(lab, build))
    kept = best.steps if best is not None else frozenset()
    lab.refuse([i for i in ranked if i not in kept], f"with all {len(ranked)} of these in the plan, {fault}")
    return best


def _harm(search: Search, gains: Mapping[str, float]) -> Callable[[str], tuple[float, float, str]]:
    """What steps are ranked by that may have to be given back: what they cost for what they gain, then their growth."""
    typical = sum(gains.values()) / len(gains) if gains else 1.0

    def harm(identity: str) -> tuple[float, float, str]:
        evidence, gain = search.evidence.get(identity), gains.get(identity, typical)
        cost = search.sensitivity.get(identity, 0.0) / gain if gain > 0 else math.inf
        return cost, evidence.growth if evidence else 0.0, identity

    return harm


def _weigh(lab: EngineLab, build: Build, steps: Collection[str]) -> None:
    """Measure the sensitivity of steps of a build where it is not known; they are weighed in the order of the plan."""
    known = lab.search.sensitivity
    if known.keys() >= set(steps):
        return
    calibration = lab.context.statistics
    data = lab.quality.samples(SAMPLES, lab.program.interface) if calibration is None else calibration.data
    if data is None:
        return
    # Made-up inputs need not begin with a sample axis: they are not cut.
    most = data.samples if calibration is None else SAMPLES

    def see(before: Program, after: Program, records: Sequence[Record]) -> None:
        mine = [record for record in records if record.candidate.id in steps]
        known.update(sensitivities(before, [(after, mine)], data, known.keys(), most))

    # Data that gradients cannot be taken on say nothing about the order, which is then that of the ids.
    with suppress(DataError):
        replay(lab.program, closure(lab.steps, build.steps), lab.registry, lab.context, see)


def _costs(sensitivity: Mapping[str, float], ranked: Sequence[str]) -> list[float]:
    """Sensitivities; where one is not known, the mean of the others."""
    known = [sensitivity[i] for i in ranked if i in sensitivity]
    typical = sum(known) / len(known) if known else 1.0
    return [sensitivity.get(i, typical) for i in ranked]


def _degree(lab: EngineLab, build: Build) -> float:
    """How many times what the budget allows a faulty build costs; infinite where that is not what is wrong with it."""
    drop = lab.drops.get(build.key)
    if drop is None or lab.quality.fault(drop) is None:
        return math.inf
    return excess(lab.quality, drop)


def excess(quality: Quality, drop: PairedDrop) -> float:
    """How many times what a budget allows a drop is, as costs go: they are divergences, and flips go with the root of these.

    None where the metric is better.
    """
    found = max(0.0, quality.excess(drop))
    return found * found if drop.metric.rate else found
