"""Published figures: how FasterTransformer runs encoders, and what that does to figures at a batch of 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu import published
from benchmarks.gpu.describe import DATA, read
from benchmarks.gpu.mixed import integers, on_integers
from benchmarks.gpu.published import Figures
from benchmarks.gpu.stacks import by_library, launches_ms
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt_plugins.targets.gpu_kernels import Kernel, calls_of, kernels
from fxopt_plugins.targets.gpu_times import Table
from fxopt_plugins.targets.gpu_times import coefficients as written

WIDTH, ROWS = 64, 10


class Half(nn.Module):
    """Half a transformer's block: attention, and a layer behind an activation and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.out, self.drop = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(2, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(self.drop(functional.gelu(y)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def half() -> Program:
    return capture(export(Half().eval(), (torch.randn(1, ROWS, WIDTH),)))


def test_queries_keys_and_values_are_products_of_their_own_for_a_library(half: Program) -> None:
    found = kernels(calls_of(half, half=True), "pointwise")
    apart = by_library(found)
    assert [kernel.kind for kernel in apart].count("linear") == 4
    assert sum(kernel.flops for kernel in apart) == pytest.approx(sum(kernel.flops for kernel in found))
    assert sum(kernel.weights for kernel in apart) == pytest.approx(sum(kernel.weights for kernel in found))
    at = [kernel.kind for kernel in apart].index("attention")
    assert (apart[at - 1].kind, apart[at - 1].read) == ("pointwise", apart[at].read)


def test_what_a_layer_on_integers_reads_is_written_in_bytes_past_a_dropout(half: Program) -> None:
    found = kernels(on_integers(calls_of(half, width=integers(half))), "pointwise")
    activation = next(kernel for kernel in found if kernel.kind == "pointwise")
    assert activation.written == ROWS * WIDTH
    assert {kernel.dtype for kernel in found if kernel.kind == "attention"} == {"float16"}


def test_a_library_writes_products_and_attention_in_bytes_as_well(half: Program) -> None:
    calls = on_integers(calls_of(half, width=integers(half, library=True)), attention=True)
    written_bytes = {kernel.kind: kernel.written for kernel in kernels(calls, "pointwise")}
    assert written_bytes["attention"] == ROWS * WIDTH
    assert {call.dtype for call in calls if call.kind in ("linear", "attention")} == {"int8"}


def test_the_host_launches_kernel_by_kernel_and_prepares_products_on_integers() -> None:
    product = Kernel("linear", "int8", 1, 1, 1, 1, 1, 1, 1, 1)
    table = Table.of([product, Kernel("pointwise", "float16", 1, 1, 0, 1, 0, 0, 0, 0)])
    assert launches_ms(table, np.array([2.0, 3.0]), 5.0, 7.0) == pytest.approx((5 * 5 + 2 * 7) / 1e3)


def test_integers_gain_nothing_where_the_host_is_what_is_waited_for() -> None:
    figures = Figures.read(DATA / "published.json", read())
    foretold = figures._by_stack(written()["inductor"], np.append(published._START, np.zeros(len(figures._stacks))))
    gains: dict[int, dict[str, float]] = {}
    for row, time in zip(figures.rows, foretold, strict=True):
        if (row["model"], row["device"]) == ("vit_base_patch16_224", "a100_pcie") and row[
            "stack"
        ] == "FasterTransformer":
            gains.setdefault(row["batch"], {})[row["precision"]] = time
    ratio = {batch: found["fp16"] / found["int8"] for batch, found in gains.items()}
    assert ratio[1] < 1.1
    assert ratio[8] < ratio[32]
    assert 1.4 < ratio[32] < 1.8
