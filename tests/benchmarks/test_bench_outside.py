"""The benchmark of the outside plugin's engine, on a tiny net."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks import bench_outside


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed")
def test_smoke_picks_engines_and_compares_them_in_one_session(tmp_path: Path) -> None:
    out = tmp_path / "outside.json"
    bench_outside.main(["--smoke", "--out", str(out)])
    report = json.loads(out.read_text())
    without, with_ = (report["choices"][name] for name in bench_outside.CHOICES)
    assert "ncnn" not in without["engines"]
    assert "ncnn" in with_["engines"]
    engines = report["session"]["engines"]
    assert set(engines) == set(bench_outside.ENGINES)
    assert engines["ncnn"]["ratio"] is None
    assert engines["openvino"]["ratio"]["low"] > 0
    assert max(row["max_abs_difference"] for row in engines.values()) < 1e-3
    assert report["machine"]["isa"] is not None
