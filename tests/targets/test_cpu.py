"""The target `cpu`: the machine, and prices without building."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.prices import KernelTable, Place
from fxopt.prices.predict import learn
from fxopt.registry import Registry
from fxopt_plugins import targets
from fxopt_plugins.engines import fxopt_engines
from fxopt_plugins.engines.onnxruntime import OnnxRuntime
from fxopt_plugins.targets import cpu
from fxopt_plugins.targets.cpu import Cpu
from tests.engines.nets import CASES, ConvNet, case, program


def test_the_hook_fxopt_targets_brings_the_cpu() -> None:
    registry = Registry()
    registry.register(targets, "targets", "fxopt")
    assert registry.targets["cpu"] is Cpu


def test_its_engines_exist() -> None:
    assert set(Cpu.engines) <= {engine.name for engine in fxopt_engines()}


def test_the_machine_is_stamped_in_full() -> None:
    machine = Cpu().machine()
    assert machine.cpu
    assert machine.cores >= 1
    assert machine.memory_bytes > 2**28
    assert {"python", "torch"} <= set(machine.versions)


@pytest.mark.parametrize(
    ("flags", "dtype", "grid"),
    [
        ("avx2 fma avx512f avx512_vnni avx512_bf16", "bfloat16", 16),
        ("avx2 fma", "int8", 8),
        ("asimd asimdhp", "float16", 8),
    ],
)
def test_capabilities_follow_the_instruction_sets(
    flags: str, dtype: str, grid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpuinfo", lambda: {"model": "some", "flags": flags, "ghz": "2.0"})
    found = Cpu().capabilities()
    assert dtype in found.dtypes
    assert found.channel_grid == grid
    assert ("bfloat16" in found.dtypes) == ("bf16" in flags)


@pytest.mark.parametrize("net", CASES)
def test_prices_are_finite_and_the_same_each_time(net: str) -> None:
    model, _ = case(net)
    price = Cpu().predict(model, OnnxRuntime(threads=1))
    assert price == Cpu().predict(model, OnnxRuntime(threads=1))
    assert price.source == "predicted"
    assert 0 < price.latency_ms.low < price.latency_ms.estimate < price.latency_ms.high < math.inf
    assert price.size_bytes == model.weight_bytes


def test_more_work_costs_more_and_more_threads_cost_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    small, large = (program(nn.Conv2d(64, 64, 3), torch.randn(1, 64, size, size)) for size in (16, 64))
    target, one, four = Cpu(), OnnxRuntime(threads=1), OnnxRuntime(threads=4)
    assert target.predict(small, one).latency_ms.estimate < target.predict(large, one).latency_ms.estimate
    assert target.predict(large, four).latency_ms.estimate < target.predict(large, one).latency_ms.estimate


def test_a_dynamic_batch_is_priced_at_its_measured_size() -> None:
    nets = [program(ConvNet(), torch.randn(2, 3, 16, 16), dynamic=True, measured=n) for n in (1, 8)]
    peaks = [Cpu().predict(net, OnnxRuntime()).peak_bytes or 0 for net in nets]
    assert peaks[1] == 8 * peaks[0]


def test_a_price_stays_the_same_until_a_run_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FXOPT_PRICES", str(tmp_path))
    monkeypatch.setattr(cpu, "_ENOUGH", 1)
    net, engine = program(nn.ReLU(), torch.randn(4, 4)), OnnxRuntime(threads=1)
    place, table = Place.of(engine, Cpu().machine()), KernelTable()

    def measure(milliseconds: float) -> float:
        learn(table, place, net, [{"covers": [node.name], "ms": milliseconds} for node in net.calls])
        found = Cpu().price(net, engine)
        assert found is not None
        return found.milliseconds

    Cpu().refresh()
    first = measure(1.0)
    assert measure(4.0) == first
    Cpu().refresh()
    assert measure(1.0) > 1.5 * first
    Cpu().refresh()
    table.close()
