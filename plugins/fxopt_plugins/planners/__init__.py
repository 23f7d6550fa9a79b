"""The built-in planners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fxopt import hookimpl
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.planners.by_price import Exhaustive, Greedy, Milp
from fxopt_plugins.planners.by_region import ByRegion

if TYPE_CHECKING:
    from fxopt import Planner


@hookimpl
def fxopt_planners() -> list[type[Planner]]:
    """Planners that come with fxopt."""
    return [Milp, Greedy, Exhaustive, ByRegion, ByPass]
