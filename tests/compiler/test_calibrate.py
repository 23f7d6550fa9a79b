"""In which order probes are built for a profile."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fxopt.compiler import calibrate
from fxopt.compiler.calibrate import Job, turns
from fxopt.contracts.target import Probe
from fxopt.prices.place import Place
from fxopt.prices.predict import wholes
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry
from tests.engines.nets import program

PROBES = [Probe(str(number), lambda seed: (nn.ReLU(), (torch.ones(1),))) for number in range(6)]


def named(jobs: list[Job]) -> list[tuple[str, list[str]]]:
    return [(probe.name, [job.kind for job in wanted]) for probe, wanted in turns(PROBES, jobs)]


def test_rare_kinds_are_built_of_few_probes_and_after_some_of_the_others() -> None:
    engine = Registry.load().make_engine("onnxruntime")
    often, rarely = Job(engine, "often", [{}]), Job(engine, "rarely", [{}], first=2, after=3)
    assert named([rarely, often]) == [
        *((str(number), ["often"]) for number in range(3)),
        ("0", ["rarely"]),
        ("3", ["often"]),
        ("1", ["rarely"]),
        ("4", ["often"]),
        ("5", ["often"]),
    ]


def test_what_is_built_of_a_probe_in_one_turn_is_built_together() -> None:
    engine = Registry.load().make_engine("onnxruntime")
    floats, integers = Job(engine, "float", [{}], first=1), Job(engine, "int8", [{}], first=9)
    assert named([floats, integers]) == [("0", ["float", "int8"]), *((str(number), ["int8"]) for number in range(1, 6))]


def test_few_builds_of_a_place_are_timed_without_a_profiler_and_all_are_known_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "_WHOLES", 2)
    registry = Registry.load()
    engine, machine = registry.make_engine("onnxruntime"), registry.make_target("cpu").machine()
    timed: list[int] = []

    def builder_of(width: int, net: Any) -> Any:
        kernels = [{"name": node.name, "covers": [node.name], "ms": 1.0} for node in net.calls]
        build = SimpleNamespace(
            under=lambda changes: replace(engine, **changes),
            kernels=lambda there: kernels,
            milliseconds=lambda there: timed.append(width) or 1.0,
        )
        return SimpleNamespace(build=lambda engine, program: nullcontext(build))

    table, job = KernelTable(tmp_path / "kernels.sqlite"), Job(engine, "float", [{"threads": 1}, {"threads": 2}])
    for width in (4, 8, 16):
        net = program(nn.Sequential(nn.Linear(3, width), nn.ReLU()), torch.ones(1, 3))
        probe = Probe(f"of {width}", PROBES[0].make)
        job.run(builder_of(width, net), probe, net, machine, table)
        assert job.left(probe, machine, table).options == []
    assert timed == [4, 4, 8, 8]
    assert wholes(table.prices(Place.of(replace(engine, threads=1), machine))) == 2
