"""Calibration data in a whole run: recorded in the plan, and part of what an unfinished run is known by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

import fxopt
from fxopt.compiler.progress import Silent
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.contracts.cost import Budget
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry

NOTE = "no installed pass asked for calibration data"


class Told(Silent):
    """Remembers what a user would have seen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[None]:
        self.lines.append(name)
        yield

    def note(self, text: str) -> None:
        self.lines.append(text)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU())


def run(calib: object) -> Run:
    exported = export(model(), (torch.ones(2, 4),))
    request = Request("model", Path("out"), engine="eager", threads=1, calib=calib)
    return Run(request, Registry.load(), capture(exported), exported, "model", Told())


@pytest.mark.serial
def test_the_plan_records_the_data_and_the_run_notes_that_no_pass_asked(tmp_path: Path) -> None:
    data, told = {"input": torch.ones(4, 4)}, Told()
    options = {"engine": "eager", "threads": 1, "passes": "remove_identities", "budget": Budget(time_limit_s=1)}
    result = fxopt.optimize(model(), torch.ones(2, 4), out=tmp_path / "out", calib=data, progress=told, **options)  # type: ignore[arg-type]
    plan = json.loads((result.out / "plan.json").read_text())
    interface = capture(export(model(), (torch.ones(2, 4),))).interface
    assert plan["data"] == {
        "calib": {"path": None, "digest": Data.read(data, interface, "calib").digest},
        "eval": None,
        "train": None,
    }
    assert "read the calibration data" in told.lines
    assert told.lines.count(NOTE) == 1


def test_an_unfinished_run_is_gone_on_with_only_on_the_same_data() -> None:
    same, again, other, none = (
        run(data)._identity() for data in (torch.ones(2, 4), [torch.ones(2, 4)], torch.zeros(2, 4), None)
    )
    assert same == again
    assert len({json.dumps(identity) for identity in (same, other, none)}) == 3


def test_data_that_do_not_fit_end_the_run_before_anything_is_built() -> None:
    with pytest.raises(InputError, match=r"calib: input input_1: axis 1 is 5, expected 4 of float32\[2, 4\]"):
        run(torch.ones(2, 5))
