"""Run plans under other options of the engine, as fewer threads: a call may be too short to be shared."""

from __future__ import annotations

from collections.abc import Sequence

from fxopt.contracts.planner import Build, Problem

TUNED = 2  # plans that are tried under other settings: the best may not keep its quality on unseen samples


def with_settings(problem: Problem, plans: Sequence[Build]) -> list[Build]:
    """The plans, the best behind what they are under settings with which they are faster and as right as they have to be.

    Args:
        problem: that they were made for.
        plans: the best first; if there are none, the unmodified program is tried.
    """
    lab = problem.lab
    if problem.budget.minimize != "latency" or lab.out_of_time():
        return list(plans)
    first = list(plans[:TUNED]) or [lab.baseline]
    settings = {plan.key: lab.settings(plan) for plan in first}
    tried = [setting for each in settings.values() for setting in each]
    ratios = lab.compare([*first, *tried]) if tried else {}

    def pays(plan: Build, setting: Build) -> bool:
        there, here = ratios.get(setting.key), ratios.get(plan.key)
        return there is not None and here is not None and there.interval.high < here.interval.estimate

    tuned: list[Build] = []
    for plan in first:
        paying = [setting for setting in settings[plan.key] if pays(plan, setting)]
        paying.sort(key=lambda setting: ratios[setting.key].interval.estimate)
        kept = [setting for setting in paying if lab.keep(setting, give_back=False) is not None]
        tuned += [*kept, *([plan] if plan.key != lab.baseline.key else [])]
    return [*tuned, *plans[TUNED:]]
