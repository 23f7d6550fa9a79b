"""What a run refuses before it begins, and which of its plans it takes."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import fxopt.compiler.dry_run as module
from fxopt.compiler.progress import NULL
from fxopt.compiler.request import Request
from fxopt.compiler.run import Contender, Run, _best_plans
from fxopt.contracts.cost import Interval
from fxopt.contracts.planner import Build, Ratio
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry


def test_without_a_planner_it_says_which_flag_took_it_away() -> None:
    exported = export(nn.ReLU(), (torch.ones(2),))
    request = Request("model", Path("out"), engine="eager", threads=1)
    with pytest.raises(InputError, match="leave out -p no:planners"):
        Run(request, Registry.load(["planners"]), capture(exported), exported, "model", NULL)


def contender(engine: str, steps: int) -> Contender:
    build = Build(f"{engine} {steps}", frozenset(map(str, range(steps))), None, 1)
    return Contender(engine, build, cast("Any", None))


def sure(low: float, high: float) -> Ratio:
    return Ratio(Interval((low + high) / 2, low, high), 1e-6)


@pytest.mark.parametrize(
    ("ratios", "best"),
    [
        ({"small": sure(0.90, 0.92), "large": sure(0.89, 0.91)}, ["small"]),
        ({"small": sure(0.90, 0.92), "large": sure(0.80, 0.82)}, ["large"]),
        ({"large": sure(0.89, 0.91)}, ["large"]),
        ({"small": sure(0.90, 0.92), "other": sure(0.95, 0.96)}, ["small", "other"]),
        ({}, []),
    ],
)
def test_of_an_engines_plans_the_smallest_stands_unless_a_larger_is_proven_faster(
    ratios: dict[str, Ratio], best: list[str]
) -> None:
    contenders = {"large": contender("a", 9), "small": contender("a", 2), "other": contender("b", 5)}
    assert _best_plans(contenders, ratios) == best


def test_a_search_takes_one_thread_and_leaves_the_number_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def search() -> None:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    before = torch.get_num_threads()
    run = types.SimpleNamespace(search=search, close=lambda: None)
    monkeypatch.setattr(module, "prepare", lambda *_: run)
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            module.dry_run(Request("m", Path("out")))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
