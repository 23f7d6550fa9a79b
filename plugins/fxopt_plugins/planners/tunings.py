"""Run plans under other options of the engine, as fewer threads: a call may be too short to be shared."""

from __future__ import annotations

from collections.abc import Sequence

from fxopt.contracts.planner import Build, Lab, Problem

PLANS = 2  # that are tuned: the best may not keep its quality on unseen samples
TOGETHER = 3  # tunings that one plan may have


def tuned(problem: Problem, plans: Sequence[Build]) -> list[Build]:
    """The plans, the first of them under the tunings with which they are fastest, as right as they have to be.

    Args:
        problem: that they were made for.
        plans: the best first; if there are none, the unmodified program is tried.
    """
    if problem.budget.minimize != "latency":
        return list(plans)
    found: list[Build] = []
    for plan in plans[:PLANS] or [problem.lab.baseline]:
        best = _fastest(problem.lab, plan)
        # Where the engine rounds more it may lose too much on unseen samples.
        found += [best, plan] if best.key != plan.key and best.rounded else [best]
    return [*(build for build in found if build.key != problem.lab.baseline.key), *plans[PLANS:]]


def _fastest(lab: Lab, plan: Build) -> Build:
    """A plan under the tunings that bring most, one after the other."""
    for _ in range(TOGETHER):
        tried = [] if lab.out_of_time() else lab.tunings(plan)
        ratios = lab.compare(tried, to=plan) if tried else {}
        paying = [build for build in tried if build.key in ratios and ratios[build.key].interval.high < 1]
        paying.sort(key=lambda build: ratios[build.key].interval.estimate)
        better = next((build for build in paying if lab.keep(build, give_back=False) is not None), None)
        if better is None:
            break
        plan = better
    return plan
