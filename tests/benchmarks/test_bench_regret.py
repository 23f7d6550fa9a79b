"""The benchmark of the planner's first plans, on a tiny net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_regret, by_model
from fxopt.compiler.paper import PaperLab
from fxopt_plugins.targets import cpu

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_smoke_measures_the_plans_that_are_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "_ENOUGH", 2)
    monkeypatch.setenv("FXOPT_PRICES", str(tmp_path))
    labs, genuine = [], bench_regret.regret

    def regret(lab: PaperLab, *rest: Any) -> dict[str, Any]:
        labs.append(lab)
        return genuine(lab, *rest)

    monkeypatch.setattr(bench_regret, "regret", regret)
    out = tmp_path / "regret.json"
    bench_regret.main(["--smoke", "--out", str(out), "--cache", str(tmp_path / "cache")])
    engines = by_model.read(out)["models"][by_model.TINY]["engines"]
    assert engines.keys() == {"onnxruntime", "openvino"}
    for found in engines.values():
        assert all(plan["ms"] > 0 for plan in found["plans"])
        assert any(plan["rewrites"].get("fold_batch_norm") for plan in found["plans"])
    for lab in labs:  # lower precision is priced, whether or not it is foretold to pay
        assert any(step.startswith("int8@") for build in lab.tried.values() for step in build.steps)
    assert "regret" in capsys.readouterr().out


def plan(ratio: float | None) -> dict[str, Any]:
    return {"ms": ratio, "ratio": None if ratio is None else {"estimate": ratio}}


def test_regret_is_how_much_slower_the_first_plan_is_than_the_fastest() -> None:
    found = bench_regret.figures([{"ms": 1.0, "ratio": None}, plan(0.8), plan(1.2), plan(None)])
    assert found["regret"] == pytest.approx(0.25)
    assert found["spread"] == pytest.approx(0.5)
    assert bench_regret.figures([{"ms": 1.0, "ratio": None}, plan(1.1)])["regret"] == 0
    assert bench_regret.figures([plan(None), plan(1.0)])["regret"] is None
