"""What engines run together: read from kernels, and foretold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.prices import KernelTable, Place
from fxopt.prices.estimate import Roofline
from fxopt.prices.fusion import Cluster, FusionRules, clusters
from fxopt.prices.memory import peak_bytes
from fxopt.prices.pieces import cut_calls, piece
from fxopt.prices.predict import Predictor, learn
from fxopt.testing.zoo import ZOO
from tests.engines.nets import CASES, case, program


class Stack(nn.Module):
    """Convolutions with batch norm and an activation, and a residual after each but the first."""

    def __init__(self, depth: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), activation()) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = x + layer(x)
        return x


IMAGE = torch.randn(1, 4, 8, 8)
STACK = program(Stack(3), IMAGE)
# As an engine that runs a layer with its activation, and an addition by itself.
LAYERS = [("conv2d", "batch_norm", "relu"), ("conv2d_1", "batch_norm_1", "relu_1"), ("add",)]
LAYERS += [("conv2d_2", "batch_norm_2", "relu_2"), ("add_1",)]


def kernel(*covers: str, ms: float | None = 1.0) -> dict[str, Any]:
    return {"name": "kernel", "kind": "Kernel", "covers": list(covers), "dtype": None, "ms": ms}


def test_kernels_are_clusters_in_the_order_of_the_graph() -> None:
    found = clusters(STACK, [kernel(*names) for names in LAYERS])
    assert found == [Cluster(names, 1.0) for names in LAYERS]


def test_a_kernel_that_covers_nothing_belongs_to_the_next_that_does_and_the_last_to_the_one_before() -> None:
    before, after = kernel(ms=0.25), kernel(ms=0.5)
    found = clusters(STACK, [kernel(*LAYERS[0]), before, *(kernel(*names) for names in LAYERS[1:]), after])
    assert [cluster.milliseconds for cluster in found] == [1.0, 1.25, 1.0, 1.0, 1.5]


def test_kernels_that_share_a_call_are_taken_together() -> None:
    split = [kernel("conv2d", "batch_norm"), kernel("batch_norm", "relu"), *(kernel(*names) for names in LAYERS[1:])]
    found = clusters(STACK, split)
    assert found[0] == Cluster(LAYERS[0], 2.0)


def test_a_call_that_no_kernel_covers_goes_with_what_uses_it() -> None:
    found = clusters(STACK, [kernel("conv2d", "relu"), *(kernel(*names) for names in LAYERS[1:])])
    assert found[0].nodes == LAYERS[0]


def test_a_kernel_that_was_not_timed_leaves_its_cluster_without_a_time() -> None:
    found = clusters(STACK, [kernel(*LAYERS[0], ms=None), *(kernel(*names) for names in LAYERS[1:])])
    assert [cluster.milliseconds for cluster in found] == [None, 1.0, 1.0, 1.0, 1.0]


NAMES = [node.name for node in cut_calls(STACK)]
KERNELS = st.lists(
    st.builds(
        lambda covers, ms: kernel(*covers, ms=ms),
        st.lists(st.sampled_from([*NAMES, "of no call"]), max_size=4),
        st.floats(0, 10),
    ),
    max_size=12,
)


@given(kernels=KERNELS)
def test_each_call_is_in_one_cluster_and_no_time_is_lost(kernels: list[dict[str, Any]]) -> None:
    found = clusters(STACK, kernels)
    assert sorted(name for cluster in found for name in cluster.nodes) == sorted(NAMES)
    covering = any(set(item["covers"]) & set(NAMES) for item in kernels)
    assert sum(cluster.milliseconds or 0.0 for cluster in found) == pytest.approx(
        sum(item["ms"] for item in kernels) if covering else 0.0
    )


def test_what_was_seen_on_one_network_is_foretold_for_another() -> None:
    rules = FusionRules()
    rules.learn(STACK, clusters(STACK, [kernel(*names) for names in LAYERS]))
    foretold = rules.foretell(program(Stack(5), IMAGE))
    assert [len(names) for names in foretold] == [3, 3, 1, 3, 1, 3, 1, 3, 1]
    assert all(names[-1].startswith(("relu", "add")) for names in foretold)


def test_an_activation_that_was_never_seen_is_run_like_others() -> None:
    rules = FusionRules()
    rules.learn(STACK, clusters(STACK, [kernel(*names) for names in LAYERS]))
    foretold = rules.foretell(program(Stack(2, nn.SiLU), IMAGE))
    assert [len(names) for names in foretold] == [3, 3, 1]


class Layers(nn.Module):
    """Linear layers with a quantize after each, of which some are integers for the engine and some have floats for weights."""

    def __init__(self, *integers: bool) -> None:
        super().__init__()
        self.integers = integers
        self.register_buffer("weight", torch.randint(-127, 128, (4, 4)).to(torch.int8))
        self.register_buffer("scale", torch.rand(4) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        ops, numbers = operators(), (0.1, 3, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.weight, self.scale, None, 0, -127, 127, torch.int8)
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
        for integers in self.integers:
            x = nn.functional.linear(x, weight if integers else self.scale.diag())
            x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
        return x


def test_what_runs_on_integers_is_no_rule_for_the_same_call_on_floats() -> None:
    """An engine writes integers from a layer on integers; from one on floats it needs a quantize by itself."""
    seen, other = (program(Layers(*kinds), torch.randn(2, 4)) for kinds in ((True, False), (False, True, True, False)))
    rules = FusionRules()
    names = [node.name for node in cut_calls(seen)]
    rules.learn(seen, clusters(seen, [kernel(names[0]), kernel(*names[1:3]), kernel(names[3]), kernel(names[4])]))
    assert [len(found) for found in rules.foretell(other)] == [1, 1, 1, 2, 2, 1, 1]


class Tokens(nn.Module):
    """Linear layers with an activation each; `noted`: with dropout and shapes between, for which nothing runs."""

    def __init__(self, noted: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.noted = noted

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = nn.functional.gelu(layer(x))
            x = nn.functional.dropout(x.view(2, 1, 4), 0.1, self.training).view(2, 4) if self.noted else x
        return x


def test_where_nothing_runs_between_them_calls_are_run_together_as_without_it() -> None:
    plain, noted = (program(Tokens(noted).eval(), torch.randn(2, 4)) for noted in (False, True))
    rules = FusionRules()
    rules.learn(plain, clusters(plain, [kernel(f"linear{n}", f"gelu{n}") for n in ("", "_1", "_2")]))
    found = rules.foretell(noted)
    assert [sum(name.startswith(("linear", "gelu")) for name in names) for names in found] == [2, 2, 2]
    assert clusters(noted, [kernel(f"linear{n}", f"gelu{n}") for n in ("", "_1", "_2")]) == [
        Cluster(names, 1.0) for names in found
    ]
    texts = [[piece(net, names).features["bare"] for names in rules.foretell(net)] for net in (plain, noted)]
    assert texts[0][-1] == texts[1][-2]  # a layer between others is the same kernel


class Meeting(nn.Module):
    """Two convolutions that are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x)


class Residual(Meeting):
    def forward(self, x: Tensor) -> Tensor:
        return self.right(x + self.left(x))


def test_two_convolutions_are_not_run_together_where_that_was_never_seen() -> None:
    residual, meeting = program(Residual(), IMAGE), program(Meeting(), IMAGE)
    rules = FusionRules()
    rules.learn(residual, clusters(residual, [kernel("conv2d", "add"), kernel("conv2d_1")]))
    rules.learn(STACK, clusters(STACK, [kernel(*names) for names in LAYERS]))
    assert rules.foretell(meeting) in ([("conv2d", "add"), ("conv2d_1",)], [("conv2d",), ("conv2d_1", "add")])
    rules.learn(meeting, clusters(meeting, [kernel("conv2d", "conv2d_1", "add")] * 9))
    rules.learn(meeting, clusters(meeting, [kernel("conv2d", "conv2d_1", "add")] * 9))
    assert rules.foretell(meeting) == [("conv2d", "conv2d_1", "add")]


class Sums(nn.Module):
    """Sums behind convolutions, of which some are bounded afterwards."""

    def __init__(self, *after: type[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in after)
        self.after = nn.ModuleList(make() for make in after)

    def forward(self, x: Tensor) -> Tensor:
        for layer, after in zip(self.layers, self.after, strict=True):
            x = after(x + layer(x))
        return x


def test_what_reads_a_call_may_decide_whether_it_runs_with_the_one_before() -> None:
    """As ONNX Runtime takes a sum and a ReLU behind it into the convolution, but not a sum that is bounded on both sides."""
    seen, rules = program(Sums(nn.ReLU, nn.ReLU6, nn.ReLU6), IMAGE), FusionRules()
    rounds = [kernel("conv2d", "add", "relu")]
    for number, bound in ((1, "hardtanh"), (2, "hardtanh_1")):
        rounds += [kernel(f"conv2d_{number}"), kernel(f"add_{number}"), kernel(bound)]
    rules.learn(seen, clusters(seen, rounds))
    found = rules.foretell(program(Sums(nn.ReLU6, nn.ReLU), IMAGE))
    assert found == [("conv2d",), ("add",), ("hardtanh",), ("conv2d_1", "add_1", "relu")]


def test_what_becomes_of_an_operand_of_an_attention_depends_on_which_it_is() -> None:
    """As ONNX Runtime transposes keys for good, but queries and values in kernels of their own."""

    class Heads(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))

    net, rules = program(Heads(), *(torch.randn(1, 5, 2, 8) for _ in range(3))), FusionRules()
    query, key, value = ("transpose", "transpose_1", "transpose_2")
    made = [kernel(query), kernel(value), kernel(key, "scaled_dot_product_attention")]
    rules.learn(net, clusters(net, made))
    assert sorted(rules.foretell(net)) == [(query,), (key, "scaled_dot_product_attention"), (value,)]


def test_nothing_is_foretold_to_run_together_without_a_rule() -> None:
    assert all(len(names) == 1 for names in FusionRules().foretell(STACK))


@given(kernels=KERNELS)
def test_what_is_foretold_has_each_call_once(kernels: list[dict[str, Any]]) -> None:
    rules = FusionRules()
    rules.learn(STACK, clusters(STACK, kernels))
    other = program(Stack(4), IMAGE)
    foretold = [name for names in rules.foretell(other) for name in names]
    assert sorted(foretold) == sorted(node.name for node in cut_calls(other))


def apart(net: Program) -> list[dict[str, Any]]:
    """As an engine that runs each call by itself."""
    return [kernel(node.name) for node in net.calls]


@pytest.mark.parametrize("name", [*ZOO, *CASES])
def test_any_program_can_be_cut_learned_from_and_foretold(name: str, tmp_path: Path) -> None:
    net = ZOO[name]() if name in ZOO else case(name)[0]
    table, place = KernelTable(tmp_path / "kernels.sqlite"), Place("engine", "1", "a CPU", (), 1)
    learn(table, place, net, apart(net), 1.0)
    found = Predictor(table, place, Roofline({"float32": 1e11}, 1e10)).predict(net)
    assert sorted(node for item in found.pieces for node in item.piece.nodes) == sorted(n.name for n in cut_calls(net))
    assert all(item.estimate.source == "profile" for item in found.pieces)
    assert peak_bytes(net, [item.piece.nodes for item in found.pieces]) == peak_bytes(net)
    table.close()
