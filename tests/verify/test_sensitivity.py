"""Sensitivity: the loss that rewrites are expected to bring, in one run over the data for all of them and all engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.search import Search, search
from fxopt.contracts.passes import Pass
from fxopt.data import Data
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.registry import Registry
from fxopt_passes.quantize.half import Bfloat16
from fxopt_passes.quantize.int8 import Int8
from fxopt_passes.quantize.weights import Int4Weight, Int8Weight
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.engines.nets import program
from tests.passes.apply import apply
from tests.passes.quantize.calibrated import residual_network

RULES: tuple[Pass, ...] = (Int8Weight(), Bfloat16())


class Counted:
    """Samples that know how often they were gone through."""

    def __init__(self) -> None:
        self.count = 0
        self.samples = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(3))

    def __iter__(self) -> Iterator[Any]:
        self.count += 1
        yield self.samples


def offers(found: Program, data: Data, *rules: Pass) -> Search:
    context = Context(statistics=Statistics(data))
    return offer(search(found, [], Registry()), rules, Registry(), context)


def test_it_is_near_the_divergence_that_a_small_change_brings() -> None:
    found = residual_network()
    samples = 3 * torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    rule = Bfloat16()
    offered = offers(found, Data.read(samples, found.interface, "calib"), rule)
    known = offered.sensitivity
    assert len(known) == 6
    before = found.run([samples])[0].double().log_softmax(1)
    divergences = {}
    for step in offered.steps:
        after = apply(found, rule, [step.candidate]).run([samples])[0].double().log_softmax(1)
        divergences[step.id] = float((before.exp() * (before - after)).sum(1).mean())
    for identity, divergence in divergences.items():
        assert divergence / 4 < known[identity] < divergence * 4
    assert max(divergences, key=divergences.__getitem__) == max(known, key=known.__getitem__)


def test_all_kinds_are_weighed_in_one_run_as_each_alone() -> None:
    found, source = residual_network(), Counted()
    data = Data.read(source, found.interface, "calib")
    alone = {}
    for rule in RULES:
        alone |= offers(found, data, rule).sensitivity
    source.count = 0
    together = offers(found, data, *RULES).sensitivity
    assert source.count == 1
    assert together == pytest.approx(alone)
    assert all(cost > 0 for cost in together.values())


def test_kinds_of_which_it_does_not_matter_are_not_weighed() -> None:
    found, source = residual_network(), Counted()
    data = Data.read(source, found.interface, "calib")
    basis, context = search(found, [], Registry()), Context(statistics=Statistics(data))
    source.count = 0
    nothing = offer(basis, RULES, Registry(), context, weigh=())
    assert source.count == 0
    assert nothing.sensitivity == {}
    some = offer(basis, RULES, Registry(), context, weigh=["bf16"])
    kinds = {step.id: step.candidate.parameters["kind"] for step in some.steps}
    assert set(some.sensitivity) == {identity for identity, kind in kinds.items() if kind == "bf16"}
    assert set(kinds.values()) > {"bf16"}


def test_the_next_engine_is_planned_for_without_running_the_data_again() -> None:
    found, source = residual_network(), Counted()
    data = Data.read(source, found.interface, "calib")
    basis = search(found, [], Registry())
    context = Context(statistics=Statistics(data), scheme=ONNX_RUNTIME)
    first = offer(basis, (Int8(), *RULES), Registry(), context)
    assert source.count == 4  # when it was checked; ranges, their gradients; sensitivity
    again = offer(basis, (Int8(), *RULES), Registry(), context)
    assert again.sensitivity == first.sensitivity
    assert source.count == 4
    second = offer(basis, (Int8(), Int4Weight()), Registry(), replace(context, scheme=OPENVINO))
    assert set(second.sensitivity) == {step.id for step in second.steps}


def test_sizes_that_a_rewritten_region_takes_are_no_obstacle() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> Any:
            y = F.adaptive_avg_pool2d(self.first(x).relu(), 2)
            return self.last(y.reshape(x.shape[0], -1))

    torch.manual_seed(0)
    found = program(Net(), torch.randn(2, 3, 16, 16), dynamic=True)
    assert any("sym_size" in str(node.target) for node in found.calls)
    context = Context(statistics=Statistics(Data.read(Counted(), found.interface, "calib")), scheme=ONNX_RUNTIME)
    offered = offer(search(found, [], Registry()), [Int8()], Registry(), context)
    assert len(offered.sensitivity) == len(offered.steps) > 0
