"""How planners chose, for the ledger."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxopt.compiler.run import Run


def planning_told(run: Run) -> list[dict[str, Any]]:
    """How the plans for each engine were chosen; one entry for each of its searches in which something was built."""
    return [
        {
            "engine": run.engines[lab.engine].name,
            "planner": run.planner.spec(),
            "builds": sum(not build.tunings for build in lab.tried.values()),
            "looks": [{**dataclasses.asdict(look), "taken": dict(look.taken)} for look in lab.looks],
        }
        for lab in run.labs
        if len(lab.tried) > 1
    ]


def unfinished(run: Run) -> list[str]:
    """A line for each engine for which a solver did not come to its end."""
    unit = "bytes" if run.request.budget.minimize == "size" else "ms"
    lines = {}
    for lab in run.labs:
        name = run.engines[lab.engine].name
        for look in lab.looks:
            if not look.complete:
                gap = look.objective - look.bound
                far = f", expected to be within {gap:.3g} {unit} of the best" if math.isfinite(gap) else ""
                lines[name] = f"the planner ran out of time for {name}: it took the best choice that it had found{far}"
    return [*lines.values()]
