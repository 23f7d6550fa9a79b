"""What Programs take, foretold from what builds of others showed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxopt.ir.program import Program
from fxopt.prices import KernelTable, Place
from fxopt.prices.estimate import Roofline
from fxopt.prices.predict import Overheads, Predictor, labels, learn, overheads, wholes
from tests.engines.nets import program

HERE = Place("engine", "1", "a CPU", (), 2)
ROOF = Roofline({"float32": 1e11}, 2e10)


class Layers(nn.Module):
    """Convolutions with activations, some way in."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        pairs = itertools.pairwise(widths)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def layers(*widths: int) -> Program:
    return program(Layers(*widths), torch.randn(1, widths[0], 16, 16))


def profiled(net: Program, efficiency: float = 0.5) -> list[dict[str, Any]]:
    """As an engine that fuses activations into convolutions, and reaches a share of the roofline."""
    found = []
    names = [node.name for node in net.calls]
    for layer, activation in zip(names[::2], names[1::2], strict=True):
        weight = net.node(layer).args[1].meta["val"]
        out = net.node(layer).meta["val"]
        flops = 2 * out.numel() * weight.shape[1] * 9 + out.numel()
        found.append({"covers": [layer, activation], "ms": 1e3 * flops / 1e11 / efficiency})
    return found


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KernelTable]:
    found = KernelTable(tmp_path / "kernels.sqlite")
    yield found
    found.close()


def test_what_was_profiled_is_foretold_exactly(table: KernelTable) -> None:
    net = layers(8, 16, 32)
    kernels = profiled(net)
    learn(table, HERE, net, kernels)
    found = Predictor(table, HERE, ROOF).predict(net)
    assert [item.piece.nodes for item in found.pieces] == [tuple(kernel["covers"]) for kernel in kernels]
    assert found.milliseconds == pytest.approx(sum(kernel["ms"] for kernel in kernels))
    assert found.measured_share == 1


def test_other_sizes_are_foretold_from_those_that_were_profiled(table: KernelTable) -> None:
    for widths in ((8, 16, 32), (16, 64, 32), (32, 128, 16), (64, 64, 128)):
        net = layers(*widths)
        learn(table, HERE, net, profiled(net))
    net = layers(24, 48, 96)
    found = Predictor(table, HERE, ROOF).predict(net)
    assert found.milliseconds == pytest.approx(sum(kernel["ms"] for kernel in profiled(net)), rel=0.1)
    assert found.measured_share == 0
    assert 0 < found.spread < 0.5


def test_of_another_place_nothing_is_known(table: KernelTable) -> None:
    net = layers(8, 16)
    learn(table, HERE, net, profiled(net))
    other = Predictor(table, Place("engine", "2", "a CPU", (), 2), ROOF)
    assert other.known == 0
    assert len(other.predict(net).pieces) == 2  # nor which calls run together
    assert all(item.estimate.source == "roofline" for item in other.predict(net).pieces)


def test_what_an_engine_runs_together_does_not_depend_on_threads(table: KernelTable) -> None:
    net = layers(8, 16)
    learn(table, HERE, net, profiled(net))
    alone = Predictor(table, Place("engine", "1", "a CPU", (), 1), ROOF)
    assert alone.known == 0
    assert len(alone.predict(net).pieces) == 1


def test_what_calls_cost_beside_their_kernels_is_seen_in_whole_builds(table: KernelTable) -> None:
    for widths in ((8, 16), (8, 16, 32, 64), (64, 64, 64, 64, 64), (128, 128, 256), (16, 16, 16)):
        net = layers(*widths)
        kernels = profiled(net)
        learn(table, HERE, net, kernels, 0.95 * sum(kernel["ms"] for kernel in kernels) + 0.02)
    found = overheads(table.prices(HERE))
    assert found.share == pytest.approx(0.95, abs=0.03)
    assert found.whole(0.0, 0) == pytest.approx(0.02, abs=0.015)


def test_what_builds_show_of_one_place_says_nothing_of_another(table: KernelTable) -> None:
    """The same Program takes other times there, whole and in pieces, and may be cut into others."""
    alone = Place("engine", "1", "a CPU", (), 1)
    for widths in ((8, 16), (8, 16, 32, 64), (64, 64, 64, 64, 64), (128, 128, 256), (16, 16, 16)):
        net = layers(*widths)
        kernels = profiled(net)
        total = sum(kernel["ms"] for kernel in kernels)
        learn(table, alone, net, [{**kernel, "ms": 2 * kernel["ms"]} for kernel in kernels], 2 * total)
        learn(table, HERE, net, kernels, total)
    for place in (alone, HERE):
        assert overheads(table.prices(place)).share == pytest.approx(1, abs=1e-3)


def test_without_builds_a_program_takes_what_its_pieces_do() -> None:
    found = overheads({})
    assert (found.share, found.piece_ms, found.call_ms) == pytest.approx((1, 0, 0))
    assert Overheads(0.9, 0.01, 0.1).whole(10, 5) == pytest.approx(9.15)


def test_a_build_is_told_from_its_pieces(table: KernelTable) -> None:
    net = layers(8, 16)
    learn(table, HERE, net, profiled(net), 1.0)
    assert 1.0 in {price.milliseconds for price in table.prices(HERE).values()}
    assert Predictor(table, HERE, ROOF).known == 1


def test_an_engine_that_tells_nothing_teaches_nothing(table: KernelTable) -> None:
    learn(table, HERE, layers(8, 16), [], 1.0)
    assert table.prices(HERE) == {}


def test_an_empty_program_takes_nothing(table: KernelTable) -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    found = Predictor(table, HERE, ROOF).predict(program(Nothing(), torch.randn(2)))
    assert (found.milliseconds, found.spread, found.pieces) == (0, 0, ())
    assert math.isfinite(found.measured_share)


def test_a_build_is_found_again_by_its_label(table: KernelTable) -> None:
    net = layers(8, 16)
    learn(table, HERE, net, profiled(net), 1.0, "a probe")
    assert labels(table.prices(HERE).values()) == {"a probe"}


def test_a_build_that_was_only_profiled_is_found_again_too_and_says_nothing_of_wholes(table: KernelTable) -> None:
    learn(table, HERE, layers(8, 16), profiled(layers(8, 16)), label="a probe")
    assert labels(table.prices(HERE).values()) == {"a probe"}
    assert wholes(table.prices(HERE)) == 0
    assert overheads(table.prices(HERE)) == overheads({})
    learn(table, HERE, layers(8, 32), profiled(layers(8, 32)), 1.0, "another")
    assert wholes(table.prices(HERE)) == 1
