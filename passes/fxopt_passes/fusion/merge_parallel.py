"""`merge_parallel`: linear maps of one value, side by side, are one wide linear map and a split."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.elementwise import is_elementwise, same_function
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import is_call, only_user

if TYPE_CHECKING:
    from fxopt import Edit, Program, View

aten = torch.ops.aten


@dataclass(frozen=True)
class _Merge:
    """What becomes one.

    Attributes:
        members: the linear maps, in the order in which their channels go.
        tails: what each member's channels leave as: the member's node, or the last activation that all members share.
        inner: the nodes from members to tails.
        cat: the concatenation that puts all tails next to one another in this order, so that nothing is split.
    """

    members: list[LinearMap]
    tails: list[Node]
    inner: list[Node] = field(default_factory=list)
    cat: Node | None = None

    @property
    def writes(self) -> frozenset[str]:
        """Names of all that is replaced."""
        nodes = [*(item.node for item in self.members), *self.inner, *([self.cat] if self.cat else [])]
        return frozenset(node.name for node in nodes)


@dataclass(frozen=True)
class MergeParallel(Pass):
    """Merge linear layers, or convolutions of one geometry, that take the same value.

    Query, key and value projections become one; so do the pointwise convolutions of an Inception block. Activations
    that all of them share go before the split; where a concatenation follows, nothing is split.
    """

    name: ClassVar[str] = "merge_parallel"
    stage: ClassVar[Stage] = Stage.FUSE

    max: int = field(default=16, metadata={"help": "how many maps one merge takes at most"})

    def __post_init__(self) -> None:
        if self.max < 2:
            raise ValueError(f"max is at least 2, not {self.max}")

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for source in program.nodes:
            for members in self._groups(program, view, source):
                merge = _merge(members)
                reads = frozenset().union(*(item.weight_names for item in members))
                yield Candidate(self.name, tuple(item.node.name for item in members), merge.writes, reads)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        maps = [linear_map(edit, node) for node in edit.nodes(candidate)]
        members = [item for item in maps if item is not None]
        if len(members) < len(maps) or any(_difference(members[0], item) for item in members[1:]):
            raise StaleCandidate(f"{candidate.id}: the maps are not of one kind")
        merge = _merge(members)
        if not merge.writes <= candidate.writes:
            raise StaleCandidate(f"{candidate.id}: what follows the maps has changed")
        _apply(edit, merge)

    def _groups(self, program: Program, view: View, source: Node) -> Iterator[list[LinearMap]]:
        users = [item for item in (linear_map(program, user) for user in sorted(source.users)) if item is not None]
        groups: list[list[LinearMap]] = []
        for item in users:
            reason = "it is grouped" if item.groups != 1 else "it is transposed" if item.transposed else None
            if reason is None and item.padding is None:
                reason = "its padding is asymmetric"
            if reason:
                if len(users) > 1:
                    view.decline(
                        item.node, f"{reason}, so that its channels cannot stand beside others of {source.name}"
                    )
                continue
            group = next((group for group in groups if not _difference(group[0], item)), None)
            if group is None:
                groups.append([item])
            else:
                group.append(item)
        for group in groups:
            for start in range(0, len(group), self.max):
                part = group[start : start + self.max]
                if len(part) > 1:
                    yield part
        for group in groups:
            if len(group) == 1 and len(groups) > 1:
                other = next(item for item in groups if item is not group)[0]
                view.decline(group[0].node, f"{_difference(other, group[0])}: {other.node.name} takes the same value")


def _difference(left: LinearMap, right: LinearMap) -> str | None:
    """What keeps two maps from being one; None where nothing does."""
    if left.input is not right.input:
        return "inputs differ"
    if left.weight.dtype != right.weight.dtype or left.spatial != right.spatial or left.transposed or right.transposed:
        return "operators differ"
    if left.groups != 1 or right.groups != 1:
        return "groups differ"
    for what in ("kernel", "stride", "padding", "dilation"):
        if getattr(left, what) != getattr(right, what):
            return f"{what}s differ" if what != "padding" else "paddings differ"
    return "paddings are asymmetric" if left.padding is None else None


def _merge(members: list[LinearMap]) -> _Merge:
    tails, inner = [item.node for item in members], []
    while True:
        following = [only_user(node) for node in tails]
        first = following[0]
        if first is None or not all(is_elementwise(node) and same_function(first, node) for node in following if node):
            break
        if None in following or len(set(following)) < len(members):
            break
        tails = [node for node in following if node is not None]
        inner.extend(tails)
    users = {only_user(node) for node in tails}
    cat = users.pop() if len(users) == 1 else None
    order = _order(cat, tails, members[0].axis)
    if order is None:
        return _Merge(members, tails, inner)
    return _Merge([members[i] for i in order], [tails[i] for i in order], inner, cat)


def _order(cat: Node | None, tails: list[Node], axis: int) -> list[int] | None:
    """The order in which `cat` puts the tails next to one another on `axis`; None where it does not."""
    if not is_call(cat, aten.cat.default):
        return None
    assert cat is not None
    parts: Sequence[Any] = cat.args[0]  # type: ignore[assignment]
    dim = cat.args[1] if len(cat.args) > 1 else cat.kwargs.get("dim", 0)
    places = sorted((place, tails.index(part)) for place, part in enumerate(parts) if part in tails)
    rank = cat.meta["val"].dim()
    adjacent = [place for place, _ in places] == list(range(places[0][0], places[0][0] + len(tails)))
    return [index for _, index in places] if adjacent and int(dim) % rank == axis % rank else None  # type: ignore[call-overload]


def _apply(edit: Edit, merge: _Merge) -> None:
    first, members = merge.members[0], merge.members
    blocks = torch.cat([item.blocks for item in members], 1)
    bias = torch.cat([item.bias64 for item in members]) if any(item.bias is not None for item in members) else None
    wide = first.rebuild(edit, first.input, blocks, bias)
    node = first.node
    while node not in merge.tails:
        user = only_user(node)
        assert user is not None
        node = user
        wide = edit.call(node.target, (wide, *node.args[1:]), node.kwargs)
    if merge.cat is not None:
        parts = [part for part in merge.cat.args[0] if part not in merge.tails[1:]]  # type: ignore[union-attr]
        parts = [wide if part is merge.tails[0] else part for part in parts]
        rest = [*merge.cat.args[1:]]
        joined = wide if len(parts) == 1 else edit.call(aten.cat.default, (parts, *rest), merge.cat.kwargs)
        edit.replace(merge.cat, joined)
        return
    dim = wide.meta["val"].dim() + first.axis
    pieces = edit.call(
        aten.split_with_sizes.default, (wide, [item.channels_out for item in members], dim), label="split"
    )
    for index, tail in enumerate(merge.tails):
        edit.replace(tail, edit.call(operator.getitem, (pieces, index), label="part"))
