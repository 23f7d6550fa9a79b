"""The benchmark of predictions, on a tiny net, and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_predict

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_smoke_foretells_what_it_has_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, cache = tmp_path / "predict.json", tmp_path / "cache"
    arguments = ["--smoke", "--out", str(out), "--cache", str(cache)]
    bench_predict.main(arguments)
    report = json.loads(out.read_text())
    found = report["families"]["tiny"]
    kinds = {(case["kind"], case["engine"].partition("{")[0]) for case in found["cases"]}
    assert {("float32", "onnxruntime"), ("float32", "openvino"), ("int8", "onnxruntime")} <= kinds
    assert all(case["predicted"] > 0 and case["ms"] > 0 for case in found["cases"])
    assert {"fxopt", "calls apart", "FLOPs", "roofline", "measured again"} == set(found["methods"])
    measured = {path: path.read_text() for path in cache.glob("*.json")}
    bench_predict.main(arguments)  # what was measured is read back
    assert {path: path.read_text() for path in cache.glob("*.json")} == measured
    assert "MAPE" in capsys.readouterr().out


def test_figures_of_predictions() -> None:
    found = bench_predict.figures([(1.1, 1.0), (2.0, 2.0), (2.0, 4.0)])
    assert found["mape"] == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert found["within"] == pytest.approx(2 / 3)
    assert found["cases"] == 3
    assert 0 < found["tau"] <= 1
