"""Statistics over calibration data: the right values, once for all who ask, and none without data."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.fx import Node

import fxopt
from fxopt.compiler.context import Context
from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.data import Data
from fxopt.errors import DataError
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.ir.twin import double
from fxopt.registry import Registry

aten = torch.ops.aten
SIZES = (3, 1, 5)  # of the batches


class Net(nn.Module):
    """Values of four, two, and three axes, one whose channels are samples, a mask, and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.linear = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.conv(x).relu()
        pooled = self.linear(y.mean((2, 3)))
        return pooled, y.flatten(2).transpose(1, 2).tanh(), pooled.t().exp(), y > 0, pooled.sum()


@functools.cache
def program() -> Program:
    torch.manual_seed(0)
    batch = torch.export.Dim("N", min=1, max=8)
    return capture(export(Net(), (torch.randn(2, 3, 6, 6),), dynamic_shapes=({0: batch},)))


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 3, 6, 6, generator=generator) * size + 10 for size in SIZES]


class Counted:
    """Batches that know how often they were gone through."""

    def __init__(self) -> None:
        self.rounds = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.rounds += 1
        return iter(batches())


def statistics(program: Program, source: Any = None) -> Statistics:
    return Statistics(Data.read(batches() if source is None else source, program.interface, "calib"))


def call(program: Program, operator: Any) -> Node:
    return next(node for node in program.calls if node.target is operator)


# -- values ------------------------------------------------------------------------------------------------------


def by_hand(rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a tensor of shape (channels, all samples' values), in float64."""
    return {
        "min": rows.amin(1),
        "max": rows.amax(1),
        "mean": rows.mean(1),
        "absmax": rows.abs().amax(1),
        "var": rows.var(1, correction=0),
    }


@pytest.mark.parametrize("kind", ["min", "max", "mean", "absmax", "var"])
@pytest.mark.parametrize(
    ("operator", "rows"),
    [
        (aten.relu.default, lambda y, pooled: y.movedim(1, 0).flatten(1)),
        (aten.linear.default, lambda y, pooled: pooled.t()),
        (aten.tanh.default, lambda y, pooled: y.movedim(1, 0).flatten(1).tanh()),
        (aten.exp.default, lambda y, pooled: pooled.exp().reshape(1, -1)),
    ],
    ids=["four axes: axis 1", "two axes: the last", "three axes: the last", "a dynamic size: one channel"],
)
def test_values_over_batches_of_unequal_size_are_those_over_all_samples(operator: Any, rows: Any, kind: str) -> None:
    source = program()
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        y = net.conv(torch.cat(batches())).relu()
        expected = by_hand(rows(y, net.linear(y.mean((2, 3)))).double())[kind]
    found = statistics(source).get(source, call(source, operator), kind)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_an_input_has_statistics_too() -> None:
    source = program()
    found = statistics(source).get(source, next(source.nodes), "mean")
    torch.testing.assert_close(found, torch.cat(batches()).double().mean((0, 2, 3)), rtol=1e-12, atol=0)


def test_means_are_accumulated_in_double() -> None:
    source = capture(export(nn.ReLU(), (torch.ones(1, 1),)))
    data = torch.tensor([[1e8], [1.0], [1.0]])
    (node,) = source.calls
    assert statistics(source, data).get(source, node, "mean").tolist() == [(1e8 + 2) / 3]


def test_a_sum_of_all_samples_is_one_channel() -> None:
    source = program()
    assert statistics(source).get(source, call(source, aten.sum.default), "max").shape == (1,)


def test_the_float64_twin_has_nearly_the_same_statistics() -> None:
    source = program()
    twin, known = double(source), statistics(source)
    native, exact = (known.get(p, call(p, aten.linear.default), "var") for p in (source, twin))
    torch.testing.assert_close(native, exact, rtol=1e-4, atol=0)


# -- who asks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unclamp(Pass):
    """Takes out a relu whose input was never negative, and remembers what it was told."""

    name = "unclamp"
    told: ClassVar[list[Any]] = []

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target is aten.relu.default:
                low = view.statistics(node.args[0], "min")  # type: ignore[arg-type]
                self.told.append(low)
                if low is None:
                    view.decline(node, "no calibration data")
                elif low.min() >= 0:
                    yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(aten.clone.default, (node.args[0],)))


class UnclampToo(Unclamp):
    name = "unclamp_too"


def registry(*passes: type[Pass]) -> Registry:
    found = Registry()
    plugin = type("Plugin", (), {"fxopt_passes": staticmethod(fxopt.hookimpl(lambda: list(passes)))})()
    found.register(plugin, "test", "test-distribution")
    return found


class Positive(nn.Module):
    """A relu that positive inputs do not need."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1).relu() * 2


def positive() -> Program:
    return capture(export(Positive(), (torch.randn(2, 3),), dynamic_shapes=({0: torch.export.Dim("N", min=1)},)))


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    Unclamp.told.clear()


def test_passes_are_told_through_the_view_and_the_data_are_run_once_for_all() -> None:
    source, counted = program(), Counted()
    known = statistics(source, counted)
    checked = counted.rounds
    plugins = registry(Unclamp, UnclampToo)
    found = search(source, plugins.make_passes(None), plugins, Context(statistics=known))
    assert found.faults == {}
    assert counted.rounds == checked + 1
    expected = known.get(source, call(source, aten.conv2d.default), "min")
    assert len(Unclamp.told) > 1
    assert all(low.equal(expected) for low in Unclamp.told)


def test_nothing_is_run_before_somebody_asks() -> None:
    source, counted = program(), Counted()
    known = statistics(source, counted)
    checked = counted.rounds
    search(source, (), Registry(), Context(statistics=known))
    assert (counted.rounds, known.asked) == (checked, False)
    known.get(source, call(source, aten.relu.default), "max")
    assert (counted.rounds, known.asked) == (checked + 1, True)


def test_an_equal_program_is_not_run_again_but_a_changed_one_is() -> None:
    source, again, counted = program(), program.__wrapped__(), Counted()
    known = statistics(source, counted)
    known.get(source, call(source, aten.relu.default), "max")
    rounds = counted.rounds
    known.get(again, call(again, aten.linear.default), "min")
    assert counted.rounds == rounds
    edit = source.edit()
    with edit, edit.step(Candidate("negate", ("x",), frozenset(("relu",)))):
        edit.replace(edit.node("relu"), edit.call(aten.neg.default, (edit.node("relu").args[0],)))
    changed = edit.program
    assert not known.get(changed, call(changed, aten.linear.default), "min").equal(
        known.get(source, call(source, aten.linear.default), "min")
    )


def test_without_calibration_data_there_are_no_statistics() -> None:
    plugins = registry(Unclamp)
    found = search(program(), plugins.make_passes(None), plugins)
    assert Unclamp.told
    assert all(low is None for low in Unclamp.told)
    assert [decline.reason for decline in found.declines] == ["no calibration data"]


def test_a_step_that_rests_on_statistics_is_replayed_with_them() -> None:
    source = positive()
    plugins = registry(Unclamp)
    (node,) = (node for node in source.calls if node.target is aten.relu.default)
    step = fxopt.Step(Candidate("unclamp", (node.name,), frozenset({node.name})), "unclamp", 0)
    known = statistics(source, torch.rand(4, 3))
    after, skipped = replay(source, [step], plugins, Context(statistics=known))
    assert (skipped, [n.target for n in after.calls]) == ([], [aten.add.Tensor, aten.clone.default, aten.mul.Tensor])
    assert replay(source, [step], plugins)[1] == [step.id]


# -- what cannot be answered -------------------------------------------------------------------------------------


def test_a_constant_a_mask_and_an_unknown_kind_have_no_statistics() -> None:
    source = program()
    known = statistics(source)
    weight = next(node for node in source.nodes if node.op == "get_attr")
    for node in (weight, call(source, aten.gt.Scalar)):
        with pytest.raises(ValueError, match=f"{node.name} has no statistics"):
            known.get(source, node, "max")
    with pytest.raises(ValueError, match="unknown statistic 'maximum'; did you mean 'max'"):
        known.get(source, weight, "maximum")


def test_data_that_the_model_fails_on_are_no_fault_of_the_pass_that_asks() -> None:
    @dataclass(frozen=True)
    class Asks(Unclamp):
        def propose(self, program: Program, view: View) -> Iterator[Candidate]:
            view.statistics(next(program.calls), "max")
            yield from ()

    source = capture(export(nn.Embedding(4, 2), (torch.zeros(1, 3, dtype=torch.int64),)))
    known = statistics(source, torch.full((1, 3), 9))
    plugins = registry(Asks)
    with pytest.raises(DataError, match="the model cannot be run on the data: .*index out of range") as caught:
        search(source, plugins.make_passes(None), plugins, Context(statistics=known))
    assert "\n" not in str(caught.value)
