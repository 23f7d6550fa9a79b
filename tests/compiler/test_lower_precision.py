"""Whole runs under a quality budget: what the ledger and the frontier say of preparations and of engines' own recipes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxopt.compiler.check import check
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.progress import NULL
from fxopt.compiler.replay import Replay, planned
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.contracts.cost import Budget, Drop
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry
from fxopt.report import read
from tests.compiler.lossy import SIZE, Rounds, net, registry

pytestmark = pytest.mark.usefixtures("few_rounds")


def run(out: Path, kind: Any = Run, passes: str = "low_rank,copy", **options: Any) -> dict[str, Any]:
    exported = export(net(), (torch.randn(8, SIZE),))
    options = {"budget": Budget(max_drop=Drop(1.0, "%")), **options}
    request = Request("net", out, engine=Rounds.name, threads=1, passes=passes, **options)
    ledger: dict[str, Any] = kind(request, registry(), capture(exported), exported, "net", NULL).go()
    return ledger


def replayed(out: Path, to: Path) -> dict[str, Any]:
    def replaying(request: Request, *rest: Any) -> Replay:
        lock = Lockfile.read(out)
        return Replay(lock, False, planned(request, lock), *rest)

    return run(to, replaying)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("data") / "calib.npz"
    np.savez(file, input=np.random.default_rng(0).standard_normal((48, SIZE)).astype(np.float32))
    return str(file)


@pytest.fixture(scope="module")
def prepared(few_rounds: None, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that keeps the budget only on top of what prepares for it."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    run(out, calib=data)
    return out


@pytest.fixture(scope="module")
def recipe(few_rounds: None, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that is a recipe of the engine."""
    out = tmp_path_factory.mktemp("recipe") / "out"
    run(out, passes="copy", calib=data)
    return out


def verdicts(ledger: dict[str, Any]) -> dict[str, str]:
    return {entry["id"]: entry["verdict"] for entry in ledger["rewrites"]}


def test_a_plan_on_top_of_preparations_ships_with_them(prepared: Path) -> None:
    ledger = read(prepared)
    applied = {entry["pass"] for entry in ledger["rewrites"] if entry["verdict"] == "applied"}
    assert applied == {"copy", "low_rank"}
    assert "low_rank x 2 on rounds" in ledger["result"]["verdict"]


def test_the_recipes_that_were_tried_are_in_the_ledger_whatever_ships(prepared: Path) -> None:
    recipes = [entry for entry in read(prepared)["rewrites"] if entry["site"] == "the whole model"]
    assert [entry["pass"] for entry in recipes] == ["rounds.split", "rounds.fails", "rounds.same", "rounds.narrow"]
    assert "no luck" in recipes[1]["reason"]
    assert recipes[3]["verdict"] == "skipped"
    assert recipes[3]["reason"] == "not needed: weights of 8 bits are right on this machine"


def test_ids_are_unique(prepared: Path, recipe: Path) -> None:
    for out in (prepared, recipe):
        ids = [entry["id"] for entry in read(out)["rewrites"] if entry["verdict"] != "declined"]
        assert len(ids) == len(set(ids))


def test_the_frontier_has_what_was_timed_on_all_bases_and_the_unmodified_model_once(prepared: Path) -> None:
    points = Counter(point["what"] for point in read(prepared)["frontier"])
    assert points["the unmodified model"] == 1
    assert points["low_rank x 2"] == 2
    assert points["rounds's own split"] == 1


def test_a_plan_that_is_a_recipe_is_replayed_and_nothing_else_is_said_of_recipes(recipe: Path, tmp_path: Path) -> None:
    assert verdicts(read(recipe))["rounds.split"] == "applied"
    assert json.loads((recipe / "plan.json").read_text())["recipe"] == "split"
    ledger = replayed(recipe, tmp_path / "replayed")
    assert verdicts(ledger) == {"rounds.split": "applied"}
    assert not [note for note in ledger["notes"] if note.startswith("left out")]
    assert ledger["result"]["verdict"].startswith("the engine's own split replayed on rounds")


def test_a_plan_judged_on_made_up_inputs_can_be_checked_on_data(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "out")
    plugins = registry()
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, without=(): plugins))
    result = check(tmp_path / "out", evaluation=data)
    (quality,) = [item for item in result.checks if item.name == "quality"]
    assert quality.ok, quality.text
    assert "48 samples" in quality.text
