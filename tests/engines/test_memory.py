"""What ONNX Runtime reports that a build holds at once, beside what is foretold of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_memory import of_engine
from fxopt import Registry
from fxopt.compiler.lowered import Lowering, of_made_up_data
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

    mask: Tensor | None

    def __init__(self, mask: Tensor | None = None) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, self.mask)
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


class Grouped(nn.Module):
    """A convolution in groups of 4 channels, less than a block, between others that run in blocks: (N, 3, 32, 32) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=8)
        self.last, self.head = nn.Conv2d(32, 32, 3, padding=1), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x).relu()
        return self.head((x + self.last(self.mix(x).relu())).relu().mean((2, 3)))


class Shorter(nn.Module):
    """A branch that is wide at first, and beside it a short one, as where ResNet's images shrink: (N, 3, 32, 32) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(128, 4)
        self.first, self.second = nn.Conv2d(16, 64, 3, padding=1), nn.Conv2d(64, 128, 3, 2, 1)
        self.short = nn.Conv2d(16, 128, 1, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x).relu()
        y = self.second(self.first(x).relu())
        return self.head((y + self.short(x)).relu().mean((2, 3)))


class Dense(nn.Module):
    """Concatenations of all that came before, as of DenseNet: (N, 3, 32, 32) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(64, 4)
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in (16, 32, 48))
        self.layers = nn.ModuleList(nn.Conv2d(size, 16, 3, padding=1) for size in (16, 32, 48))

    def forward(self, x: Tensor) -> Any:
        parts = [self.stem(x)]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            parts.append(layer(norm(torch.cat(parts, 1)).relu()))
        return self.head(torch.cat(parts, 1).mean((2, 3)))


class Mixed(nn.Module):
    """Linear layers with what runs in floats between them, as of transformers: (N, 64, 32) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(32), nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, x: Tensor) -> Any:
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))


NETS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "attention": (Attention(), (1, 128, 64)),
    "masked": (Attention(torch.ones(128, 128).tril() > 0), (1, 128, 64)),
    "turned": (Turned(), (1, 16, 32, 32)),
    "wide": (Wide(), (1, 3, 32, 32)),
    "grouped": (Grouped(), (1, 3, 32, 32)),
    "shorter": (Shorter(), (1, 3, 32, 32)),
    "dense": (Dense(), (1, 3, 32, 32)),
    "mixed": (Mixed(), (1, 64, 32)),
}


@pytest.mark.parametrize("kind", ["float", "int8"])
@pytest.mark.parametrize("name", NETS)
def test_what_is_foretold_is_within_a_tenth_of_what_the_engine_reports(name: str, kind: str, engine: Engine) -> None:
    net, x = NETS[name]
    traced = captured(lambda s, x: s.net(x), torch.randn(*x), net=net.eval())
    if kind == "int8":
        registry = Registry.load()
        ((_, traced),) = of_made_up_data(traced, [Lowering("int8", engine)], registry, registry.make_target("cpu"))
    found = of_engine(traced, engine)
    assert found["predicted"] == pytest.approx(found["reported"], rel=0.1)


def test_a_worker_tells_what_an_artifact_reports(engine: Engine, tmp_path: Path) -> None:
    net: Program = program(nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Sigmoid()), torch.randn(1, 3, 32, 32))
    (tmp_path / "out").mkdir()
    engine.emit(net, tmp_path / "out")
    values = [torch.randn(1, 3, 32, 32).numpy()]
    with Worker() as worker:
        assert (worker.peak_bytes(engine.spec(), tmp_path / "out", values) or 0) >= 32 * 32 * 32 * 4
