"""Which parts of a Program an engine can run on integers, cut where one tensor alone passes.

What was quantized before is seen as if it were not: a value through Q and DQ is that value, and a weight that is computed
from constants is a weight. So the regions of a Program stay the same whatever was done to some of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node

from fxopt.ir.quantized import is_dequantize, is_quantize
from fxopt_passes.fusion.linear_maps import is_linear
from fxopt_passes.matching import arguments, dtype_of, is_call, is_float, shape_of

if TYPE_CHECKING:
    from fxopt import Program, QuantScheme

aten = torch.ops.aten

CLIPS = (aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.clamp.default)
_CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
_PAIRS = (aten.add.Tensor, aten.mul.Tensor, aten.matmul.default)


@dataclass(frozen=True)
class Region:
    """Calls that are quantized together: at least one layer with weights, or product of two activations.

    Attributes:
        nodes: in graph order; the bare ones, without the Q and DQ that may stand between them.
        floats: those of `nodes` that leave the region in float.
    """

    nodes: tuple[Node, ...]
    floats: frozenset[Node]


class Islands:
    """The regions of one Program for one engine.

    Attributes:
        regions: in graph order.
        declines: layers that could look like parts of a region, and why they are none.
    """

    def __init__(self, program: Program, scheme: QuantScheme) -> None:
        self.program, self.scheme = program, scheme
        self.declines: list[tuple[Node, str]] = []
        self.users: dict[Node, list[Node]] = {}  # of bare values
        self._varying: set[Node] = set()
        self._inside: dict[Node, None] = {}
        for node in program.nodes:
            if node.op == "placeholder" or any(used in self._varying for used in node.all_input_nodes):
                self._varying.add(node)
            if not (is_quantize(node) or is_dequantize(node)):
                for used in dict.fromkeys(map(bare, node.all_input_nodes)):
                    self.users.setdefault(used, []).append(node)
            if node.op == "call_function" and self._is_integer(node):
                self._inside[node] = None
        self._trim()
        pieces = [list(piece) for island in self._connected() for piece in self._pieces(island)]
        members = {node for piece in pieces for node in piece}
        order = {node: place for place, node in enumerate(self._inside)}
        self.regions = [
            Region(tuple(piece), frozenset(node for node in piece if self._stays_float(node, piece, members)))
            for piece in sorted(pieces, key=lambda piece: order[piece[0]])
        ]

    # -- operators ---------------------------------------------------------------------------------------------------

    def is_moving(self, node: Node) -> bool:
        """Whether a call moves integers or chooses among them, so that its output has the scale of its input."""
        if is_split(node) or is_part(node):
            return node in self._inside
        moves = operator_name(node) in self.scheme.moving_ops or self._is_padding(node)
        return node.op == "call_function" and moves and self._is_plain(node)

    def is_symmetric(self, node: Node) -> bool:
        """Whether a call wants activations of zero-point 0."""
        return operator_name(node) in self.scheme.symmetric_ops

    def root(self, value: Node) -> Node:
        """The value whose range another has: that from which it was moved."""
        value = bare(value)
        while self.is_moving(value):
            value = bare(activations(value)[0])
        return value

    def _is_integer(self, node: Node) -> bool:
        if is_linear(node) or is_call(node, aten.matmul.default):
            reason = self._obstacle(node)
            if reason:
                self.declines.append((node, reason))
            return not reason
        if is_call(node, *CLIPS):
            source = bare(activations(node)[0]) if activations(node) else node
            return source in self._inside and not self.is_moving(source) and not operand_nodes(node)
        if self._is_padding(node):
            return self._is_plain(node)
        if is_part(node):
            return node.args[0] in self._inside
        if is_split(node) and not self._is_split_of_integers(node):
            return False
        name = operator_name(node)
        if name == "aten.mean" and "aten.mean" not in self.scheme.integer_ops:
            return (
                "aten.adaptive_avg_pool2d" in self.scheme.integer_ops and self._is_plain(node) and self._goes_on(node)
            )
        if name in self.scheme.moving_ops:
            return self._is_plain(node)
        return name in self.scheme.integer_ops and self._is_plain(node) and self._goes_on(node)

    def _is_split_of_integers(self, node: Node) -> bool:
        """Whether integers are there to be split, so that all parts are on one grid anyway, and each part is taken."""
        source = bare(activations(node)[0])
        taken = {user.args[1] for user in node.users if is_part(user) and _is_value(user)}
        return source in self._inside and not self._yields_floats(source) and len(taken) == len(node.meta["val"])

    def _is_padding(self, node: Node) -> bool:
        return self.scheme.padding and is_padding(node)

    def _goes_on(self, node: Node) -> bool:
        """Whether some of its inputs are integers without it; else they would be rounded for its sake alone."""
        return any(bare(value) in self._inside for value in activations(node))

    def _is_plain(self, node: Node) -> bool:
        """Whether all tensors that it computes with depend on the inputs, as single floats of a size."""
        found = activations(node)
        if not found or not all(map(_is_value, (node, *found))) or not self._varying.issuperset(found):
            return False
        if is_call(node, *_PAIRS) and not all(isinstance(item, Node) for item in node.args[:2]):
            return False
        if is_call(node, aten.mean.dim):
            return averages(node)
        return is_part(node) or arguments(node).get("alpha", 1) == 1

    def _obstacle(self, node: Node) -> str | None:
        """Why a layer or a product does not run on integers."""
        scheme, call = self.scheme, arguments(node)
        if operator_name(node) not in scheme.integer_ops:
            return "the engine has no integer kernel for it"
        if not is_linear(node):
            if len(activations(node)) < 2 or not self._is_plain(node):
                return "it is no product of two activations of floats"
            return (
                None if all(len(shape_of(item) or ()) >= 2 for item in activations(node)) else "it multiplies a vector"
            )
        weight, bias, source = call["weight"], call["bias"], call["input"]
        shape = shape_of(weight) or ()
        if weight in self._varying or bias in self._varying:
            return "its weights are no constants"
        if source not in self._varying:
            return "its input is a constant"
        if not all(map(_is_value, (node, source, weight))):
            return "it computes on no floats of 32 bits, or on none at all"
        spatial = len(shape) - 2
        if len(shape_of(source) or ()) != spatial + 2 if spatial else len(shape_of(source) or ()) < 2:
            return "its input has no batch axis"
        if not scheme.depthwise and call.get("groups", 1) > 1 and shape[1] == 1:
            return "the engine has no integer kernel for depthwise convolutions"
        return None

    # -- islands -----------------------------------------------------------------------------------------------------

    def _trim(self) -> None:
        """Leave out what leads to no layer: after one that yields floats, integers would only round once more.

        After others, integers are there anyway, and an addition, or what moves them, goes on with them.
        """
        useful: set[Node] = set()
        for node in reversed(self._inside):
            if is_anchor(node) or any(user in useful for user in self.users.get(node, ())):
                useful.add(node)
        for node in list(self._inside):
            if node in useful or (is_call(node, *CLIPS) and bare(activations(node)[0]) in self._inside):
                continue
            makers = [bare(value) for value in activations(node)]
            forced = any(value in self._inside and not self._yields_floats(value) for value in makers)
            goes_on = is_call(node, aten.add.Tensor) or (self.is_moving(node) and not is_padding(node))
            if not forced or not goes_on:
                del self._inside[node]

    def _connected(self) -> Iterator[list[Node]]:
        """Islands: what is connected, each in graph order."""
        island: dict[Node, int] = {}
        for number, node in enumerate(self._inside):
            island[node] = number
            for value in map(bare, activations(node)):
                if value in island and island[value] != island[node]:
                    old = island[value]
                    island |= {item: number for item, other in island.items() if other == old}
        for number in dict.fromkeys(island.values()):
            yield [node for node, other in island.items() if other == number]

    def _pieces(self, island: Sequence[Node]) -> Iterator[list[Node]]:
        """The pieces of an island that have a layer; those that have none join the one before, else the one after."""
        pending: list[Node] = []
        current: list[Node] | None = None
        for piece in self._cut(island):
            if not any(map(is_anchor, piece)):
                (pending if current is None else current).extend(piece)
                continue
            if current is not None:
                yield current
            current, pending = pending + piece, []
        if current is not None:
            yield current

    def _cut(self, island: Sequence[Node]) -> Iterator[list[Node]]:
        """An island cut wherever only one of its tensors is still to be used within it."""
        members = set(island)
        left = {node: sum(user in members for user in self.users.get(node, ())) for node in island}
        live: set[Node] = set()
        piece: list[Node] = []
        for node in island:
            piece.append(node)
            for value in {bare(value) for value in activations(node)} & live:
                left[value] -= 1
                if not left[value]:
                    live.discard(value)
            if left[node]:
                live.add(node)
            if len(live) <= 1 and not any(is_split(value) or is_padding(value) for value in live):
                yield piece
                piece = []
        if piece:
            yield piece

    def _stays_float(self, node: Node, piece: Iterable[Node], members: set[Node]) -> bool:
        """Whether a value leaves in float: its layer yields floats, and who takes it elsewhere wants no integers."""
        outside = set(self.users.get(node, ())).difference(piece)
        return bool(outside) and self._yields_floats(node) and not outside & members

    def _yields_floats(self, node: Node) -> bool:
        while is_call(node, *CLIPS):
            node = bare(activations(node)[0])
        return operator_name(node) in self.scheme.float_output_ops


# -- nodes -----------------------------------------------------------------------------------------------------------


def bare(value: Node) -> Node:
    """A value without the Q and DQ behind it."""
    while is_dequantize(value):
        integers = value.args[0]
        if not isinstance(integers, Node) or not is_quantize(integers):
            break
        value = integers.all_input_nodes[0]
    return value


def activations(node: Node) -> list[Node]:
    """The float tensors that a call computes with, without the weights of a layer; each once. Of a part, what is split."""
    if is_linear(node):
        source = arguments(node)["input"]
        return [source] if isinstance(source, Node) else []
    if is_part(node):
        return node.all_input_nodes
    return [value for value in node.all_input_nodes if is_float(value)]


def operand_nodes(node: Node) -> list[Node]:
    """What a call takes beside its float tensors: sizes and the like."""
    return [value for value in node.all_input_nodes if not is_float(value)]


def is_anchor(node: Node) -> bool:
    """Whether a call is worth integers by itself: a layer with weights, or a product of two activations."""
    return is_linear(node) or is_call(node, aten.matmul.default)


def is_split(node: Node) -> bool:
    """Whether a call splits a tensor into parts, which only others take."""
    return is_call(node, aten.split_with_sizes.default, aten.split.Tensor)


def is_padding(node: Node) -> bool:
    """Whether a call puts zeros around images, and only for convolutions."""
    if not is_call(node, aten.pad.default, aten.constant_pad_nd.default):
        return False
    call, rank = arguments(node), len(shape_of(node) or ())
    zeros = call.get("mode", "constant") == "constant" and not call["value"]
    around = len(call["pad"]) <= 2 * (rank - 2) and all(isinstance(size, int) and size >= 0 for size in call["pad"])
    return zeros and around and all(is_call(user, *_CONVOLUTIONS) for user in node.users)


def is_part(node: Node) -> bool:
    """Whether a call takes a part of what was split."""
    return is_call(node, operator.getitem) and is_split(node.args[0])  # type: ignore[arg-type]


def operator_name(node: Node) -> str:
    """Like `"aten.conv2d"`; empty for what is no operator."""
    schema: Any = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name).replace("::", ".")


def averages(node: Node) -> bool:
    """Whether it is the mean over both spatial axes of images whose number of channels is known."""
    if not is_call(node, aten.mean.dim) or arguments(node)["dtype"] is not None:
        return False
    shape, axes = shape_of(node.args[0]) or (), arguments(node)["dim"] or ()
    return len(shape) == 4 and isinstance(shape[1], int) and {axis % 4 for axis in axes} == {2, 3}


def is_clipped(node: Node, inside: Callable[[Node], bool]) -> bool:
    """Whether a call clips a value that nobody else takes, so that no Q stands between the two."""
    if not is_call(node, *CLIPS):
        return False
    source = activations(node)[0]
    return inside(source) and len(source.users) == 1


def _is_value(node: Node) -> bool:
    """Whether a node is a tensor of floats of 32 bits, in a twin of 64, and has elements; or one that was split."""
    if is_split(node):
        return _is_value(node.args[0]) and all(is_part(user) and _is_value(user) for user in node.users)  # type: ignore[arg-type]
    shape = shape_of(node) or ()
    empty = any(isinstance(size, int) and size == 0 for size in shape)
    return dtype_of(node) in (torch.float32, torch.float64) and bool(shape) and not empty
