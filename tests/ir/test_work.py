"""How much a Program computes, moves and holds, against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_memory import held
from fxopt.compiler.calibrate import program_of
from fxopt.contracts.target import Probe
from fxopt.ir.samples import sample_inputs
from fxopt.ir.work import bytes_moved, flops, peak_bytes
from fxopt_plugins.targets.probes import probes
from tests.engines.nets import Branches, program


def test_a_convolution_counts_two_for_each_multiplication_with_addition() -> None:
    net = program(nn.Conv2d(4, 8, 3, padding=1, groups=2), torch.randn(1, 4, 10, 10))
    assert flops(net) == 2 * (8 * 10 * 10) * (2 * 3 * 3)


def test_a_transposed_convolution_counts_from_its_input() -> None:
    net = program(nn.ConvTranspose2d(4, 8, 2, stride=2), torch.randn(1, 4, 5, 5))
    assert flops(net) == 2 * (4 * 5 * 5) * (8 * 2 * 2)


def test_a_linear_layer_counts_at_the_measured_batch() -> None:
    net = program(nn.Linear(6, 7), torch.randn(2, 6), dynamic=True, measured=5)
    assert flops(net) == 2 * 5 * 6 * 7


def test_attention_counts_both_products() -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, v)

    net = program(Attention(), torch.randn(1, 2, 3, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 4))
    assert flops(net) == 2 * 2 * (3 * 5 * 8) + 2 * 2 * (3 * 5 * 4)


def test_a_condition_counts_its_dearer_branch() -> None:
    assert flops(program(Branches(), torch.randn(2, 4))) >= 2 * 2 * 4 * 4


def test_bytes_moved_are_those_read_and_written() -> None:
    net = program(nn.Linear(6, 7), torch.randn(2, 6))
    assert bytes_moved(net) == 4 * (2 * 6 + 6 * 7 + 7 + 2 * 7)


def test_a_lookup_reads_the_rows_and_not_the_table() -> None:
    net = program(nn.Embedding(1000, 4), torch.zeros(3, dtype=torch.int64))
    assert bytes_moved(net) == 2 * 3 * 4 * 4 + 3 * 8


class Chain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp().view(-1).relu().sigmoid()


def test_the_peak_holds_what_is_alive_at_once() -> None:
    # Two of the chain's values at a time: what a node reads and what it writes. The view owns nothing.
    assert peak_bytes(program(Chain(), torch.randn(10, 10))) == 2 * 400


class Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.exp()
        return y + y.relu().sigmoid()


def test_a_value_lives_until_its_last_use() -> None:
    assert peak_bytes(program(Residual(), torch.randn(10, 10))) == 3 * 400


def test_what_runs_together_writes_only_what_others_read() -> None:
    net = program(Chain(), torch.randn(10, 10))
    names = [node.name for node in net.calls]  # exp, view, relu, sigmoid
    assert peak_bytes(net, [names]) == 2 * 400  # the input and the output
    assert peak_bytes(net, [names[:3], names[3:]]) == 2 * 400


class Middle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.exp()
        return (y + y.relu().sigmoid()).mean()


def test_a_call_writes_over_what_is_read_for_the_last_time_where_the_engine_does() -> None:
    net = program(Middle(), torch.randn(10, 10))
    assert peak_bytes(net, in_place=["aten.relu"]) == 3 * 400  # exp's value is read again
    assert peak_bytes(net, in_place=["aten.sigmoid"]) == 3 * 400
    assert peak_bytes(net, in_place=["aten.sigmoid", "aten.add"]) == 2 * 400


def test_what_runs_as_one_writes_over_what_its_last_calls_read() -> None:
    net = program(Middle(), torch.randn(10, 10))
    exp, relu, sigmoid, add, mean = (node.name for node in net.calls)
    together = [[exp], [relu, sigmoid], [add], [mean]]
    assert peak_bytes(net, together) == 3 * 400
    assert peak_bytes(net, together, ["aten.add"]) == 2 * 400
    fused = [[exp], [relu], [sigmoid, add], [mean]]
    assert peak_bytes(net, fused) == peak_bytes(net, together, ["aten.sigmoid+aten.add"]) == 3 * 400
    assert peak_bytes(net, fused, ["aten.sigmoid+aten.add"]) == 2 * 400


def test_what_the_caller_gave_and_gets_is_not_shared() -> None:
    net = program(Chain(), torch.randn(10, 10))
    assert peak_bytes(net, in_place=["aten.exp", "aten.relu", "aten.sigmoid"]) == 2 * 400
    last = program(Residual(), torch.randn(10, 10))
    assert peak_bytes(last, in_place=["aten.sigmoid", "aten.add"]) == 3 * 400


def test_what_runs_together_is_alive_until_its_last_call_has_read_it() -> None:
    net = program(Residual(), torch.randn(10, 10))
    exp, relu, sigmoid, add = (node.name for node in net.calls)
    assert peak_bytes(net, [[exp], [relu, sigmoid, add]]) == 2 * 400  # exp's value and the sum
    assert peak_bytes(net, [[exp], [relu], [sigmoid], [add]]) == peak_bytes(net) == 3 * 400
    assert peak_bytes(net, [[exp, relu], [sigmoid, add]]) == 3 * 400  # two values from the first, one of the last


@pytest.mark.parametrize("probe", [probe for probe in probes() if probe.seed < 2], ids=lambda probe: probe.name)
def test_the_peak_is_what_a_network_really_holds(probe: Probe) -> None:
    net = program_of(probe)
    assert peak_bytes(net) == held(net, sample_inputs(net))
