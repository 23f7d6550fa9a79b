"""The estimate of energy: relative, and by what is computed and moved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt.contracts.price import Piece
from fxopt.ir.capture import capture, export
from fxopt.prices.energy import calls_apart, energy


def a_piece(dtype: str = "float32", flops: float = 0.0, weights: float = 0.0, moved: float = 0.0) -> Piece:
    return Piece("k", {"dtype": dtype, "flops": flops, "weights": weights, "read": moved, "written": 0.0}, ("n",))


def test_integers_take_a_twentieth_of_the_arithmetic_and_a_quarter_of_the_traffic() -> None:
    floats, integers = (energy([a_piece(dtype, flops=1e6)]) for dtype in ("float32", "int8"))
    assert integers == pytest.approx(floats / 20)
    assert energy([a_piece(weights=100.0)]) == pytest.approx(energy([a_piece(weights=400.0)]) / 4)


def test_weights_cost_more_than_activations_that_a_cache_holds() -> None:
    assert energy([a_piece(weights=100.0)]) > 2 * energy([a_piece(moved=100.0)])


def test_it_adds_up_over_the_calls_of_a_program() -> None:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    program = capture(export(net, (torch.randn(1, 64),)))
    pieces = calls_apart(program)
    assert [node for item in pieces for node in item.nodes] == [node.name for node in program.calls]
    assert energy(pieces) == pytest.approx(sum(energy([item]) for item in pieces))
    assert energy(pieces) > 640.0 * 2 * 64 * 64  # every weight comes from memory once
