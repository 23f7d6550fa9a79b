"""What the ledger says of how planners chose."""

from __future__ import annotations

import math
import types
from typing import Any, cast

from fxopt.compiler.planning_told import planning_told, unfinished
from fxopt.contracts.planner import Build, Look

NAMES = {"a{threads=1}": "a", "b{threads=1}": "b"}


def look(complete: bool, bound: float) -> Look:
    return Look(9, {"int8": 2}, 1.0, -2.0, bound, True, complete, 0.1)


def lab(engine: str, builds: int, *looks: Look) -> Any:
    tried = {str(index): Build(str(index), frozenset(), None, 1) for index in range(builds)}
    tried["tuned"] = Build("tuned", frozenset(), None, 1, tunings={"threads": 1})
    return cast("Any", types.SimpleNamespace(engine=engine, tried=tried, looks=[*looks]))


def test_builds_are_counted_without_those_that_are_only_tuned() -> None:
    (entry,) = planning_told([lab("a{threads=1}", 3, look(True, -2.0))], NAMES, "milp")
    assert (entry["engine"], entry["planner"], entry["builds"]) == ("a", "milp", 3)
    assert entry["looks"][0]["taken"] == {"int8": 2}


def test_a_solver_that_ran_out_of_time_is_said_once_an_engine_and_only_a_gap_that_is_known() -> None:
    labs = [
        lab("a{threads=1}", 1, look(False, -2.5), look(False, -2.25)),
        lab("b{threads=1}", 1, look(True, -2.0), look(False, -math.inf)),
    ]
    assert unfinished(labs, NAMES, "ms") == [
        "the planner ran out of time for a: it took the best choice that it had found, expected to be within 0.25 ms of the best",
        "the planner ran out of time for b: it took the best choice that it had found",
    ]
