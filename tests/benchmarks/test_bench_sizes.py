"""The benchmark of file sizes, on a tiny net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_sizes
from docs.figures import sizes

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_smoke_writes_each_kind_with_what_it_covers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sizes.json"
    bench_sizes.main(["--smoke", "--out", str(out)])
    report = json.loads(out.read_text())
    engines = report["models"]["tiny"]["engines"]
    assert set(engines) == set(bench_sizes.ENGINES)
    found = engines["onnxruntime"]
    weights = 4 * (16 * 3 * 9 + 10 * 16 * 36)
    assert found["int8_weight"]["payload_bytes"] == weights
    saved = found["float"]["bytes"] - found["int8_weight"]["bytes"]
    assert 0.7 * weights < saved < 0.75 * weights  # three bytes of four, less scales and names
    assert found["int8_weight"]["ratio"] == found["float"]["bytes"] / found["int8_weight"]["bytes"]
    assert "a tiny net | ONNX Runtime" in sizes(report)
    assert "times smaller" in capsys.readouterr().out


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_sizes.main(["no_such_model"])
    assert "unknown model 'no_such_model'" in capsys.readouterr().err
