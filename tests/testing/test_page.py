"""docs/seeded-bugs.md lists every seeded bug, with the check that catches it; the example of docs/testing.md runs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from examples.reciprocal_sqrt import ReciprocalSqrt
from fxopt.testing import engines, passes
from fxopt.testing.cases import words
from tests.testing.test_seeded_bugs import BUGS
from tests.testing.test_seeded_kinds import CRASHES, ENGINES, PLANNERS, TARGETS, SaysNothing

DOCS = Path(__file__).parents[2] / "docs"
PAGE, BUG_LIST = DOCS / "testing.md", DOCS / "seeded-bugs.md"


def table() -> str:
    """The table as it stands on the page."""
    kinds = {
        "pass": BUGS,
        "target": TARGETS,
        "engine": [*ENGINES, *CRASHES, (SaysNothing(), engines.availability_is_told)],
        "planner": PLANNERS,
    }
    rows = [f"| {kind} | {told(bug)} | {words(check)} |" for kind, bugs in kinds.items() for bug, check, *_ in bugs]
    return "\n".join(["| in a | bug | caught by |", "|---|---|---|", *rows])


def told(bug: object) -> str:
    """The docstring of a bug's class; one of the bugs is that there is none, and dataclass then writes one itself."""
    text = type(bug).__doc__ or ""
    return "Has no docstring" if text.startswith(type(bug).__name__) else inspect.cleandoc(text).rstrip(".")


def test_the_page_lists_every_seeded_bug() -> None:
    assert table() in BUG_LIST.read_text(), f"put this into {BUG_LIST.name}:\n{table()}"


def test_the_example_of_the_page_runs() -> None:
    (example,) = (
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "near_misses" in code
    )
    space: dict[str, Any] = {"pytest": pytest, "ReciprocalSqrt": ReciprocalSqrt}
    exec(example, space)  # noqa: S102 - our own page
    cases = [parameter.values[0] for parameter in space["test_reciprocal_sqrt"].pytestmark[0].args[1]]
    mine = [case for case in cases if case.id.endswith(("x roots", "x a shared root"))]
    assert len(mine) == len(passes.CHECKS) + 1
    for case in mine:
        case()
