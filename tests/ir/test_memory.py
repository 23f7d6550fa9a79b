"""How much a Program holds at once, against counts by hand and what its tensors hold."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_memory import held
from fxopt.compiler.calibrate import program_of
from fxopt.contracts.engine import MemoryUse
from fxopt.contracts.target import Probe
from fxopt.ir.memory import peak_bytes
from fxopt.ir.samples import sample_inputs
from fxopt_plugins.targets.probes import probes
from tests.engines.nets import program


def in_place(operators: Collection[str]) -> MemoryUse:
    return MemoryUse(in_place=frozenset(operators))


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
    assert peak_bytes(net, use=in_place(["aten.relu"])) == 3 * 400  # exp's value is read again
    assert peak_bytes(net, use=in_place(["aten.sigmoid"])) == 3 * 400
    assert peak_bytes(net, use=in_place(["aten.sigmoid", "aten.add"])) == 2 * 400


def test_what_runs_as_one_writes_over_what_its_last_calls_read() -> None:
    net = program(Middle(), torch.randn(10, 10))
    exp, relu, sigmoid, add, mean = (node.name for node in net.calls)
    together = [[exp], [relu, sigmoid], [add], [mean]]
    assert peak_bytes(net, together) == 3 * 400
    assert peak_bytes(net, together, in_place(["aten.add"])) == 2 * 400
    fused = [[exp], [relu], [sigmoid, add], [mean]]
    assert peak_bytes(net, fused) == peak_bytes(net, together, in_place(["aten.sigmoid+aten.add"])) == 3 * 400
    assert peak_bytes(net, fused, in_place(["aten.sigmoid+aten.add"])) == 2 * 400


def test_what_the_caller_gave_and_gets_is_not_shared() -> None:
    net = program(Chain(), torch.randn(10, 10))
    assert peak_bytes(net, use=in_place(["aten.exp", "aten.relu", "aten.sigmoid"])) == 2 * 400
    last = program(Residual(), torch.randn(10, 10))
    assert peak_bytes(last, use=in_place(["aten.sigmoid", "aten.add"])) == 3 * 400


def test_what_runs_together_is_alive_until_its_last_call_has_read_it() -> None:
    net = program(Residual(), torch.randn(10, 10))
    exp, relu, sigmoid, add = (node.name for node in net.calls)
    assert peak_bytes(net, [[exp], [relu, sigmoid, add]]) == 2 * 400  # exp's value and the sum
    assert peak_bytes(net, [[exp], [relu], [sigmoid], [add]]) == peak_bytes(net) == 3 * 400
    assert peak_bytes(net, [[exp, relu], [sigmoid, add]]) == 3 * 400  # two values from the first, one of the last


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp().permute(1, 0).sigmoid().relu()


def test_what_an_engine_copies_is_a_value_of_its_own() -> None:
    net = program(Turned(), torch.randn(10, 10))
    copying = MemoryUse(frozenset({"aten.relu", "aten.sigmoid"}), frozenset({"aten.permute"}))
    assert peak_bytes(net, use=copying) == peak_bytes(net, [[node.name] for node in net.calls], copying) == 2 * 400
    wide = program(Wider(), torch.randn(10, 10))
    assert peak_bytes(wide) == 3 * 400
    assert peak_bytes(wide, use=MemoryUse(copies=frozenset({"aten.permute"}))) == 4 * 400


class TurnedWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 10))

    def forward(self, x: Tensor) -> Tensor:
        return x.exp() + self.weight.permute(1, 0)


def test_a_copy_of_a_constant_is_no_activation() -> None:
    net = program(TurnedWeight(), torch.randn(10, 10))
    assert peak_bytes(net, use=MemoryUse(copies=frozenset({"aten.permute"}))) == peak_bytes(net) == 2 * 400


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        left, right = x.exp().chunk(2)
        return left.sigmoid().sum() + right.sigmoid().sum()


def test_each_part_of_what_is_taken_apart_is_a_copy() -> None:
    net = program(Halves(), torch.randn(10, 10))
    assert peak_bytes(net) == 2 * 400  # the input and its exponential
    copying = MemoryUse(copies=frozenset({"aten.split", "aten.chunk"}))
    assert peak_bytes(net, [[node.name] for node in net.calls], copying) == 2 * 400
    held = program(Held(), torch.randn(10, 10))
    assert peak_bytes(held) == 2 * 400
    assert peak_bytes(held, use=copying) == 2 * 400 + 4  # with the first sum beside what is taken apart, and its parts


class Held(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.exp()
        left, right = y.chunk(2)
        return torch.cat((left.sum()[None], right.sum()[None], y.sum()[None]))


class Wider(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y, z = x.exp(), x.sigmoid()
        return z.permute(1, 0) + y + z


class Attention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q.exp(), k, v)


def test_the_scores_of_an_attention_are_held_as_often_as_the_engine_does() -> None:
    net = program(Attention(), torch.randn(1, 2, 30, 8), torch.randn(1, 2, 50, 8), torch.randn(1, 2, 50, 4))
    inputs, queries, out = 4 * 2 * (30 * 8 + 50 * 8 + 50 * 4), 4 * 2 * 30 * 8, 4 * 2 * 30 * 4
    keys_and_values = inputs - queries
    assert peak_bytes(net) == max(inputs + queries, queries + keys_and_values + out)
    assert peak_bytes(net, use=MemoryUse(attention_scores=2)) == queries + keys_and_values + out + 2 * 4 * 2 * 30 * 50


class Narrow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        wide = x.exp().sum(0).sigmoid().expand(10, 10).exp().exp()
        return wide.sum(0).sigmoid()


def test_memory_is_kept_for_a_later_value_of_the_same_shape() -> None:
    """What the first sigmoid was written to is what the second sum is, and beside both values of 10 by 10 in between."""
    net = program(Narrow(), torch.randn(10, 10))
    assert peak_bytes(net) == 2 * 400
    assert peak_bytes(net, use=MemoryUse(keeps_floats=True)) == 2 * 400 + 40


@pytest.mark.parametrize("probe", [probe for probe in probes() if probe.seed < 2], ids=lambda probe: probe.name)
def test_the_peak_is_what_a_network_really_holds(probe: Probe) -> None:
    net = program_of(probe)
    assert peak_bytes(net) == held(net, sample_inputs(net))
