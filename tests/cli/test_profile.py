"""`fxopt profile`: what it measures, writes, and goes on from."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.cli import main
from fxopt.contracts.engine import Engine
from fxopt.contracts.target import Probe
from fxopt.errors import EngineError
from fxopt.ir.program import Program
from fxopt.prices import KernelTable, Place
from fxopt.prices.builds import Build, Builder
from fxopt.prices.predict import labels
from fxopt.registry import Registry
from fxopt_plugins.targets import cpu
from fxopt_plugins.targets.cpu import Cpu


def small(seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    layers = [nn.Conv2d(3, 8 + seed, 3), nn.ReLU(), nn.Conv2d(8 + seed, 4, 3), nn.ReLU()]
    return nn.Sequential(*layers), (torch.randn(1, 3, 12, 12),)


@pytest.fixture(autouse=True)
def two_probes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FXOPT_PRICES", str(tmp_path / "prices"))
    monkeypatch.setattr(Cpu, "probes", lambda self: iter([Probe("one", small), Probe("two", small, 1)]))


@pytest.fixture
def table() -> Iterator[KernelTable]:
    found = KernelTable()
    yield found
    found.close()


def test_a_machine_is_measured_into_a_table_and_a_readable_profile(
    table: KernelTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--engine", "onnxruntime"]) == 0
    written = tomllib.loads((tmp_path / "prices" / "cpu.toml").read_text())
    machine = Cpu().machine()
    assert written["machine"]["cpu"] == machine.cpu
    for threads in {1, machine.cores}:
        told = written["engine"]["onnxruntime"][f"threads_{threads}"]
        engine = dataclasses.replace(Registry.load().make_engine("onnxruntime"), threads=threads)
        known = table.prices(Place.of(engine, machine))
        assert told["kernels"] == sum("bare" in price.features for price in known.values()) >= 4
        wholes = sum("bare" not in price.features for price in known.values())
        # Each probe as a whole and the sum of its kernels, in floats, and on integers where the engine has them here; one half.
        assert wholes in (4, 8, 10)
        assert told["peak_gflops"]["float32"] > 0
    assert f"profile: {tmp_path / 'prices' / 'cpu.toml'}" in capsys.readouterr().out


def linear(seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256 + 64 * seed)), (torch.randn(1, 16, 256),)


def test_of_the_first_probes_every_kind_of_integers_is_timed_that_the_engine_computes_in(
    table: KernelTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cpu, "probes", lambda self: iter([Probe("one", linear), Probe("two", linear, 1)]))
    assert main(["profile", "--engine", "onnxruntime"]) == 0
    engine = dataclasses.replace(Registry.load().make_engine("onnxruntime"), threads=1)
    told = labels(table.prices(Place.of(engine, Cpu().machine())).values())
    assert {"one, float", "one, int8", "one, int8_dynamic", "one, int4_weight", "two, float", "two, int8"} <= told
    assert "one, int8, every 2" in told
    assert not {"two, int8_dynamic", "two, int4_weight", "two, int8, every 2"} & told


def test_a_kind_that_is_offered_for_next_to_nothing_of_a_probe_is_not_timed_on_it(
    table: KernelTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mostly_convolutions(seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        layers = [nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 256, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(256, 256)), (torch.randn(1, 3, 32, 32),)

    monkeypatch.setattr(Cpu, "probes", lambda self: iter([Probe("one", mostly_convolutions), Probe("two", small)]))
    assert main(["profile", "--engine", "onnxruntime"]) == 0
    engine = dataclasses.replace(Registry.load().make_engine("onnxruntime"), threads=1)
    told = labels(table.prices(Place.of(engine, Cpu().machine())).values())
    assert {"one, float", "one, int8"} <= told
    assert "one, int8_dynamic" not in told


def test_what_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["profile", "--engine", "onnxruntime", "--json"]) == 0
    monkeypatch.setattr(Builder, "build", lambda *arguments: pytest.fail("it was measured before"))
    assert main(["profile", "--engine", "onnxruntime", "--json"]) == 0


def test_probes_that_time_does_not_allow_are_left_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--engine", "onnxruntime", "--time-limit", "0.000001s", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["probes_left"] == 2
    assert told["engine"] == {}


def test_an_engine_that_fails_at_a_probe_is_said_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    genuine, calls = Builder.build, []

    def failing(self: Builder, engine: Engine, program: Program) -> AbstractContextManager[Build]:
        calls.append(program)
        if len(calls) == 1:
            raise EngineError("onnxruntime: emit: it does not")
        return genuine(self, engine, program)

    monkeypatch.setattr(Builder, "build", failing)
    assert main(["profile", "--engine", "onnxruntime", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"]["onnxruntime"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "none"], "none"),
        (["--target", "none"], "none"),
        (["-o", "no/such/folder/file.toml"], "cannot be written"),
        (["--time-limit", "fast"], "fast"),
        (["--input", "x=1x3:float32"], "name one"),
        (["no_such_model.pt2"], "no_such_model.pt2"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert says in lines[-1]


NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.Tanh(), nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.Tanh()]
    return nn.Sequential(*layers).eval(), torch.randn(1, 3, 20, 20)
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "zoo_to_profile.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "zoo_to_profile:make"
    sys.modules.pop("zoo_to_profile", None)


@pytest.fixture
def wide_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough kernels for prices to rest on."""
    monkeypatch.setattr(cpu, "_ENOUGH", 2)


@pytest.mark.usefixtures("wide_probes")
def test_of_a_model_what_is_missing_is_timed_and_the_next_time_it_is_known(
    zoo: str, table: KernelTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--engine", "onnxruntime", "--json"]) == 0
    assert "model" not in json.loads(capsys.readouterr().out)
    place = Place.of(replace(Registry.load().make_engine("onnxruntime"), threads=1), Cpu().machine())
    before = table.prices(place)
    assert main(["profile", zoo, "--engine", "onnxruntime", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["model"]
    assert told["timed"] >= 4
    new = {kernel: price for kernel, price in table.prices(place).items() if kernel not in before}
    assert {price.source for price in new.values()} == {"micro"}
    assert any("tanh" in kernel for kernel in new)
    # A part also shows which calls are one kernel, of which the next call times some anew.
    assert main(["profile", zoo, "--engine", "onnxruntime", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["timed"] < told["timed"] / 2


@pytest.mark.usefixtures("wide_probes")
def test_what_time_does_not_allow_of_a_model_is_said(zoo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--engine", "onnxruntime"]) == 0
    assert main(["profile", zoo, "--engine", "onnxruntime", "--time-limit", "0.000001s"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(zoo))
    timed, left = map(int, re.findall(r"\d+", line.partition(": ")[2]))
    assert (timed, left > 0) == (0, True)


def test_a_target_that_is_not_here_has_nothing_to_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Cpu, "probes", lambda self: ())
    assert main(["profile"]) == 2
    assert "nothing to measure" in capsys.readouterr().err


def test_pytorch_computes_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several that spin for one another take many times as long where others use the machine, and are not what is timed."""
    used: list[int] = []

    def watched(seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        used.append(torch.get_num_threads())
        return small(seed)

    monkeypatch.setattr(Cpu, "probes", lambda self: iter([Probe("one", watched)]))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert main(["profile", "--engine", "onnxruntime"]) == 0
        assert set(used) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
