"""Run plans under other options of the engine, as fewer threads: a call may be too short to be shared."""

from __future__ import annotations

from collections.abc import Sequence

from fxopt.contracts.planner import Build, Lab, Problem

PLANS = 2  # that are tuned: the best may not keep its quality on unseen samples
TOGETHER = 3  # tunings that one plan may have


def tuned(problem: Problem, plans: Sequence[Build], exact: Sequence[Build]) -> list[Build]:
    """The plans, the best of them under the tunings with which they are fastest, as right as they have to be.

    Args:
        problem: that they were made for.
        plans: of lower precision, the best first.
        exact: the others, the best first. If there are none, the unmodified program is tried.
    """
    if problem.budget.minimize != "latency":
        return [*plans, *exact]
    useless: dict[str, bool] = {}
    first = [build for plan in plans[:PLANS] for build in _with_tuned(problem.lab, plan, useless)]
    # A precision that brings nothing on integers may do so in floats.
    still = {change: rounds for change, rounds in useless.items() if not rounds}
    floats = _with_tuned(problem.lab, exact[0] if exact else problem.lab.baseline, still)
    return [*first, *plans[PLANS:], *(build for build in floats if build.key != problem.lab.baseline.key), *exact[1:]]


def _with_tuned(lab: Lab, plan: Build, useless: dict[str, bool]) -> list[Build]:
    best = _fastest(lab, plan, useless)
    # Where the engine rounds more it may lose too much on unseen samples.
    return [best, plan] if best.key != plan.key and best.rounded else [best]


def _fastest(lab: Lab, plan: Build, useless: dict[str, bool]) -> Build:
    """A plan under the tunings that bring most, one after the other.

    Those that bring nothing join the useless ones, each with whether the engine rounds more under it.
    """
    for _ in range(TOGETHER):
        offered = {} if lab.out_of_time() else {_change(plan, build): build for build in lab.tunings(plan)}
        tried = {change: build for change, build in offered.items() if change not in useless}
        ratios = lab.compare([*tried.values()], to=plan) if tried else {}
        gains = {change: ratios[b.key].interval for change, b in tried.items() if b.key in ratios}
        paying = sorted((c for c, gain in gains.items() if gain.high < 1), key=lambda change: gains[change].estimate)
        useless |= {change: build.rounded for change, build in tried.items() if change not in paying}
        better = next((tried[c] for c in paying if lab.keep(tried[c], give_back=False) is not None), None)
        if better is None:
            break
        plan = better
    return plan


def _change(plan: Build, build: Build) -> str:
    return str(sorted(build.tunings.items() - plan.tunings.items()))
