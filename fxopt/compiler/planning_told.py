"""How planners chose, for the ledger."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxopt.compiler.lab import EngineLab


def planning_told(labs: Iterable[EngineLab], names: Mapping[str, str], planner: str) -> list[dict[str, Any]]:
    """How the plans for each engine were chosen; one entry for each of its searches in which something was built.

    Args:
        labs: all of the run.
        names: of engines, by spec.
        planner: its spec.
    """
    return [
        {
            "engine": names[lab.engine],
            "planner": planner,
            "builds": sum(not build.tunings for build in lab.tried.values()),
            "looks": [{**dataclasses.asdict(look), "taken": dict(look.taken)} for look in lab.looks],
        }
        for lab in labs
        if len(lab.tried) > 1
    ]


def unfinished(labs: Iterable[EngineLab], names: Mapping[str, str], unit: str) -> list[str]:
    """A line for each engine for which a solver did not come to its end.

    Args:
        labs: all of the run.
        names: of engines, by spec.
        unit: of what was minimized.
    """
    lines = {}
    for lab in labs:
        name = names[lab.engine]
        for look in lab.looks:
            if not look.complete:
                gap = look.objective - look.bound
                far = f", expected to be within {gap:.3g} {unit} of the best" if math.isfinite(gap) else ""
                lines[name] = f"the planner ran out of time for {name}: it took the best choice that it had found{far}"
    return [*lines.values()]
