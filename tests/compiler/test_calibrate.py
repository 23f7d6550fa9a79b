"""In which order probes are built for a profile."""

from __future__ import annotations

import torch
from torch import nn

from fxopt.compiler.calibrate import Job, turns
from fxopt.contracts.target import Probe
from fxopt.registry import Registry

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
