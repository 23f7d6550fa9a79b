"""Fake values: equal calls are inferred once, and what looks equal but is not stays apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program

aten = torch.ops.aten


class Function(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


def values(function: Callable[[torch.Tensor], Any], x: torch.Tensor) -> dict[str, Any]:
    """Fake values of the calls by name."""
    program: Program = capture(export(Function(function), (x,)))
    return {node.name: node.meta["val"] for node in program.calls}


def test_equal_calls_have_one_value_whatever_they_are_called_on() -> None:
    found = values(lambda x: x.relu() + x.neg().relu(), torch.randn(2, 3))
    assert found["relu"] is found["relu_1"]


def test_calls_on_other_strides_dtypes_or_shapes_have_values_of_their_own() -> None:
    found = values(lambda x: (x.exp(), x.t().exp(), x.double().exp(), x.reshape(9, 1).exp()), torch.randn(3, 3))
    described = {(found[name].dtype, found[name].shape, found[name].stride()) for name in found if "exp" in name}
    assert len(described) == 4


def test_literals_that_compare_equal_are_different_arguments() -> None:
    found = values(lambda x: (x + 1, x + 1.0), torch.arange(3))
    assert [value.dtype for value in found.values()] == [torch.int64, torch.float32]


def test_sizes_that_depend_on_data_are_not_shared() -> None:
    found = values(lambda x: (x.nonzero(), x.neg().nonzero()), torch.randn(4))
    first, second = found["nonzero"].shape[0], found["nonzero_1"].shape[0]
    assert first.node.expr != second.node.expr
