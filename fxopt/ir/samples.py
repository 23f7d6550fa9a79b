"""Inputs to check and measure a Program with, made from its interface and from how the inputs are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node

from fxopt.ir.program import Program

_LOOKUPS: dict[Any, tuple[int, int]] = {
    torch.ops.aten.embedding.default: (1, 0),
    torch.ops.aten.index_select.default: (2, 0),
    torch.ops.aten.gather.default: (2, 0),
}


def sample_inputs(program: Program, sizes: Mapping[str, int] | None = None, seed: int = 0) -> list[torch.Tensor]:
    """Flat inputs: normal floats, small integers that are valid where they index a table, fair booleans.

    Args:
        program: whose inputs.
        sizes: sizes of dynamic dimensions; the measured ones by default.
        seed: equal seeds give equal inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = {dim.name: dim.measured for dim in program.interface.dims} | dict(sizes or {})
    placeholders = [node for node in program.nodes if node.op == "placeholder"]
    values = []
    for node, item in zip(placeholders, program.interface.inputs, strict=True):
        shape = [sizes[size] if isinstance(size, str) else size for size in item.shape]
        dtype = getattr(torch, item.dtype)
        if dtype.is_floating_point or dtype.is_complex:
            values.append(
                torch.randn(
                    shape, generator=generator, dtype=torch.complex64 if dtype.is_complex else torch.float32
                ).to(dtype)
            )
        elif dtype == torch.bool:
            values.append(torch.rand(shape, generator=generator) < 0.5)
        else:
            values.append(torch.randint(0, _index_bound(node), shape, generator=generator).to(dtype))
    return values


def other_sizes(program: Program) -> dict[str, int]:
    """A size of each dynamic dimension that is not the measured one, where there is one: what holds there as well is no accident."""
    sizes = {}
    for dim in program.interface.dims:
        larger = dim.measured + 3 if dim.max is None else min(dim.max, dim.measured + 3)
        sizes[dim.name] = larger if larger != dim.measured else dim.min
    return sizes


def _index_bound(node: Node) -> int:
    """Exclusive bound for an integer input: the rows of the smallest table that it indexes, else 2."""
    bounds = []
    seen, front = {node}, [node]
    while front:
        for user in front.pop().users:
            target: Any = user.target
            where = _LOOKUPS.get(target) if user.op == "call_function" else None
            if where is not None and user.args[where[0]] in seen:
                table: Any = user.args[where[1]]
                axis: Any = 0 if target == torch.ops.aten.embedding.default else user.args[1]
                bounds.append(int(table.meta["val"].shape[axis]))
            elif user not in seen and user.op == "call_function" and _keeps_integers(user):
                seen.add(user)
                front.append(user)
    return max(1, min(bounds, default=2))


def _keeps_integers(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype in (torch.int32, torch.int64)
