"""`fxopt optimize --dry-run`: what would be tried, with nothing built, measured or written; and `--calib` beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxopt.compiler import workshop

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x):
        y = self.drop(self.norm(self.first(x)).relu())
        for conv, norm in zip(self.convs, self.norms):
            z = conv(y)
            y = norm(z).relu() + z
        return y

def make():
    return Net().eval(), torch.randn(2, 3, 8, 8)
"""
MODEL = ("optimize", "zoo:make", "--dry-run", "--engine", "eager", "-o", "out")


@pytest.fixture(autouse=True)
def _folder(fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Path("zoo.py").write_text(SOURCE)
    monkeypatch.setattr(workshop.Workshop, "__init__", lambda *_: pytest.fail("something is built"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("zoo", None)
    assert {file.name for file in Path().iterdir()} <= {"zoo.py", "calib.npz"}


def calib(**arrays: Any) -> tuple[str, str]:
    np.savez("calib.npz", **arrays)
    return "--calib", "calib.npz"


def found(fxopt: Callable[..., Any], *flags: str) -> dict[str, Any]:
    answer = fxopt(*MODEL, "--json", *flags)
    assert (answer.status, answer.err) == (0, "")
    data: dict[str, Any] = json.loads(answer.out)
    return data


def test_it_counts_by_pass_and_groups_reasons(fxopt: Callable[..., Any]) -> None:
    data = found(fxopt)
    passes = {item["pass"]: item for item in data["passes"]}
    assert passes["fold_batch_norm"]["steps"] == 1
    assert passes["fold_batch_norm"]["size_bytes"] < 0
    (reason,) = passes["fold_batch_norm"]["declined"]
    assert reason["count"] == len(set(reason["sites"])) == 2
    assert reason["reason"] == "… has 2 users"  # whichever node it is
    assert data["nodes"]["after"] < data["nodes"]["before"]
    assert data["weight_bytes"]["after"] < data["weight_bytes"]["before"]
    assert data["model"]["source"] == "module from zoo:make"
    assert data["calib"] is None
    (note,) = data["notes"]
    assert note.startswith("only exact rewrites are made; --calib DATA --max-drop 0.5pt unlocks rewrites that are not")


def test_only_the_passes_asked_for_are_tried(fxopt: Callable[..., Any]) -> None:
    data = found(fxopt, "--passes", "remove_identities")
    assert [item["pass"] for item in data["passes"]] == ["remove_identities"]


def test_the_table_says_the_same_and_what_was_not_done(fxopt: Callable[..., Any]) -> None:
    data, answer = found(fxopt), fxopt(*MODEL)
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    (row,) = [line.split() for line in lines if line.strip().startswith("fold_batch_norm")]
    assert row[1:4] == ["1", "0", "2"]
    for item in data["passes"]:
        for group in item["declined"]:
            assert any(
                line.strip() == f"{group['count']}" + line.strip()[1:] for line in lines if group["reason"] in line
            )
    silent = [item["pass"] for item in data["passes"] if not (item["steps"] or item["refused"] or item["declined"])]
    assert silent
    assert f"no site: {', '.join(silent)}" in lines
    assert f"{data['nodes']['before']} nodes become {data['nodes']['after']}" in lines[-2]
    assert lines[-1] == "dry run: nothing was built, measured or written"


def test_data_that_no_pass_asks_for_are_noted(fxopt: Callable[..., Any]) -> None:
    flags = calib(x=np.zeros((4, 3, 8, 8), np.float32))
    note = "no installed pass asked for calibration data"
    data = found(fxopt, *flags)
    assert note in data["notes"]
    assert data["calib"]["path"] == "calib.npz"
    assert note in fxopt(*MODEL, *flags).out.splitlines()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": np.zeros((2, 3, 8, 8), np.float32)}, "calib.npz: input x is missing; there is image"),
        ({"x": np.zeros((2, 3, 8, 9), np.float32)}, "calib.npz: input x: axis 3 is 9, expected 8"),
        ({"x": np.zeros((3, 3, 8, 8), np.float32)}, "calib.npz: 3 samples do not make batches of 2"),
    ],
)
def test_data_that_do_not_fit_are_bad_input(fxopt: Callable[..., Any], arrays: dict[str, Any], says: str) -> None:
    answer = fxopt(*MODEL, *calib(**arrays))
    assert (answer.status, answer.out) == (2, "")
    assert says in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--eval", "--train", "--metric"])
def test_what_would_be_ignored_is_refused(fxopt: Callable[..., Any], flag: str) -> None:
    answer = fxopt(*MODEL, flag, "calib.npz")
    assert answer.status == 2
    assert answer.err.startswith(f"fxopt: error: {flag}")


def test_a_model_that_is_not_there_is_bad_input(fxopt: Callable[..., Any]) -> None:
    assert fxopt("optimize", "zoo:mak", "--dry-run").status == 2


def test_a_fault_leaves_its_reproducer_outside_the_output_folder(
    fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("fxopt.compiler.dry_run.prepare", fail)
    answer = fxopt(*MODEL)
    assert answer.status == 1
    assert (Path(answer.err.split()[-1]) / "traceback.txt").exists()
