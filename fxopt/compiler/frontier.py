"""What was tried, as points between speed, size and quality; it is written also where nothing keeps the limits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fxopt.contracts.candidate import Fidelity, Step

if TYPE_CHECKING:
    from fxopt.compiler.contest import Contender
    from fxopt.compiler.lab import EngineLab
    from fxopt.compiler.run import Run
    from fxopt.contracts.planner import Build


def describe(run: Run, lab: EngineLab, build: Build) -> str:
    """What a build is, in words: a recipe, or the rewrites in it that are not exact and how often; and its tunings."""
    what = content(run, lab, build)
    return f"{what} with {build.tunings_text}" if build.tunings else what


def content(run: Run, lab: EngineLab, build: Build) -> str:
    """What a build is without its tunings."""
    if build.recipe is not None:
        return f"{run.engines[lab.engine].name}'s own {build.recipe}"
    return rewrites_in_words([step for step in lab.steps if step.id in build.steps])


def rewrites_in_words(steps: Sequence[Step]) -> str:
    """Those that are not exact and how often, as `int8 x 31`."""
    found = Counter(step.candidate.rule for step in steps if step.candidate.fidelity is not Fidelity.EXACT)
    parts = [f"{rule} x {count}" for rule, count in sorted(found.items())]
    if parts:
        return ", ".join(parts)
    return "exact rewrites" if steps else "the unmodified model"


def points(run: Run, contenders: dict[str, Contender], shipped: Contender) -> list[dict[str, Any]]:
    """A point for every build that was timed or judged, engine by engine; the smallest latency ratios first.

    `latency_ratio` is to the unmodified model on the same engine, from the sessions in which plans were made; `drop` is
    that of the metric on the samples that a search may look at, in its own unit.
    """
    engines = {item.engine for item in contenders.values()}
    found: list[dict[str, Any]] = []
    unmodified_ones: set[str] = set()  # each stands in every lab of its engine
    for lab in (lab for lab in run.labs if lab.engine in engines):
        for key, build in lab.tried.items():
            ratio, drop, fault = lab.ratios.get(key), lab.drops.get(key), lab.faults.get(key)
            unmodified = key == lab.baseline.key
            if key in unmodified_ones or (not unmodified and ratio is None and drop is None):
                continue
            if unmodified:
                unmodified_ones.add(key)
            found.append(
                {
                    "engine": run.engines[lab.engine].name,
                    "what": describe(run, lab, build),
                    "latency_ratio": ratio and ratio.interval.to_json(),
                    "size_bytes": build.size_bytes,
                    "drop": drop and drop.drop,
                    "kept": unmodified or (key in lab.faults and fault is None),
                    "reason": fault
                    or (None if unmodified or key in lab.faults else f"not judged: {_unjudged(run, lab, build)}"),
                    "shipped": key == shipped.build.key and lab.engine == shipped.engine,
                }
            )
    order = [run.engines[engine].name for engine in dict.fromkeys([shipped.engine, *engines])]

    def place(item: dict[str, Any]) -> tuple[int, float]:
        ratio = item["latency_ratio"]
        return order.index(item["engine"]), ratio["estimate"] if ratio else math.inf

    return sorted(found, key=place)


def _unjudged(run: Run, lab: EngineLab, build: Build) -> str:
    """Why a build that was timed was not held to the quality budget."""
    ratio = lab.ratios.get(build.key)
    if run.request.budget.minimize == "latency" and ratio is not None and ratio.interval.high >= 1:
        return "no gain beyond the noise"
    return "other plans promised more"
