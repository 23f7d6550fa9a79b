"""The benchmark of peak memory, on a tiny net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_memory


@pytest.mark.slow
def test_smoke_foretells_what_the_engine_reports(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    bench_memory.main(["--smoke", "--out", str(out)])
    tiny = json.loads(out.read_text())["models"]["tiny"]
    assert tiny["program"]["predicted"] == tiny["program"]["held"] > 0
    for kind in ("float", "int8"):
        assert tiny[kind]["predicted"] == pytest.approx(tiny[kind]["reported"], rel=0.5)
