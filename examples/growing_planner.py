"""A planner, as a plugin brings it: the rewrites of one pass after another, where the whole is faster with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fxopt import Planner, Step, hookimpl
from fxopt.contracts.planner import Build, Problem, Ratio


@dataclass(frozen=True)
class Growing(Planner):
    """Add the rewrites of one pass after another to the plan, where the whole is measured to be faster with them."""

    name: ClassVar[str] = "growing"

    def plan(self, problem: Problem) -> list[Build]:
        """As `Planner.plan`: exact rewrites; lower precision on top of the basis; the engine's own recipes."""
        lab, recipes = problem.lab, problem.lab.recipes()
        ratios = lab.compare(recipes)
        paying = [recipe for recipe in recipes if recipe.key in ratios and ratios[recipe.key].interval.high < 1]
        plans = [(ratios[recipe.key], recipe) for recipe in paying if lab.keep(recipe) is not None]
        plans += grown(problem, problem.steps, [])
        plans += grown(problem, problem.offers, [step.id for step in problem.basis])
        return [build for _, build in sorted(plans, key=lambda plan: plan[0].interval.estimate)]


def grown(problem: Problem, steps: Sequence[Step], basis: Sequence[str]) -> list[tuple[Ratio, Build]]:
    """The plans that steps grow to, each with what it was measured at; they come with all steps of the basis."""
    lab, limit, taken, plans = problem.lab, problem.budget.max_size_bytes, list[Step](), list[tuple[Ratio, Build]]()
    for spec in dict.fromkeys(step.spec for step in steps):
        group, new = [step for step in steps if step.spec == spec], list[Step]()
        for step in group:
            if not any(excludes(problem, step, other) for other in (*taken, *new)):
                new.append(step)
        lab.refuse([step.id for step in group if step not in new], "another step of the plan excludes it", spec)
        if not new:
            continue
        ids, kind = [step.id for step in new], new[0].candidate.parameters.get("kind")
        if lab.out_of_time() or (kind is not None and kind not in problem.native):
            lab.skip(ids, "out of time, or of a kind that the engine does not compute in", spec)
            continue
        wanted = [*basis, *(step.id for step in taken), *ids]
        build = lab.build(wanted)
        ratio = None if build is None else lab.compare([build]).get(build.key)
        least = plans[-1][0].interval.estimate if plans else 1.0
        if build is None or ratio is None:
            lab.refuse(ids, f"it fails: {lab.why(wanted if build is None else build)}", spec)
        elif ratio.interval.high >= least or (limit is not None and build.size_bytes > limit):
            lab.refuse(ids, "the plan is not faster with it, or too large", spec, ratio)
        elif (kept := lab.keep(build)) is not None:  # it refuses what it gives back
            taken = [step for step in (*taken, *new) if step.id in kept.steps]
            ratio = lab.compare([kept]).get(kept.key, ratio)
            plans.append((ratio, kept))
            lab.credit([step.id for step in new if step in taken], spec, ratio)
    return plans


def excludes(problem: Problem, step: Step, other: Step) -> bool:
    """Whether no plan may have both: they share a choice, or are offers for the same nodes."""
    one, another = step.candidate, other.candidate
    return (one.choice is not None and one.choice == another.choice) or (
        step in problem.offers and one.conflicts_with(another)
    )


@hookimpl
def fxopt_planners() -> list[type[Planner]]:
    return [Growing]
