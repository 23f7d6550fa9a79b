"""What ONNX Runtime reports that a build holds at once, beside what is foretold of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_memory import of_engine
from fxopt.contracts.engine import Engine
from fxopt.ir.program import Program
from fxopt.measure import Worker
from fxopt.testing import captured
from tests.engines.nets import program

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


@pytest.fixture
def engine() -> Engine:
    from fxopt_plugins.engines.onnxruntime import OnnxRuntime

    return OnnxRuntime(threads=1)


class Attention(nn.Module):
    """(N, length, 64) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))


class Turned(nn.Module):
    """A depthwise convolution and a mixing of channels in the other layout, as of ConvNeXt: (N, 16, 32, 32) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 7, padding=3, groups=16)
        self.norm, self.mix = nn.LayerNorm(16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Any:
        y = self.mix(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        return x + y.permute(0, 3, 1, 2)


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


@pytest.mark.parametrize(
    ("net", "x", "off"),
    [(Attention(), (1, 128, 64), 0.4), (Turned(), (1, 16, 32, 32), 0.4), (Wide(), (1, 3, 32, 32), 0.1)],
    ids=["attention", "turned", "wide"],
)
def test_what_is_foretold_is_near_what_the_engine_reports(
    net: nn.Module, x: tuple[int, ...], off: float, engine: Engine
) -> None:
    """Of attentions and other layouts the Program does not tell in which order copies are made."""
    found = of_engine(captured(lambda s, x: s.net(x), torch.randn(*x), net=net), engine)
    assert found["predicted"] == pytest.approx(found["reported"], rel=off)


def test_a_worker_tells_what_an_artifact_reports(engine: Engine, tmp_path: Path) -> None:
    net: Program = program(nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Sigmoid()), torch.randn(1, 3, 32, 32))
    (tmp_path / "out").mkdir()
    engine.emit(net, tmp_path / "out")
    values = [torch.randn(1, 3, 32, 32).numpy()]
    with Worker() as worker:
        assert (worker.peak_bytes(engine.spec(), tmp_path / "out", values) or 0) >= 32 * 32 * 32 * 4
