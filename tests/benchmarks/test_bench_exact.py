"""The benchmark of exact rewrites, on a tiny net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_exact


def test_geomean_waits_for_all_three() -> None:
    assert bench_exact.geomean({"repvgg_a0": {"speedup": 2.0}, "bert": {"speedup": 1.0}}) is None
    models = {"repvgg_a0": {"speedup": 2.0}, "bert": {"speedup": 1.0}, "inception_v3": {"speedup": 4.0}}
    assert bench_exact.geomean(models) == pytest.approx(2.0)


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_exact.main(["resnet51"])
    assert "unknown model 'resnet51'" in capsys.readouterr().err


@pytest.mark.slow
def test_smoke_measures_and_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "exact.json"
    out.write_text(json.dumps({"benchmark": "exact", "models": {"bert": {"speedup": 1.0}}}))
    bench_exact.main(["--smoke", "--out", str(out)])
    report = json.loads(out.read_text())
    assert list(report["models"]) == ["bert", "tiny"]
    tiny = report["models"]["tiny"]
    names = [row["name"] for row in tiny["variants"]]
    assert names[-1] == "fxopt"
    assert "PyTorch eager" in names
    assert tiny["peak_rss_bytes"] > 0
    assert tiny["checks"]["artifact_error"] < 1e-3
