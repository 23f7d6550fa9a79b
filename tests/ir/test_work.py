"""How much a Program computes and moves, against counts by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxopt.ir.work import bytes_moved, flops, node_functions
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


def test_functions_are_counted_by_the_numbers_that_they_give() -> None:
    class Functions(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            found = nn.functional.scaled_dot_product_attention(q, k, k)
            return torch.relu(nn.functional.silu(found[0])) + 1

    net = program(Functions(), torch.randn(1, 2, 3, 8), torch.randn(1, 2, 5, 8))
    found = [(node_functions(net, node), node.target.overloadpacket) for node in net.calls if node_functions(net, node)]
    aten = torch.ops.aten
    assert found == [(2 * 3 * 5, aten.scaled_dot_product_attention), (2 * 3 * 8, aten.silu)]


def test_a_condition_counts_its_dearer_branch() -> None:
    assert flops(program(Branches(), torch.randn(2, 4))) >= 2 * 2 * 4 * 4


def test_bytes_moved_are_those_read_and_written() -> None:
    net = program(nn.Linear(6, 7), torch.randn(2, 6))
    assert bytes_moved(net) == 4 * (2 * 6 + 6 * 7 + 7 + 2 * 7)


def test_a_lookup_reads_the_rows_and_not_the_table() -> None:
    net = program(nn.Embedding(1000, 4), torch.zeros(3, dtype=torch.int64))
    assert bytes_moved(net) == 2 * 3 * 4 * 4 + 3 * 8
