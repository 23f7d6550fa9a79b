"""`fxopt check`: an artifact that keeps what its ledger says, and ones that do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import fxopt
from fxopt.compiler.check import check
from fxopt.contracts.cost import Budget
from fxopt.errors import InputError

pytestmark = [pytest.mark.serial, pytest.mark.usefixtures("few_rounds")]


@pytest.fixture(scope="module")
def finished(few_rounds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    out = tmp_path_factory.mktemp("run") / "out"
    budget = Budget(time_limit_s=5)
    return fxopt.optimize(model, torch.randn(2, 16), engine="eager", threads=1, budget=budget, out=out).out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy elsewhere, to be spoiled."""
    return Path(shutil.copytree(finished, tmp_path / "moved"))


def failed(out: Path) -> list[str]:
    result = check(out)
    lines = [line for line in result.lines if "FAILED" in line]
    assert result.ok == (not lines)
    return [line.split(":")[0] for line in lines]


def test_an_output_keeps_what_its_ledger_says_also_where_it_was_moved_to(out: Path) -> None:
    assert failed(out) == []


def test_an_artifact_that_grew_fails(out: Path) -> None:
    (out / "model" / "more").write_bytes(bytes(1000))
    assert failed(out) == ["size"]


def test_a_ratio_that_was_promised_and_is_not_kept_fails(out: Path) -> None:
    ledger = json.loads((out / "ledger.json").read_text())
    ledger["result"]["ratio"] = {"estimate": 0.1, "low": 0.09, "high": 0.11}
    (out / "ledger.json").write_text(json.dumps(ledger))
    assert failed(out) == ["latency"]


def test_other_outputs_than_the_baselines_fail(out: Path) -> None:
    other = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    from fxopt.ir.capture import capture, export

    manifest = (out / "model" / "manifest.json").read_text()
    capture(export(other, (torch.randn(2, 16),))).save(out / "model")
    (out / "model" / "manifest.json").write_text(manifest)
    assert failed(out) == ["outputs"]


def test_without_a_baseline_it_says_how_to_get_one(out: Path) -> None:
    shutil.rmtree(out / "baseline")
    with pytest.raises(InputError, match="optimize without --no-source"):
        check(out)
