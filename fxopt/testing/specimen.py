"""How programs for tests are made: captured from a function when first asked for, with the same weights each time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program

ProgramLike = Program | Callable[[], Program]


class Specimen:
    """A program for tests, as a decorator of the function that makes it; calling it gives the program.

    Attributes:
        name: the function's name in words.
        breaks: the function's docstring: what goes wrong in a pass that has not thought of it.
    """

    def __init__(self, make: Callable[[], Program]) -> None:
        self.name = make.__name__.replace("_", " ")
        self.breaks = " ".join((inspect.getdoc(make) or "").split())
        self._make = make
        self._program: Program | None = None

    def __call__(self) -> Program:
        """The program, made once a process."""
        if self._program is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self._program = self._make()
        return self._program

    def __repr__(self) -> str:
        return f"<specimen {self.name!r}>"


def captured(
    function: Callable[..., Any], *inputs: Tensor, dynamic: Sequence[Mapping[int, Any]] | None = None, **members: Any
) -> Program:
    """A function as a Program.

    Args:
        function: called as `function(self, *inputs)`; the members are attributes of `self`.
        inputs: example inputs, whose shapes and dtypes the Program takes.
        dynamic: for each input its dynamic axes, as `torch.export.Dim` by axis.
        members: layers, and tensors: float ones become parameters, others buffers.
    """
    net = _Net(function, members)
    return capture(export(net, inputs, dynamic_shapes=None if dynamic is None else (tuple(map(dict, dynamic)),)))


class _Net(nn.Module):
    def __init__(self, function: Callable[..., Any], members: Mapping[str, Any]) -> None:
        super().__init__()
        self.function = function
        for name, member in members.items():
            if not isinstance(member, Tensor):
                setattr(self, name, member)
            elif member.is_floating_point():
                setattr(self, name, nn.Parameter(member, requires_grad=False))
            else:
                self.register_buffer(name, member)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)
