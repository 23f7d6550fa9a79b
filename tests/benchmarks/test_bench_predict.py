"""The benchmark of predictions, on a tiny net, and its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_predict
from benchmarks.bench_predict import AGAIN, APART, FROZEN, ON_MISS, ROOFLINE

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_smoke_foretells_what_it_has_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, cache = tmp_path / "predict.json", tmp_path / "cache"
    arguments = ["--smoke", "--out", str(out), "--cache", str(cache)]
    bench_predict.main(arguments)
    cases = json.loads(out.read_text())["cases"]
    assert {("float32", "onnxruntime"), ("float32", "openvino"), ("int8", "onnxruntime")} <= {
        (case["kind"], case["engine"]) for case in cases
    }
    assert all(case["ms"] > 0 and min(case["predicted"].values()) > 0 for case in cases)
    assert all(0 <= case["cut"] <= 1 for case in cases)
    assert {FROZEN, ON_MISS, APART, ROOFLINE, AGAIN} <= set(cases[0]["predicted"])  # of one family no line goes through
    measured = {path: path.read_text() for path in cache.glob("*.json")}
    bench_predict.main(arguments)  # what was measured is read back
    assert {path: path.read_text() for path in cache.glob("*.json")} == measured
    assert "MAPE" in capsys.readouterr().out


def case(model: str, kind: str, ms: float, predicted: float, copy: str = "full") -> dict[str, Any]:
    return {"model": model, "copy": copy, "kind": kind, "ms": ms, "predicted": {FROZEN: predicted}}


def test_figures_of_predictions() -> None:
    cases = [case("a", "float", 1.0, 1.1), case("a", "bf16", 2.0, 2.0), case("a", "int8", 4.0, 2.0)]
    found = bench_predict.figures(cases, FROZEN)
    assert found is not None
    assert found["mape"] == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert found["within"] == pytest.approx(2 / 3)
    assert found["cases"] == 3
    assert 0 < found["tau"] <= 1
    assert found["regret"] == 0
    assert bench_predict.figures(cases, ON_MISS) is None


def test_regret_is_of_the_choice_within_each_copy() -> None:
    cases = [case("a", "float", 2.0, 1.0), case("a", "int8", 1.0, 1.5), case("a", "int8", 0.5, 0.4, copy="narrow")]
    found = bench_predict.figures(cases, FROZEN)
    assert found is not None
    assert found["regret"] == pytest.approx((1.0 + 0.0) / 2)
