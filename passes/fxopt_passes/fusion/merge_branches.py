"""`merge_branches`: linear maps of one value that are added up are one linear map (RepVGG's re-parameterization)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.affine import batch_norm_affine
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import arguments, is_call, only_user, same_shape

if TYPE_CHECKING:
    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source

aten = torch.ops.aten


@dataclass(frozen=True)
class _Branch:
    """One summand: a linear map with or without a batch norm behind it, or just a batch norm, or the value itself.

    Attributes:
        leaf: the node that is added.
        input: the value that the branch takes.
        linear: the map; None where the branch is the identity but for scale and shift.
        scale, shift: the batch norm's, float64, shape (channels,); None without one.
    """

    leaf: Node
    input: Node
    linear: LinearMap | None
    scale: torch.Tensor | None = None
    shift: torch.Tensor | None = None

    @property
    def nodes(self) -> list[Node]:
        """The nodes that the branch computes."""
        own = [self.leaf] if self.leaf is not self.input else []
        return own if self.linear is None or self.linear.node in own else [*own, self.linear.node]

    @property
    def biased(self) -> bool:
        """Whether it adds something to each channel."""
        return self.shift is not None or (self.linear is not None and self.linear.bias is not None)

    def blocks(self, like: LinearMap) -> torch.Tensor:
        """Its weights as a map of `like`'s geometry, which `_obstacle` has found it to have."""
        total = torch.zeros_like(like.blocks)
        if self.linear is None:
            ones = torch.eye(total.shape[1], dtype=torch.float64).expand(total.shape[0], -1, -1)
            total[(slice(None), slice(None), slice(None), *_center(like))] = ones
        else:
            taps = _taps(self.linear, like)
            assert taps is not None
            total[(slice(None), slice(None), slice(None), *taps)] = self.linear.blocks
        if self.scale is not None:
            total = total * self.scale.reshape(like.groups, -1, 1, *[1] * like.spatial)
        return total

    def bias(self, channels: int) -> torch.Tensor:
        """What it adds to each channel: float64, shape (channels,)."""
        bias = torch.zeros(channels, dtype=torch.float64) if self.linear is None else self.linear.bias64
        if self.scale is not None:
            bias = bias * self.scale
        return bias if self.shift is None else bias + self.shift


@dataclass(frozen=True)
class MergeBranches(Pass):
    """Merge convolutions or linear layers of one value that add up, with the value itself and with batch norms.

    The widest kernel takes the others; the value itself is a kernel with a one in its center.
    """

    name: ClassVar[str] = "merge_branches"
    stage: ClassVar[Stage] = Stage.FUSE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if not _is_sum(node) or _inside(node, only_user(node)):
                continue
            inner, leaves = _sum(node)
            sums = {node, *inner}
            for group in _groups(program, leaves):
                base = _base(group)
                merged = []
                for branch in group:
                    reason = _obstacle(branch, base, sums)
                    if reason is None:
                        merged.append(branch)
                    else:
                        view.decline(branch.leaf, reason)
                if len(merged) < 2 or base.node not in [item.linear.node for item in merged if item.linear]:
                    continue
                dead = {item.name for item in [node, *inner, *(n for branch in merged for n in branch.nodes)]}
                site = (node.name, *(item.leaf.name for item in merged))
                yield Candidate(self.name, site, frozenset(dead), _reads(merged) - dead)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        root, *wanted = edit.nodes(candidate)
        if not _is_sum(root):
            raise StaleCandidate(f"{candidate.id}: {root.name} is no sum")
        inner, leaves = _sum(root)
        sums = {root, *inner}
        for group in _groups(edit, leaves):
            base = _base(group)
            merged = [branch for branch in group if _obstacle(branch, base, sums) is None]
            if [branch.leaf for branch in merged] == wanted:
                edit.replace(root, _merged_sum(edit, merged, base, leaves))
                return
        raise StaleCandidate(f"{candidate.id}: {root.name} adds up something else")


def _is_sum(node: object) -> bool:
    if not is_call(node, aten.add.Tensor) or not isinstance(node, Node):
        return False
    call = arguments(node)
    return call["alpha"] == 1 and same_shape(call["self"], node) and same_shape(call["other"], node)


def _inside(part: Node, total: Node | None) -> bool:
    """Whether a sum is nothing but one summand of another."""
    return _is_sum(total) and only_user(part) is total and total.args[0] is not total.args[1]  # type: ignore[union-attr]


def _sum(root: Node) -> tuple[list[Node], list[Node]]:
    """The sums inside a sum, and what they add up, in order; a value that is added twice is there twice."""
    inner: list[Node] = []
    leaves: list[Node] = []
    waiting: list[Any] = [root.args[1], root.args[0]]
    while waiting:
        part = waiting.pop()
        if _is_sum(part) and _inside(part, only_user(part)):
            inner.append(part)
            waiting += [part.args[1], part.args[0]]
        else:
            leaves.append(part)
    return inner, leaves


def _groups(source: Source, leaves: list[Node]) -> list[list[_Branch]]:
    """Branches of one input, at least two and one of them a linear map; the input itself is a branch, too."""
    branches = [_branch(source, leaf) for leaf in leaves]
    groups: dict[Node, list[_Branch]] = {branch.input: [] for branch in branches if branch.linear is not None}
    for branch in branches:
        if branch.leaf in groups:
            groups[branch.leaf].append(_Branch(branch.leaf, branch.leaf, None))
        if branch.input is not branch.leaf and branch.input in groups:
            groups[branch.input].append(branch)
    return [group for group in groups.values() if len(group) > 1]


def _branch(source: Source, leaf: Node) -> _Branch:
    affine = batch_norm_affine(source, leaf)
    linear = linear_map(source, leaf if affine is None else affine.input)
    if affine is None:
        return _Branch(leaf, leaf if linear is None else linear.input, linear)
    scale, shift = affine.scale.reshape(-1), affine.shift.reshape(-1)
    return _Branch(leaf, affine.input if linear is None else linear.input, linear, scale, shift)


def _base(group: list[_Branch]) -> LinearMap:
    """The widest map, which takes the others."""
    maps = [branch.linear for branch in group if branch.linear is not None]
    return max(maps, key=lambda item: item.weight.numel())


def _obstacle(branch: _Branch, base: LinearMap, sums: Collection[Node]) -> str | None:
    """Why `base` cannot take the branch, which goes into one of `sums`; None where it can."""
    for node in branch.nodes:
        outside = [user for user in node.users if user not in sums and user not in branch.nodes]
        if outside:
            return f"{node.name} is used elsewhere, by {outside[0].name}"
    linear = branch.linear
    if base.transposed or base.padding is None:
        return "transposed or asymmetric convolutions have no sum of the same form"
    if linear is None:
        if base.channels_in != base.channels_out or any(stride != 1 for stride in base.stride):
            return f"{branch.leaf.name} is the identity, which {base.node.name} does not keep in place"
        return None if _center(base) is not None else f"{base.node.name} has no weight in the place of the identity"
    if linear.transposed or linear.padding is None:
        return "transposed or asymmetric convolutions have no sum of the same form"
    for what, mine, its in (
        ("number of spatial axes", linear.spatial, base.spatial),
        ("groups", linear.groups, base.groups),
        ("stride", linear.stride, base.stride),
        ("dtype", linear.weight.dtype, base.weight.dtype),
    ):
        if mine != its:
            return f"its {what} {mine} is not that of {base.node.name}, {its}"
    return None if _taps(linear, base) is not None else f"its kernel has no place within that of {base.node.name}"


def _taps(linear: LinearMap, base: LinearMap) -> tuple[slice, ...] | None:
    """The positions in the kernel of `base` that see what the kernel of `linear` sees; None where one is missing."""
    found = []
    for axis, size in enumerate(linear.kernel):
        step = base.dilation[axis]
        first = (base.padding or ())[axis] - (linear.padding or ())[axis]
        stride = linear.dilation[axis] if size > 1 else step
        last = first + stride * (size - 1)
        if first % step or stride % step or first < 0 or last // step >= base.kernel[axis]:
            return None
        found.append(slice(first // step, last // step + 1, stride // step))
    return tuple(found)


def _center(base: LinearMap) -> tuple[int, ...] | None:
    """The position in the kernel that sees the input at the output's own place."""
    found = [divmod(padding, step) for padding, step in zip(base.padding or (), base.dilation, strict=True)]
    inside = all(not rest and place < size for (place, rest), size in zip(found, base.kernel, strict=True))
    return tuple(place for place, _ in found) if inside else None


def _reads(merged: list[_Branch]) -> frozenset[str]:
    names = {branch.input.name for branch in merged}
    for branch in merged:
        for node in branch.nodes:
            names |= {item.name for item in node.all_input_nodes if item.op == "get_attr"}
    return frozenset(names)


def _merged_sum(edit: Edit, merged: list[_Branch], base: LinearMap, leaves: list[Node]) -> Node:
    blocks = torch.stack([branch.blocks(base) for branch in merged]).sum(0)
    bias = None
    if any(branch.biased for branch in merged):
        bias = torch.stack([branch.bias(base.channels_out) for branch in merged]).sum(0)
    total = base.rebuild(edit, base.input, blocks, bias)
    rest = list(leaves)
    for branch in merged:
        rest.remove(branch.leaf)
    for leaf in rest:
        total = edit.call(aten.add.Tensor, (total, leaf))
    return total
