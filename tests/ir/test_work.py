"""How much a Program computes, moves and holds, against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from fxopt.compiler.calibrate import program_of
from fxopt.contracts.target import Probe
from fxopt.ir.evaluate import run_graph
from fxopt.ir.program import Program
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


def test_what_runs_together_is_alive_until_its_last_call_has_read_it() -> None:
    net = program(Residual(), torch.randn(10, 10))
    exp, relu, sigmoid, add = (node.name for node in net.calls)
    assert peak_bytes(net, [[exp], [relu, sigmoid, add]]) == 2 * 400  # exp's value and the sum
    assert peak_bytes(net, [[exp], [relu], [sigmoid], [add]]) == peak_bytes(net) == 3 * 400
    assert peak_bytes(net, [[exp, relu], [sigmoid, add]]) == 3 * 400  # two values from the first, one of the last


def held(net: Program, inputs: list[Tensor]) -> int:
    """Most bytes that inputs and activations really hold at once where each value is let go after its last use."""
    owned = {value.untyped_storage().data_ptr() for value in net.attributes.values() if isinstance(value, Tensor)}
    last = {used: node for node in net.nodes for used in node.all_input_nodes}
    values: dict[str, Any] = {}
    peak = 0

    def see(node: Node, value: Any) -> None:
        nonlocal peak
        if node.op != "get_attr":
            values[node.name] = value
        tensors = [leaf for value in values.values() for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        peak = max(peak, sum(size for pointer, size in storages.items() if pointer not in owned))
        for used in node.all_input_nodes:
            if last[used] is node:
                values.pop(used.name, None)
        if node not in last:
            values.pop(node.name, None)

    with torch.no_grad():
        run_graph(net.graph, net.attributes, inputs, see)
    return peak


@pytest.mark.parametrize("probe", [probe for probe in probes() if probe.seed < 2], ids=lambda probe: probe.name)
def test_the_peak_is_what_a_network_really_holds(probe: Probe) -> None:
    net = program_of(probe)
    assert peak_bytes(net) == held(net, sample_inputs(net))
