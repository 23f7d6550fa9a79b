"""Programs built, profiled and timed under several options of their engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fxopt.contracts.engine import Engine
from fxopt.errors import EngineError
from fxopt.measure import Worker
from fxopt.prices.builds import Builder
from fxopt.registry import Registry
from tests.engines.nets import ConvNet, program

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

NET = program(ConvNet().eval(), torch.randn(1, 3, 16, 16))


@pytest.fixture
def engine() -> Engine:
    return Registry.load().make_engine("onnxruntime")


def test_one_build_is_timed_under_several_options(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    emitted, genuine = [], Worker.emit

    def emit(self: Worker, spec: str, saved: Path, out: Path) -> object:
        emitted.append(spec)
        return genuine(self, spec, saved, out)

    monkeypatch.setattr(Worker, "emit", emit)
    with Builder() as builder, builder.build(engine, NET) as build:
        for options in ({"threads": 1}, {"threads": 1, "spinning": False}):
            there = build.under(options)
            told = json.loads((build.artifact / "manifest.json").read_text())["options"]
            assert {name: told[name] for name in options} == options
            assert {name: getattr(there, name) for name in options} == options
            kernels = build.kernels(there)
            assert any("conv2d" in name for kernel in kernels for name in kernel["covers"])
            assert build.milliseconds(there) > 0
    assert len(emitted) == 1
    assert not build.artifact.exists()


def test_processes_are_kept_from_one_build_to_the_next(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    started, genuine = [], Worker._start

    def start(self: Worker) -> object:
        started.append(self)
        return genuine(self)

    monkeypatch.setattr(Worker, "_start", start)
    with Builder() as builder:
        for _ in range(2):
            with builder.build(engine, NET) as build:
                assert build.milliseconds(build.under({"threads": 1})) > 0
    assert len(started) == 2  # one that builds, and one in which it runs


def test_an_engine_that_fails_leaves_a_builder_of_use(engine: Engine) -> None:
    table = torch.zeros(2, 2, dtype=torch.bfloat16)
    odd = program(torch.nn.Threshold(0.0, 0.0), table)
    with Builder() as builder:
        with pytest.raises(EngineError), builder.build(engine, odd) as build:
            build.kernels(build.under({"threads": 1}))
        with builder.build(engine, NET) as build:
            assert build.milliseconds(build.under({"threads": 1})) > 0
