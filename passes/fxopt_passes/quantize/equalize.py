"""`equalize`: layers in a row whose channels between get scales with which the ranges of their weights agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.channel_steps import POOLS, Layout, channel_axis, step
from fxopt_passes.fusion.elementwise import is_elementwise
from fxopt_passes.fusion.linear_maps import LinearMap, is_linear, linear_map
from fxopt_passes.fusion.moves import MOVES
from fxopt_passes.matching import arguments, is_call, only_user

if TYPE_CHECKING:
    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source

aten = torch.ops.aten

# f(s x) = s f(x) for s > 0, element by element.
_HOMOGENEOUS = (
    aten.relu.default, aten.leaky_relu.default, aten.prelu.default, aten.abs.default, aten.neg.default, aten.clone.default,
)  # fmt: skip
_CLAMPS = (aten.clamp.default, aten.clamp_min.default, aten.hardtanh.default, aten.relu6.default)
_PART_OF_BIAS = 2.0**-8  # that counts as a range, lest a channel of a bias alone is scaled up beyond all others
_SWEEPS, _SETTLED = 200, 2.0**-8  # over a chain; in factors of two
_RELAXATION = 1.5  # more than each link asks for: a chain of 27 layers settles in half the sweeps, nearer the solution
_LEAST_FACTOR = 1.5  # rounding to powers of two leaves up to the square root of 2


@dataclass(frozen=True)
class Equalize(Pass):
    """Scale the channels between layers so that a channel has the same range in the weights before it and after it.

    Layers are convolutions and linear layers, depthwise ones as well, with nothing but positively homogeneous functions
    between them: ReLU, leaky ReLU, pooling and what moves elements. A value that another takes as well, as at the ends of
    a residual block, keeps its scale, and so does what is clipped from above, as by ReLU6. All links of a chain of layers
    are solved together. Scales are powers of two, so that nothing is rounded.

    No engine runs it faster. Weights that share a scale over their channels lose less on integers, and so do activations
    where some channels are much smaller than others. It is tried under lower precision alone.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019.
    """

    name: ClassVar[str] = "equalize"
    stage: ClassVar[Stage] = Stage.FUSE
    prepares: ClassVar[bool] = True

    factor: float = field(
        default=2.0,
        metadata={"help": f"layers stay as they are where no scale is this large; at least {_LEAST_FACTOR}"},
    )

    def __post_init__(self) -> None:
        if not _LEAST_FACTOR <= self.factor < float("inf"):
            raise ValueError(f"factor is a number of at least {_LEAST_FACTOR}, not {self.factor!r}")

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for chain in _chains(program, view):
            names = [node.name for node in chain.nodes]
            reads = {item.name for node in chain.nodes for item in node.all_input_nodes}.difference(names)
            site = tuple(layer.node.name for layer in chain.layers)
            found = view.fit(Candidate(self.name, site, frozenset(names), frozenset(reads)), partial(self._fit, chain))
            if found is not None and found.fitted:
                yield found

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        chain = _chain_of(edit, edit.nodes(candidate))
        scales = [candidate.fitted.get(_key(index)) for index in range(len(candidate.site) - 1)]
        if chain is None or any(
            scale is None or scale.shape != (layer.channels_out,)
            for scale, layer in zip(scales, chain.layers, strict=False)
        ):
            raise StaleCandidate(f"{candidate.id}: the layers no longer come one after another")
        value, entering = chain.layers[0].input, None
        for layer, path, layout, leaving in zip(
            chain.layers, (*chain.paths, ()), (*chain.layouts, None), (*scales, None), strict=True
        ):
            value = _rescaled(edit, layer, value, entering, leaving)
            for node in path:
                value = edit.call(node.target, (value, *node.args[1:]), node.kwargs)
            entering = None if leaving is None or layout is None else leaving.repeat_interleave(layout.span)
        edit.replace(chain.layers[-1].node, value)

    def _fit(self, chain: _Chain) -> dict[str, torch.Tensor]:
        """Scales, shape (channels,), by link; none where all are near 1."""
        found = solve(chain)
        if all(bool((scale.log2().abs().exp2() < self.factor).all()) for scale in found):
            return {}
        return {_key(index): scale.double().log2().round().exp2() for index, scale in enumerate(found)}


@dataclass(frozen=True)
class _Link:
    """From a layer to the one after it: the calls between, and where channels are in the second one's input."""

    path: tuple[Node, ...]
    layout: Layout
    after: LinearMap


@dataclass(frozen=True)
class _Chain:
    """Layers one after another, what stands between each and the next, and where channels are before the next."""

    layers: tuple[LinearMap, ...]
    paths: tuple[tuple[Node, ...], ...]
    layouts: tuple[Layout, ...]

    @property
    def nodes(self) -> list[Node]:
        """All its calls."""
        return [*(layer.node for layer in self.layers), *(node for path in self.paths for node in path)]


def solve(chain: _Chain) -> list[torch.Tensor]:
    """For each link the factors s, of which the weights before it take 1/s and those after it s, so that ranges agree.

    Each channel's factor is the square root of its range before over its range after, given those of the neighbouring
    links; this is repeated, with over-relaxation, until nothing changes. The equations contract, so there is one solution.

    Returns:
        float32, shape (channels,). Channels that nothing leads to or from have 1.
    """
    ranges = [layer.blocks.abs().reshape(*layer.blocks.shape[:3], -1).amax(3).float() for layer in chain.layers]
    scales = [torch.ones(layer.channels_out) for layer in chain.layers[:-1]]

    def sides(index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The ranges of each channel of a link before and after it, with the other links' scales."""
        before, after, span = ranges[index], ranges[index + 1], chain.layouts[index].span
        low = chain.layers[index].bias64.abs().float() * _PART_OF_BIAS
        if index:
            entering = scales[index - 1].repeat_interleave(chain.layouts[index - 1].span)
            before = before * entering.reshape(len(before), 1, -1)
        if index + 1 < len(scales):
            after = after / scales[index + 1].reshape(len(after), -1, 1)
        return before.amax(2).reshape(-1).maximum(low), after.amax(1).reshape(-1, span).amax(1)

    for _ in range(_SWEEPS):
        change = 0.0
        for index, last in enumerate(scales):
            before, after = sides(index)
            wanted = before.sqrt() / after.sqrt()
            scales[index] = last * torch.where(wanted.log2().isfinite(), wanted / last, 1.0) ** _RELAXATION
            change = max(change, float((scales[index] / last).log2().abs().max()))
        if change < _SETTLED:
            break
    return scales


def _key(index: int) -> str:
    return f"scale_{index}"


def _rescaled(
    edit: Edit, layer: LinearMap, value: Node, entering: torch.Tensor | None, leaving: torch.Tensor | None
) -> Node:
    """The layer on `value`, whose channels were divided by `entering`; those that it gives are divided by `leaving`."""
    blocks, bias = layer.blocks, layer.bias64
    if entering is not None:
        blocks = layer.scale_in(entering)
    if leaving is not None:
        blocks, bias = blocks / leaving.reshape(layer.groups, -1, 1, *[1] * layer.spatial), bias / leaving
    return layer.rebuild(edit, value, blocks, None if layer.bias is None else bias)


def _chains(program: Program, view: View) -> Iterator[_Chain]:
    """All chains of two and more layers, as long as can be."""
    links: dict[Node, _Link] = {}
    for node in program.calls:
        link = _link(program, node)
        if isinstance(link, str):
            view.decline(node, link)
        elif link is not None:
            links[node] = link
    later = {link.after.node for link in links.values()}
    for head in links:
        if head not in later:
            layers, node = [head], head
            while node in links:
                node = links[node].after.node
                layers.append(node)
            chain = _chain_of(program, layers)
            assert chain is not None
            yield chain


def _chain_of(source: Source, nodes: list[Node]) -> _Chain | None:
    """The chain of these layers; None where one does not lead to the next."""
    links = [_link(source, node) for node in nodes[:-1]]
    found = [link for link in links if isinstance(link, _Link)]
    first = linear_map(source, nodes[0])
    if first is None or [link.after.node for link in found] != nodes[1:]:
        return None
    layers = (first, *(link.after for link in found))
    return _Chain(layers, tuple(link.path for link in found), tuple(link.layout for link in found))


def _link(source: Source, node: Node) -> _Link | str | None:
    """The way from a layer to the next; why there is none, where one looks near; None where nothing does."""
    first = linear_map(source, node)
    if first is None:
        return None
    layout: Layout | None = Layout(channel_axis(first))
    path: list[Node] = []
    while True:
        user = only_user(node)
        if user is None:
            near = any(is_linear(item) for item in node.users)
            return f"{node.name} has {len(node.users)} users" if near and len(node.users) > 1 else None
        if is_linear(user):
            break
        layout = _step(source, user, layout) if layout else None
        if layout is None:
            follower = only_user(user)
            if is_elementwise(user) and follower is not None and is_linear(follower):
                return f"no scale passes {user.name}, which is not positively homogeneous"
            return None
        path.append(user)
        node = user
    second = linear_map(source, user)
    if second is None or second.input is not node:
        return f"the weight of {user.name} is not a constant"
    if (
        layout is None
        or layout != Layout(channel_axis(second), layout.span)
        or first.channels_out * layout.span != second.channels_in
    ):
        return f"the channels of {first.node.name} are not those of {user.name}"
    shared = next((item for item in (first, second) if len(item.weight_node.users) > 1), None)
    if shared is not None:
        return f"the weight of {shared.node.name} is used elsewhere"
    if not all(bool(item.weight.isfinite().all()) for item in (first, second)):
        return "its weights are not finite"
    return _Link(tuple(path), layout, second)


def _step(source: Source, node: Node, layout: Layout) -> Layout | None:
    """Where the channels are after a positively homogeneous call; None where it is another."""
    if not isinstance(node.args[0] if node.args else None, Node):
        return None
    if is_call(node, *_CLAMPS):
        call = arguments(node)
        low, high = call.get("min", call.get("min_val")), call.get("max", call.get("max_val"))
        clips = node.target == aten.relu6.default or high is not None
        return layout if not clips and low == 0 else None
    if is_call(node, *_HOMOGENEOUS):
        others = [item for item in node.all_input_nodes if item is not node.args[0]]
        return layout if all(item.op == "get_attr" for item in others) else None
    return step(source, node, layout) if is_call(node, *MOVES, *POOLS, aten.mean.dim) else None
