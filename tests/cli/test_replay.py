"""`fxopt replay`: flags to request, and the lines it prints."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fxopt.compiler.replay as compiler
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.request import Request
from tests.report.ledgers import ledger

REPLAYED: dict[str, Any] = {"steps": 7, "replayed": 7, "differs": []}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a compiler that does nothing was asked."""
    asked: list[tuple[Any, ...]] = []

    def answer(request: Request, lock: Any, refit: bool, progress: Any) -> Any:
        asked.append((request, lock, refit))
        found = ledger(replay=REPLAYED, notes=["new weights"], faults=["a fault"])
        return types.SimpleNamespace(ledger=found, out=request.out)

    monkeypatch.setattr(compiler, "replay_plan", answer)
    monkeypatch.setattr(Lockfile, "read", classmethod(lambda cls, path: path))
    return asked


def test_every_flag_reaches_the_request(fxopt: Callable[..., Any], requests: list[Any]) -> None:
    typed = (
        "replay old pkg.nets:small --weights w.safetensors --input x=2x3 --calib c.npz --refit -p no:cleanup"
        " --trust-pickle --no-source -o there"
    )
    answer = fxopt(*typed.split())
    assert answer.status == 0, answer.err
    ((request, lock, refit),) = requests
    assert (lock, refit) == (Path("old"), True)
    assert request == Request(
        model="pkg.nets:small",
        out=Path("there"),
        weights=Path("w.safetensors"),
        inputs=("x=2x3",),
        calib="c.npz",
        without=("cleanup",),
        trust_pickle=True,
        source=False,
        command=f"fxopt {typed}",
    )


def test_it_says_what_is_new_before_the_verdict_and_what_is_at_fault_last(
    fxopt: Callable[..., Any], requests: list[Any]
) -> None:
    answer = fxopt("replay", "old", "m.pt2", "-o", "new")
    verdict = ledger()["result"]["verdict"]
    assert answer.status == 0
    assert answer.out.splitlines() == ["new weights", verdict, "report: new/report.html", "at fault: a fault"]


def test_a_replay_that_differs_from_its_plan_exits_3_and_the_last_line_says_so(
    fxopt: Callable[..., Any], requests: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLAYED, "differs", ["a@b was left out", "c@d was left out"])
    answer = fxopt("replay", "old", "m.pt2", "-o", "new")
    assert answer.status == 3
    last = "differs from the plan, though nothing is new: a@b was left out, and 1 more"
    assert answer.out.splitlines()[-2:] == ["at fault: a fault", last]
    answer = fxopt("replay", "old", "m.pt2", "-o", "new", "--json")
    assert (answer.status, json.loads(answer.out)["replay"]) == (3, REPLAYED)


def test_json_is_all_that_is_printed(fxopt: Callable[..., Any], requests: list[Any]) -> None:
    data = json.loads(fxopt("replay", "old", "m.pt2", "-o", "new", "--json").out)
    assert data["replay"] == REPLAYED
    assert (data["notes"], data["faults"]) == (["new weights"], ["a fault"])


def test_an_output_folder_must_be_given(fxopt: Callable[..., Any], requests: list[Any]) -> None:
    answer = fxopt("replay", "old", "m.pt2")
    assert answer.status == 2
    assert "--out" in answer.err
    assert requests == []
