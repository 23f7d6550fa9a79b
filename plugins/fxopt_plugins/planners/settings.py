"""Run plans under other options of the engine, as fewer threads: a call may be too short to be shared."""

from __future__ import annotations

from collections.abc import Sequence

from fxopt.contracts.planner import Build, Lab, Problem

TUNED = 2  # plans that are tried under other settings: the best may not keep its quality on unseen samples
TOGETHER = 3  # settings that one plan may have


def with_settings(problem: Problem, plans: Sequence[Build]) -> list[Build]:
    """The plans, the first of them under the settings with which they are fastest, as right as they have to be.

    Args:
        problem: that they were made for.
        plans: the best first; if there are none, the unmodified program is tried.
    """
    if problem.budget.minimize != "latency":
        return list(plans)
    tuned: list[Build] = []
    for plan in plans[:TUNED] or [problem.lab.baseline]:
        best = _tuned(problem.lab, plan)
        # Where the engine rounds more it may lose too much on unseen samples.
        tuned += [best, plan] if best.key != plan.key and best.rounded else [best]
    return [*(build for build in tuned if build.key != problem.lab.baseline.key), *plans[TUNED:]]


def _tuned(lab: Lab, plan: Build) -> Build:
    """A plan under the settings that bring most, one after the other."""
    for _ in range(TOGETHER):
        tried = [] if lab.out_of_time() else lab.settings(plan)
        ratios = lab.compare(tried, to=plan) if tried else {}
        paying = [build for build in tried if build.key in ratios and ratios[build.key].interval.high < 1]
        paying.sort(key=lambda build: ratios[build.key].interval.estimate)
        better = next((build for build in paying if lab.keep(build, give_back=False) is not None), None)
        if better is None:
            break
        plan = better
    return plan
