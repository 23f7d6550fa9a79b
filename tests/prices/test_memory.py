"""How much a Program holds at once, against counts by hand and what its tensors hold."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bench_memory import held
from fxopt.compiler.calibrate import program_of
from fxopt.contracts.memory import MemoryUse
from fxopt.contracts.target import Probe
from fxopt.ir.quantized import operators
from fxopt.ir.samples import sample_inputs
from fxopt.prices.memory import peak_bytes
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
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
    copying = MemoryUse(in_place=frozenset({"aten.relu", "aten.sigmoid"}), copies=frozenset({"aten.permute"}))
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
    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = q[:, :1, :, :1] > 0 if self.masked else None
        return nn.functional.scaled_dot_product_attention(q.exp(), k, v, mask)


def test_the_scores_of_an_attention_are_held_as_often_as_the_engine_does() -> None:
    net = program(Attention(), torch.randn(1, 2, 30, 8), torch.randn(1, 2, 50, 8), torch.randn(1, 2, 50, 4))
    inputs, queries, out = 4 * 2 * (30 * 8 + 50 * 8 + 50 * 4), 4 * 2 * 30 * 8, 4 * 2 * 30 * 4
    keys_and_values = inputs - queries
    assert peak_bytes(net) == max(inputs + queries, queries + keys_and_values + out)
    scores = 4 * 2 * 30 * 50
    assert peak_bytes(net, use=MemoryUse(attention_scores=2)) == queries + keys_and_values + out + 2 * scores
    masked = program(
        Attention(masked=True), torch.randn(1, 2, 30, 8), torch.randn(1, 2, 50, 8), torch.randn(1, 2, 50, 4)
    )
    once, thrice = (peak_bytes(masked, use=MemoryUse(attention_scores=9, masked_scores=times)) for times in (1, 3))
    assert thrice - once == 2 * scores


class Narrow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        wide = x.exp().sum(0).sigmoid().expand(10, 10).exp().exp()
        return wide.sum(0).sigmoid()


def test_memory_is_kept_for_a_later_value_of_the_same_shape() -> None:
    """What the first sigmoid was written to is what the second sum is, and beside both values of 10 by 10 in between."""
    net = program(Narrow(), torch.randn(10, 10))
    assert peak_bytes(net) == 2 * 400
    assert peak_bytes(net, use=MemoryUse(keeps=True)) == 2 * 400 + 40


OWN = MemoryUse(holds_inputs=False)


class Layers(nn.Module):
    """Linear layers with two calls between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, 10), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).exp().exp()).exp().sum()


def test_inputs_may_be_the_callers_alone() -> None:
    net = program(Middle(), torch.randn(10, 10))
    together = [[node.name for node in net.calls]]
    assert peak_bytes(net, together) == 400 + 4
    assert peak_bytes(net, together, OWN) == 4


def test_what_is_kept_of_a_matrix_is_none_of_a_value_of_more_dimensions() -> None:
    """Without, the second exponential lies where the first layer has written; with, that waits for the last one."""
    net = program(Layers(), torch.randn(1, 10, 10))
    assert peak_bytes(net, use=replace(OWN, keeps=True)) == 2 * 400
    assert peak_bytes(net, use=replace(OWN, keeps=True, flattens=frozenset({"aten.linear"}))) == 3 * 400


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        small = x.exp()
        return (x.expand(10, 10, 10).exp().sum(0) * small).sum()


def test_steps_run_in_the_order_in_which_a_search_from_the_outputs_comes_back() -> None:
    """What was written last is gone to first, so that the small branch is not held beside the wide one."""
    net = program(Branches(), torch.randn(10, 10))
    assert peak_bytes(net, use=OWN) == 4000 + 2 * 400
    assert peak_bytes(net, use=replace(OWN, depth_first=1)) == 4000 + 400
    assert peak_bytes(net, use=replace(OWN, depth_first=2)) == 4000 + 2 * 400  # it turns the branches again


def test_calls_that_wait_for_one_another_in_a_circle_run_as_written() -> None:
    net = program(Middle(), torch.randn(10, 10))
    exp, relu, sigmoid, add, mean = (node.name for node in net.calls)
    together = [[exp], [relu, add], [sigmoid], [mean]]
    assert peak_bytes(net, together, MemoryUse(depth_first=1)) == peak_bytes(net, together)


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        ends = (0.1, 3, 0, 255, torch.uint8)
        qd = operators()
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(x.exp(), *ends), *ends).exp().sum()


def test_where_no_kernel_runs_on_integers_floats_are_beside_them() -> None:
    """Both exponentials are in floats: the first is rounded, and its integers become floats for the second."""
    net = program(Rounded(), torch.randn(10, 10))
    assert peak_bytes(net, use=OWN) == 100 + 400
    assert peak_bytes(net, use=replace(OWN, scheme=ONNX_RUNTIME)) == 2 * 400


class Images(nn.Module):
    """What a convolution leaves is read by a call of another kind, and by a convolution of less channels."""

    def __init__(self, call: Callable[[Tensor], Tensor], groups: int = 1) -> None:
        super().__init__()
        self.first, self.last, self.call = nn.Conv2d(4, 4, 1, groups=groups), nn.Conv2d(4, 1, 1), call

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.call(y)
        return self.last(y).sum() + z.sum()


def test_what_goes_from_one_layout_to_another_is_copied() -> None:
    blocks = replace(OWN, blocks=frozenset({"aten.conv2d"}), block=4, carries=frozenset({"aten.relu"}))
    x = torch.randn(1, 4, 5, 5)
    other = program(Images(torch.exp), x)
    assert peak_bytes(other, use=OWN) == 2 * 400 + 100
    assert peak_bytes(other, use=blocks) == 3 * 400
    relu, grouped = program(Images(torch.relu), x), program(Images(torch.relu, groups=2), x)
    assert peak_bytes(relu, use=blocks) == 2 * 400 + 100
    assert peak_bytes(grouped, use=blocks) == 3 * 400  # its groups of two channels end amid a block
    assert peak_bytes(grouped, use=replace(blocks, block=2)) == 2 * 400 + 100


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        left, right = x.exp().chunk(2)
        return left.sum() + right.sum()


def test_all_parts_of_what_is_taken_apart_are_written_at_once() -> None:
    net = program(Sums(), torch.randn(10, 10))
    exp, split, left, right, *sums = (node.name for node in net.calls)
    copying = replace(OWN, copies=frozenset({"aten.split", "aten.chunk"}))
    assert peak_bytes(net, [[exp], [split, right, sums[1]], [left], [sums[0]]], copying) == 2 * 400


@pytest.mark.parametrize("probe", [probe for probe in probes() if probe.seed < 2], ids=lambda probe: probe.name)
def test_the_peak_is_what_a_network_really_holds(probe: Probe) -> None:
    net = program_of(probe)
    assert peak_bytes(net) == held(net, sample_inputs(net))
