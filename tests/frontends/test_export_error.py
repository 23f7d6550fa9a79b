"""A model that torch.export cannot capture: the reason and the user's line."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.export import Dim

from fxopt.ir.export_error import explain_export_error


class DataDependent(torch.nn.Module):
    """Branches on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # here
            return x + 1
        return x


class WrongRank(torch.nn.Module):
    """Fails in an operator."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, torch.ones(3, 7))  # here


class Raises(torch.nn.Module):
    """Fails in the user's own code."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such thing")  # here


class Fixed(torch.nn.Module):
    """Forces a dynamic size to be one value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 4) + 1


def explain(module: torch.nn.Module, **options: Any) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011  torch.export raises many kinds
        torch.export.export(module, (torch.randn(2, 4),), strict=False, **options)
    text = explain_export_error(caught.value)
    assert len(text.splitlines()) == 1
    return text


def line_of(module: type) -> str:
    lines, start = inspect.getsourcelines(module)
    return f"{__file__}:{start + next(i for i, line in enumerate(lines) if '# here' in line)}"


@pytest.mark.parametrize("module", [DataDependent, WrongRank, Raises])
def test_names_the_users_line(module: type[torch.nn.Module]) -> None:
    text = explain(module())
    assert text.endswith(f"(at {line_of(module)})"), text


def test_gives_the_reason_of_an_operator() -> None:
    assert "[2, 4] X [7, 3]" in explain(WrongRank())


def test_names_each_violated_constraint() -> None:
    text = explain(Fixed(), dynamic_shapes={"x": {0: Dim("N", min=1, max=8)}})
    assert "N" in text
    assert "TORCH_LOGS" not in text


def test_finds_the_line_that_only_the_message_names() -> None:
    message = (
        'Unsupported\n  File "/src/a/model.py", line 3, in forward\n  File "/src/a/layer.py", line 7, in forward\n'
    )
    assert explain_export_error(RuntimeError(message)) == "Unsupported (at /src/a/layer.py:7)"


def test_without_a_line_of_the_user_gives_the_reason_alone() -> None:
    assert explain_export_error(RuntimeError("first\nsecond")) == "first"
    assert explain_export_error(ValueError("")) == "ValueError"
