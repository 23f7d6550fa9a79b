"""The benchmark of the planner's first plans, on a tiny net."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_regret, by_model
from fxopt_plugins.targets import cpu

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_smoke_measures_the_plans_that_are_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "_ENOUGH", 2)
    monkeypatch.setenv("FXOPT_PRICES", str(tmp_path))
    out = tmp_path / "regret.json"
    bench_regret.main(["--smoke", "--out", str(out), "--cache", str(tmp_path / "cache")])
    engines = by_model.read(out)["models"][by_model.TINY]["engines"]
    assert engines
    for found in engines.values():
        foretold = [plan["foretold_ms"] for plan in found["plans"]]
        assert foretold == sorted(foretold)
        assert all(plan["ms"] > 0 or plan["fault"] for plan in found["plans"])
        ratios = [plan["ratio"]["estimate"] for plan in found["plans"] if plan["ratio"]]
        assert found["regret"] == pytest.approx(1 / min([*ratios, 1.0]) - 1)
    assert "regret" in capsys.readouterr().out
