"""The benchmark of peak memory, on a tiny net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import bench_memory
from fxopt.registry import Registry
from fxopt.testing import captured


@pytest.mark.slow
def test_smoke_foretells_what_the_engine_reports(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    bench_memory.main(["--smoke", "--out", str(out)])
    tiny = json.loads(out.read_text())["models"]["tiny"]
    assert tiny["program"]["predicted"] == tiny["program"]["held"] > 0
    for kind in ("float", "int8"):
        assert tiny[kind]["predicted"] == pytest.approx(tiny[kind]["reported"], rel=0.5)


class Wide(nn.Module):
    """Sums that convolutions take in, of values that they read themselves: those are not written over."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 32, 3, padding=1), nn.Linear(32, 4)
        self.layers = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(3))

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x).relu()
        for layer in self.layers:
            x = (x + layer(x)).relu()
        return self.head(x.mean((2, 3)))


def test_what_a_convolution_reads_is_not_written_over_by_it_as_the_engine_reports() -> None:
    program = captured(lambda s, x: s.net(x), torch.randn(1, 3, 32, 32), net=Wide())
    found = bench_memory.of_engine(program, Registry.load().make_engine("onnxruntime{threads=1}"))
    assert found["predicted"] == pytest.approx(found["reported"], rel=0.1)
    assert found["predicted"] < 2.5 * 32 * 32 * 32 * 4  # two values, no third
