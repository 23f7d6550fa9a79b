"""Runs for a GPU that is not here: plans rest on predictions, outputs on the CPU, and everything says so."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxopt.compiler import foretold
from fxopt.compiler.check import check
from fxopt.compiler.optimize import Result, optimize
from fxopt.compiler.stamp import Stamp
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.price import Estimate, Piece, Prediction, Priced
from fxopt.errors import InputError
from fxopt.registry import Registry
from fxopt.report.table import summary_table
from fxopt_plugins.targets import gpu

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


def prediction(*pieces: tuple[str, float]) -> Prediction:
    priced = tuple(Priced(Piece(kernel, {}, (kernel,)), Estimate(ms, 0.2, "roofline")) for kernel, ms in pieces)
    return Prediction(sum(ms for _, ms in pieces), 0.2, priced)


def test_an_interval_gives_its_spread_back() -> None:
    found = foretold.interval(2.0, 0.15)
    assert found.low < 2.0 < found.high
    assert foretold.spread(found) == pytest.approx(0.15)


def test_what_two_builds_share_is_off_by_the_same_in_both() -> None:
    whole = prediction(("conv", 8.0), ("conv", 8.0), ("relu", 0.5))
    fused = prediction(("conv", 8.0), ("conv", 8.0))
    ratio = foretold.ratio(fused, whole)
    assert ratio.interval.estimate == pytest.approx(16 / 16.5)
    assert foretold.spread(ratio.interval) == pytest.approx(0.2 * 0.5 / 16.5)
    assert ratio.interval.high < 1
    assert ratio.p_value < 1e-5


def test_what_they_do_not_share_is_off_by_its_own() -> None:
    first, second = prediction(("conv", 3.0), ("add", 1.0)), prediction(("conv int8", 2.9), ("add", 1.0))
    ratio = foretold.ratio(second, first)
    assert foretold.spread(ratio.interval) == pytest.approx(math.hypot(0.2 * 2.9 / 3.9, 0.2 * 3 / 4))
    assert ratio.interval.high > 1  # too near to tell
    assert ratio.p_value > 0.5


def test_what_two_engines_do_is_not_off_together() -> None:
    first, second = (replace(prediction((name, 4.0)), common=0.9) for name in ("here", "there"))
    alone, together = (foretold.ratio(first, second, one_engine=one) for one in (False, True))
    assert foretold.spread(alone.interval) == pytest.approx(math.hypot(0.2, 0.2))
    assert foretold.spread(together.interval) < foretold.spread(alone.interval) / 2


def test_the_same_kernels_are_equal() -> None:
    one = prediction(("conv", 3.0), ("add", 1.0))
    ratio = foretold.ratio(one, one)
    assert ratio.equal
    assert ratio.interval.estimate == 1.0


# -- whole runs -----------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """Wide enough for tensor cores to matter: images (16, 64, 28, 28) to logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def images() -> Tensor:
    return torch.randn(16, 64, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def no_gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "_found", lambda: None)
        yield


@pytest.fixture(scope="module")
def exact(no_gpu: None, tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("exact") / "out"
    return optimize(Net().eval(), images(), target="gpu{device=t4}", engine="tensorrt", out=out)


def test_a_run_marks_every_figure_as_predicted(exact: Result) -> None:
    ledger = exact.ledger
    assert ledger["machine"]["cpu"] == "NVIDIA T4"
    assert {ledger[part]["source"] for part in ("baseline", "result")} == {"predicted"}
    assert 0.05 < ledger["noise"]["expected_error"] < 0.5
    assert ledger["noise"]["rounds"] == 0
    assert ledger["result"]["p99_ms"] is None
    assert any("PREDICTED" in note and "NVIDIA T4" in note for note in ledger["notes"])
    assert ledger["layers"]["after"]
    text = (exact.out / "report.md").read_text()
    assert "latency, predicted" in text
    assert "Nothing was measured: there is no NVIDIA T4 here" in text
    assert "noise floor" not in text
    assert "PREDICTIONS" in str(summary_table(ledger).caption)


def test_its_artifact_is_whole_and_gives_here_what_the_model_gives(exact: Result) -> None:
    model = exact.out / "model"
    assert {"model.onnx", "build_engine.py", "manifest.json", "checked.json"} <= {path.name for path in model.iterdir()}
    torch.testing.assert_close(exact.load()(images()), Net().eval()(images()), rtol=1e-3, atol=1e-3)
    assert exact.ledger["checks"]["artifact_error"] < 1e-4


def test_check_looks_at_what_can_be_looked_at(exact: Result) -> None:
    found = check(exact.out)
    assert found.ok, found.lines
    assert [item.name for item in found.checks] == ["size", "outputs"]
    assert "note: latency was predicted for NVIDIA T4, and is not checked here" in found.lines


def test_check_of_what_was_measured_on_hardware_that_is_not_here_measures_nothing(
    exact: Result, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(exact.out, out)
    ledger = json.loads((out / "ledger.json").read_text())
    ledger["result"]["source"] = "measured"
    (out / "ledger.json").write_text(json.dumps(ledger))
    found = check(out)
    assert [item.name for item in found.checks] == ["size", "outputs"]
    assert "note: latency was measured for NVIDIA T4, and is not checked here" in found.lines


@pytest.mark.parametrize(("budget", "words"), [(Budget(max_p99_ms=1.0), "--max-p99: it is not predicted")])
def test_what_cannot_be_predicted_is_refused_before_anything_is_built(
    budget: Budget, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        optimize(nn.ReLU(), torch.ones(1, 4), target="gpu{device=t4}", budget=budget, out=tmp_path / "out")


def test_an_artifact_that_comes_to_its_gpu_is_looked_at_again(exact: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = Stamp.read(exact.out / "model")
    assert stamp is not None
    assert stamp.differences(Registry.load()) == []
    monkeypatch.setattr(gpu.Gpu, "here", property(lambda self: True))
    assert "NVIDIA T4 is here, and was not where it was checked" in stamp.differences(Registry.load())


def lossy(target: str, engine: str, out: Path) -> dict[str, Any]:
    budget = Budget(max_drop=Drop.parse("20%"))
    net = Net().eval()
    data = torch.randn(32, 64, 28, 28, generator=torch.Generator().manual_seed(2))
    return optimize(
        net,
        images(),
        target=target,
        engine=engine,
        passes="fold_batch_norm,int8",
        calib=data,
        budget=budget,
        recipes=False,
        out=out,
    ).ledger


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_where_quality_may_drop_a_gpu_gets_another_plan_than_a_cpu(tmp_path: Path) -> None:
    there = lossy("gpu{device=t4}", "tensorrt", tmp_path / "gpu")
    here = lossy("cpu", "onnxruntime", tmp_path / "cpu")
    assert there["result"]["source"] == "predicted"
    assert here["result"]["source"] == "measured"
    assert there["result"]["quality"] is not None
    assert there["result"]["speedup"]["low"] > 1
    plan = json.loads((tmp_path / "gpu" / "plan.json").read_text())
    assert plan["engine"].startswith("tensorrt")
    assert plan["target"] == "gpu{device=t4}"
    assert there["rewrites"] != here["rewrites"]
