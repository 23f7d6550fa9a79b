"""`remove_constant_channels`: channels that are the same for every input go; what they add moves into biases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.channel_bounds import Bounds, channel_bounds
from fxopt_passes.fusion.channel_steps import Layout, channel_axis, narrowed, step
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import is_call

if TYPE_CHECKING:
    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source

aten = torch.ops.aten


@dataclass
class _Region:
    """The way of a linear map's output channels to the maps that mix them.

    Attributes:
        producer: makes the channels.
        layouts: where the channels are in the values on the way, the producer's own first, in execution order.
        sizes: calls that ask for a size other than that of the channel axis.
        consumers: the maps at the end.
        obstacle: what use needs all channels, as a clause; None where none does.
    """

    producer: LinearMap
    layouts: dict[Node, Layout]
    sizes: list[Node] = field(default_factory=list)
    consumers: list[LinearMap] = field(default_factory=list)
    obstacle: str | None = None


@dataclass(frozen=True)
class RemoveConstantChannels(Pass):
    """Remove output channels of a convolution or linear layer that are constant where they are used.

    They are where weights are zero, or where bounds on the values before an activation show that it always
    saturates. Channels go on the whole way: through batch norms, activations, depthwise convolutions and pooling.
    Where the hardware takes channels in steps (`channel_grid`), as many stay as fill the last step: a count off the grid
    costs as much as the next on it, and some engines leave their blocked layouts for it.
    """

    name: ClassVar[str] = "remove_constant_channels"
    stage: ClassVar[Stage] = Stage.SHAPE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            producer = linear_map(program, node)
            if producer is None or producer.groups != 1:
                continue
            region = _region(program, producer)
            dead, padded = _dead(program, region)
            if region.obstacle is not None:
                if bool(dead.any()):
                    view.decline(node, f"{int(dead.sum())} channels are constant, but {region.obstacle}")
                continue
            if padded is not None:
                view.decline(
                    node, f"a channel is constant but not 0, and the zero padding of {padded} would see the constant"
                )
            if not region.consumers or not bool(dead.any()):
                continue
            if bool(dead.all()):
                view.decline(node, "all its channels are constant")
                continue
            grid = 1 if view.capabilities is None else view.capabilities.channel_grid
            channels = _off_grid(dead, grid)
            if not channels:
                few = f"{int(dead.sum())} of {len(dead)} channels are constant"
                view.decline(node, f"{few}, too few for a step of the {grid} in which the hardware takes channels")
                continue
            writes = {item.name for item in (*region.layouts, *region.sizes)} | {
                item.node.name for item in region.consumers
            }
            maps = (producer, *region.consumers)
            reads = frozenset().union(*(item.weight_names for item in maps)) | _constants(region)
            site = (node.name, *(item.node.name for item in region.consumers))
            yield Candidate(self.name, site, frozenset(writes), reads, {"channels": channels})

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        producer = linear_map(edit, edit.node(candidate.site[0]))
        region = None if producer is None or producer.groups != 1 else _region(edit, producer)
        if region is None or region.obstacle is not None:
            raise StaleCandidate(f"{candidate.id}: the channels of {candidate.site[0]} cannot go")
        constant, _ = _dead(edit.before, region)
        dead = torch.tensor(candidate.parameters["channels"])
        if int(dead.max()) >= len(constant) or not bool(constant[dead].all()):
            raise StaleCandidate(f"{candidate.id}: not all of the channels are constant")
        keep = torch.ones(len(constant), dtype=torch.bool)
        keep[dead] = False
        _remove(edit, region, keep.nonzero().reshape(-1))


def _off_grid(dead: torch.Tensor, grid: int) -> list[int]:
    """The dead channels that go, so that those that stay fill whole steps; all where there is no grid."""
    alive = len(dead) - int(dead.sum())
    stay = min(len(dead), -(-alive // grid) * grid)
    return [int(channel) for channel in dead.nonzero().reshape(-1)][: len(dead) - stay]


def _region(source: Source, producer: LinearMap) -> _Region:
    region = _Region(producer, {producer.node: Layout(channel_axis(producer))})
    waiting = [producer.node]
    while waiting:
        node = waiting.pop(0)
        layout = region.layouts[node]
        for user in node.users:
            linear = linear_map(source, user)
            if is_call(user, aten.sym_size.int):
                if int(user.args[1]) % node.meta["val"].dim() == layout.axis:  # type: ignore[call-overload]
                    region.obstacle = f"{user.name} counts them"
                region.sizes.append(user)
            elif linear is not None and linear.groups == 1 and linear.input is node and linear.weight_node is not node:
                if channel_axis(linear) != layout.axis or (layout.span != 1 and linear.spatial):
                    region.obstacle = f"{user.name} mixes another axis"
                region.consumers.append(linear)
            else:
                after = step(source, user, layout) if user.op == "call_function" and user.args[:1] == (node,) else None
                if after is None:
                    what = "they are an output" if user.op == "output" else f"{node.name} feeds {user.name}"
                    residual = is_call(user, aten.add.Tensor) and len(user.all_input_nodes) > 1
                    region.obstacle = f"{what}, a residual add" if residual else what
                elif user not in region.layouts:
                    region.layouts[user] = after
                    waiting.append(user)
    region.layouts = dict(sorted(region.layouts.items(), key=lambda item: item[0]))
    return region


def _dead(program: Program, region: _Region) -> tuple[torch.Tensor, str | None]:
    """Which channels are constant at all ends, bool; and a consumer whose padding alone speaks against more of them."""
    dead = torch.ones(region.producer.channels_out, dtype=torch.bool)
    padded = None
    ends = [item.input for item in region.consumers] or [region.producer.node]
    for end in dict.fromkeys(ends):
        layout = region.layouts[end]
        bounds = _at(program, end, layout, len(dead))
        dead &= bounds.constant.reshape(len(dead), -1).all(1)
    for consumer in region.consumers:
        if not consumer.uniform:
            layout = region.layouts[consumer.input]
            zero = (_at(program, consumer.input, layout, len(dead)).low == 0).reshape(len(dead), -1).all(1)
            padded = consumer.node.name if bool((dead & ~zero).any()) else padded
            dead &= zero
    return dead, padded


def _at(program: Program, node: Node, layout: Layout, channels: int) -> Bounds:
    """Bounds of the channels of the program's node of that name; what an edit has done since does not change its value."""
    if node.name not in program:
        raise StaleCandidate(f"{node.name} is new")
    known: dict[Node, Bounds] = program.memo(channel_bounds, lambda _: {})
    return channel_bounds(program, program.node(node.name), known).on(layout.axis, channels * layout.span)


def _constants(region: _Region) -> frozenset[str]:
    inputs = (item for node in region.layouts for item in node.all_input_nodes)
    return frozenset(item.name for item in inputs if item.op == "get_attr")


def _remove(edit: Edit, region: _Region, keep: torch.Tensor) -> None:
    producer = region.producer
    channels = producer.channels_out
    shifts = {}
    for item in region.consumers:
        layout = region.layouts[item.input]
        shift = _at(edit.before, item.input, layout, channels).low.clone()
        shift[layout.entries(keep)] = 0
        shifts[item.node] = shift
    bias = None if producer.bias is None else producer.bias64[keep]
    new = {producer.node: producer.rebuild(edit, producer.input, producer.blocks[:, keep], bias)}
    for node, layout in region.layouts.items():
        if node is not producer.node:
            before = node.args[0]
            assert isinstance(before, Node)
            new[node] = narrowed(edit, node, new[before], region.layouts[before], layout, keep)
    for item in region.consumers:
        shift = shifts[item.node]
        bias = item.bias64 + item.of_constant(shift) if item.bias is not None or bool(shift.any()) else None
        blocks = item.blocks[:, :, region.layouts[item.input].entries(keep)]
        edit.replace(item.node, item.rebuild(edit, new[item.input], blocks, bias))
    for node in region.sizes:
        size = node.args[0]
        assert isinstance(size, Node)
        edit.replace(node, edit.call(node.target, (new[size], *node.args[1:])))
