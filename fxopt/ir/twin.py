"""The float64 twin of a Program: the same graph with the same names, in double precision.

Passes apply to the twin as they apply to the Program, so that what a rewrite computes from weights is not rounded to
float32 and a correct rewrite differs by rounding of float64 only.
"""

from __future__ import annotations

import dataclasses

import torch

from fxopt.ir.evaluate import DOUBLE
from fxopt.ir.graphs import copy_graph
from fxopt.ir.program import Program

_FLOATS = {"float16", "bfloat16", "float32"}


def double(program: Program) -> Program:
    """The twin: parameters, constants, float inputs and float dtype arguments in float64.

    Scalars that hold a canonical number rounded to float32, like 1/6, are the number itself in the twin.
    """
    graph = copy_graph(program.graph, DOUBLE.argument)
    attributes = {name: DOUBLE.attribute(value) for name, value in program.attributes.items()}
    inputs = tuple(
        dataclasses.replace(item, dtype="float64") if item.dtype in _FLOATS else item
        for item in program.interface.inputs
    )
    return Program.build(graph, attributes, dataclasses.replace(program.interface, inputs=inputs))


def as_inputs(twin: Program, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """A Program's inputs as its twin takes them."""
    return [value.to(getattr(torch, item.dtype)) for value, item in zip(inputs, twin.interface.inputs, strict=True)]
