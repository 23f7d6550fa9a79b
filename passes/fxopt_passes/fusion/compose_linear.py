"""`compose_linear`: two linear maps in a row are one, where the product is cheaper than the pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map, multiplications
from fxopt_passes.matching import only_user

if TYPE_CHECKING:
    from torch.fx import Node

    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source


@dataclass(frozen=True)
class ComposeLinear(Pass):
    """Multiply two linear layers, or a pointwise convolution and another, into one where that saves multiplications."""

    name: ClassVar[str] = "compose_linear"
    stage: ClassVar[Stage] = Stage.FUSE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            pair = _pair(program, node)
            if pair is None:
                continue
            reason = _obstacle(*pair)
            if reason:
                view.decline(node, reason)
                continue
            first, second = pair
            writes = frozenset({first.node.name, node.name})
            yield Candidate(self.name, (node.name, first.node.name), writes, first.weight_names | second.weight_names)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        second, first = edit.nodes(candidate)
        pair = _pair(edit, second)
        if pair is None or pair[0].node is not first or _obstacle(*pair):
            raise StaleCandidate(f"{candidate.id}: {first.name} and {second.name} are no pair")
        edit.replace(second, _compose(edit, *pair))


def _pair(source: Source, node: Node) -> tuple[LinearMap, LinearMap] | None:
    second = linear_map(source, node)
    first = linear_map(source, second.input) if second else None
    if first is None or second is None or first.spatial != second.spatial:
        return None
    return None if first.transposed or second.transposed else (first, second)


def _obstacle(first: LinearMap, second: LinearMap) -> str | None:
    """Why the pair stays; None where its product is cheaper."""
    name = first.node.name
    if only_user(first.node) is None:
        return f"{name} has {len(first.node.users)} users or is an output"
    if first.groups != 1 or second.groups != 1:
        return "a grouped convolution and another have no product of the same form"
    if second.pointwise or _pointwise_strided(second):
        if first.padding is None and not second.pointwise:
            return f"the padding of {name} is asymmetric, which a stride rules out"
    elif not first.pointwise:
        return f"neither {name} nor {second.node.name} is pointwise"
    elif second.pads and first.bias is not None and bool(first.bias.any()):
        return f"the zero padding of {second.node.name} would see the bias of {name}"
    pair = [multiplications(first), multiplications(second)]
    positions = multiplications(second)
    if None in pair or positions is None:
        return "its sizes are not known"
    kernel = first.weight[0, 0].numel() * second.weight[0, 0].numel()
    product = positions // second.weight.numel() * first.channels_in * second.channels_out * kernel
    total = sum(pair)  # type: ignore[arg-type]
    return None if product < total else f"the product costs {product:,} multiplications, the pair {total:,}"


def _pointwise_strided(linear: LinearMap) -> bool:
    return not linear.pads and all(size == 1 for size in linear.kernel)


def _compose(edit: Edit, first: LinearMap, second: LinearMap) -> Node:
    a, b = first.blocks[0], second.blocks[0]
    changes: dict[str, Any] = {}
    if _pointwise_strided(second):
        outer, kernel = first, first.kernel
        if not second.pointwise:
            strides = zip(first.stride, second.stride, strict=True)
            changes = {"stride": [s * t for s, t in strides], "padding": list(first.padding or ())}
    else:
        outer, kernel = second, second.kernel
    # One of the two has a single kernel position, so that the sizes below broadcast.
    flat_a, flat_b = a.reshape(*a.shape[:2], -1), b.reshape(*b.shape[:2], -1)
    blocks = torch.einsum("omk,mil->oikl", flat_b, flat_a).reshape(1, b.shape[0], a.shape[1], *kernel)
    bias = None
    if first.bias is not None or second.bias is not None:
        bias = second.bias64 + second.of_constant(first.bias64)
    return outer.rebuild(edit, first.input, blocks, bias, **changes)
