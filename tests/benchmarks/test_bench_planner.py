"""The benchmark of planners, on small problems and a tiny net."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_planner, by_model


def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "planner.json"
    bench_planner.main(["--smoke", "--out", str(out)])
    report = by_model.read(out)
    assert report["small"]["gaps"]["milp"]["worst"] <= 0.01
    assert report["small"]["gaps"]["greedy"]["worst"] > 0.01  # some of these problems are not for the greedy
    (model,) = report["models"].values()
    assert model["planners"].keys() == set(bench_planner.PLANNERS)
    for run in model["planners"].values():
        assert run["builds"] >= 1
        assert run["latency_ms"]["estimate"] > 0
    assert "milp, 20 regions in 12 kinds" in capsys.readouterr().out


def test_solvers_alone_keep_what_was_measured_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "planner.json"
    out.write_text('{"benchmark": "planner", "models": {"resnet50": {"title": "ResNet-50", "planners": {}}}}')
    monkeypatch.setattr(bench_planner, "SMALL", 3)
    monkeypatch.setattr(bench_planner, "REGIONS", 5)
    bench_planner.main(["--only-solvers", "--out", str(out)])
    assert by_model.read(out)["models"].keys() == {"resnet50"}
