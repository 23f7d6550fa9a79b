"""Rounding by GPTQ: what is lost at the layer's outputs is less than with the nearest integers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fxopt_passes.fusion.linear_maps import linear_map
from fxopt_passes.quantize.gptq import columns, hessians, round_weights
from fxopt_passes.quantize.weights import Int4Weight, Int8Weight, absmax_scales
from tests.passes.apply import apply, captured
from tests.passes.quantize.kinds import offers, quantized, reasons, view


def case(seed: int, rows: int, width: int, samples: int, blocks: int = 0) -> tuple[Tensor, Tensor]:
    """A weight and the Hessian of inputs that depend on one another."""
    torch.manual_seed(seed)
    shape = (blocks,) if blocks else ()
    inputs = torch.randn(*shape, samples, width) @ torch.randn(*shape, width, width)
    return torch.randn(*shape, rows, width), inputs.mT @ inputs / samples


def loss(weight: Tensor, integers: Tensor, scales: Tensor, hessian: Tensor) -> Tensor:
    error = weight - integers * scales.repeat_interleave(weight.shape[-1] // scales.shape[-1], -1)
    return ((error @ hessian) * error).sum(-1)


SIZES = {"seed": st.integers(0, 999), "rows": st.integers(1, 9), "width": st.integers(1, 40)}


@settings(max_examples=40, deadline=None)
@given(**SIZES, samples=st.integers(1, 60), high=st.sampled_from([1, 7, 127]))
def test_no_row_is_worse_off_than_with_the_nearest_integers(
    seed: int, rows: int, width: int, samples: int, high: int
) -> None:
    weight, hessian = case(seed, rows, width, samples)
    scales = absmax_scales(weight, high)[:, None]
    found = round_weights(weight, scales, hessian, -high, high)
    nearest = (weight / scales).round()
    assert found.dtype == torch.int8 and int(found.abs().max()) <= high
    slack = 1e-4 * float(hessian.abs().max())
    assert bool((loss(weight, found, scales, hessian) <= loss(weight, nearest, scales, hessian) + slack).all())


@settings(max_examples=20, deadline=None)
@given(**SIZES)
def test_where_inputs_do_not_depend_on_one_another_the_nearest_integers_come_out(
    seed: int, rows: int, width: int
) -> None:
    weight, _ = case(seed, rows, width, 1)
    scales = absmax_scales(weight, 7)[:, None]
    diagonal = torch.rand(width).diag()
    assert torch.equal(round_weights(weight, scales, diagonal, -7, 7), (weight / scales).round().to(torch.int8))


def test_much_is_gained_where_inputs_depend_on_one_another() -> None:
    weight, hessian = case(0, 64, 300, 1000)  # more columns than a block
    scales = absmax_scales(weight, 7)[:, None]
    found = loss(weight, round_weights(weight, scales, hessian, -7, 7), scales, hessian).mean()
    nearest = loss(weight, (weight / scales).round(), scales, hessian).mean()
    assert found < 0.5 * nearest


def test_blocks_and_groups_are_rounded_each_by_itself() -> None:
    weight, hessian = case(0, 6, 32, 100, blocks=3)
    scales = absmax_scales(weight.unflatten(2, (4, 8)), 7)
    found = round_weights(weight, scales, hessian, -7, 7, group=8)
    for index in range(3):
        assert torch.equal(found[index], round_weights(weight[index], scales[index], hessian[index], -7, 7, group=8))
    assert (
        loss(weight, found, scales, hessian).mean()
        < loss(weight, (weight / scales.repeat_interleave(8, -1)).round(), scales, hessian).mean()
    )


def test_inputs_that_are_always_zero_change_nothing() -> None:
    weight, hessian = case(0, 4, 8, 50)
    hessian[2], hessian[:, 2] = 0, 0
    scales = absmax_scales(weight, 7)[:, None]
    found = round_weights(weight, scales, hessian, -7, 7)
    assert torch.equal(found[:, 2], (weight / scales).round().to(torch.int8)[:, 2])


LAYERS = [
    (nn.Linear(6, 5), (3, 4, 6)),
    (nn.Conv2d(4, 6, 3, padding=1, stride=2), (3, 4, 9, 9)),
    (nn.Conv2d(4, 6, (3, 2), padding=(0, 1), dilation=2, groups=2), (3, 4, 9, 9)),
    (nn.Conv2d(4, 4, 3, groups=4), (3, 4, 9, 9)),
    (nn.Conv1d(4, 6, 3, padding=1), (3, 4, 9)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_columns_times_the_flat_weight_are_the_outputs(layer: Any, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    program = captured(layer, x)
    (node,) = program.calls
    found = linear_map(program, node)
    assert found is not None
    inputs = columns(found, x)  # (groups, outputs, columns)
    weight = layer.weight.detach().flatten(1).unflatten(0, (len(inputs), -1))
    outputs = (inputs @ weight.mT).permute(1, 0, 2).flatten(1) + layer.bias.detach()
    expected = program.run([x])[0]
    expected = expected.flatten(2).transpose(1, 2) if found.spatial else expected
    torch.testing.assert_close(outputs, expected.reshape(outputs.shape))


def test_hessians_are_means_over_the_data() -> None:
    torch.manual_seed(0)
    program = captured(nn.Linear(6, 5), torch.randn(2, 6), dynamic=True)
    data = torch.randn(40, 6)
    (found,) = (hessians(program, view(Int4Weight(), program, data=data), list(program.calls)) or {}).values()
    torch.testing.assert_close(found, (data.T @ data / 40)[None])


@pytest.mark.parametrize("rule", [Int4Weight, Int8Weight])
def test_a_net_rounded_so_is_nearer_to_itself_on_its_data(rule: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))
    program = captured(net, torch.randn(2, 3, 6, 6), dynamic=True)
    data = torch.randn(300, 3, 1, 1) + 0.3 * torch.randn(300, 3, 6, 6)
    fresh = torch.randn(300, 3, 1, 1) + 0.3 * torch.randn(300, 3, 6, 6)
    expected = program.run([fresh])[0]
    errors = {
        rounding: float((quantized(rule(rounding=rounding), program, data=data).run([fresh])[0] - expected).norm())
        for rounding in ("nearest", "gptq")
    }
    assert errors["gptq"] < 0.9 * errors["nearest"]


def test_without_data_there_is_no_such_rounding() -> None:
    program = captured(nn.Linear(128, 16), torch.randn(2, 128), dynamic=True)
    assert offers(Int4Weight(rounding="gptq"), program) == []
    assert reasons(Int4Weight(rounding="gptq"), program) == ["it needs calibration data (--calib)"]


def test_what_was_fitted_is_not_fitted_again() -> None:
    program = captured(nn.Linear(128, 16), torch.randn(2, 128), dynamic=True)
    rule = Int4Weight(rounding="gptq")
    (first,) = offers(rule, program, data=torch.randn(50, 128))
    again = view(rule, program)
    again._fitted = first.tensors
    (second,) = rule.propose(program, again)
    x = torch.randn(3, 128)
    assert torch.equal(apply(program, rule, [first]).run([x])[0], apply(program, rule, [second]).run([x])[0])
