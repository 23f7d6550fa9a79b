"""What a call of a Program writes to memory as an engine runs it, and in what order: values, and the steps that write them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import torch
from torch.fx import Node

from fxopt.contracts.memory import MemoryUse
from fxopt.ir.program import Program
from fxopt.ir.quantized import is_dequantize, is_quantize
from fxopt.ir.work import has_mask, held_bytes, is_view, measured_sizes, value_bytes
from fxopt.prices.integers import is_made_of_integers, is_part, runs_on_integers

Shape = tuple[int, ...]


@dataclass(eq=False)
class Value:
    """What is written to memory once.

    Attributes:
        bytes: that it takes.
        shape: as the engine has it.
        node: whose value it is, or a copy of it, or its scores.
        in_blocks: whether it lies in the layout that the engine's kernels for images take.
        handed: whether it is the caller's: given, or handed back.
    """

    bytes: int
    shape: Shape
    node: Node
    in_blocks: bool = False
    handed: bool = False


@dataclass(eq=False)
class Step:
    """Calls that run as one.

    Attributes:
        reads: values that must be there while it runs.
        writes: values that it leaves, and those that it needs for itself alone; each with the values in whose place it may
            be written.
        is_added: whether it is a copy that the engine adds, and counts after all that is written.
    """

    reads: set[Value] = field(default_factory=set)
    writes: dict[Value, list[Value]] = field(default_factory=dict)
    is_added: bool = False


def steps(program: Program, together: Iterable[Collection[str]], use: MemoryUse) -> list[Step]:
    """The steps of a call in the order in which they run, first one that brings the inputs.

    Args:
        program: what is run.
        together: names of calls that run as one.
        use: how the engine uses memory.
    """
    groups = list(together)
    order = _Writing(program, groups, use).as_written()
    is_on_integers = use.scheme is not None and any(runs_on_integers(node, use.scheme) for node in program.calls)
    for _ in range(use.depth_first + is_on_integers if use.depth_first else 0):
        found = _depth_first(order)
        if found is None:
            return steps(program, groups, replace(use, depth_first=0))
        order = found
    return order


class _Writing:
    """The steps of a call, by where they stand."""

    def __init__(self, program: Program, together: Iterable[Collection[str]], use: MemoryUse) -> None:
        self.program, self.use = program, use
        self.order = [node for node in program.nodes if node.op != "get_attr"]
        position = {node.name: place for place, node in enumerate(self.order)}
        # Calls that run as one do where the last of them stands.
        self.at = {name: max(map(position.__getitem__, names)) for names in together for name in names}
        self.place = {node: self.at.get(node.name, position[node.name]) for node in self.order}
        for node in self.order:
            if node.op == "placeholder":
                self.place[node] = 0
            elif is_part(node) and _is_copied(node, use.copies):  # all parts are written as one value is taken apart
                self.place[node] = position[node.all_input_nodes[0].name]
                self.at.pop(node.name, None)
        self.later = count(len(self.order))
        self.steps: dict[float, Step] = {}
        self.owners: dict[Node, set[Value]] = {}
        self.arguments: dict[Node, Mapping[Node, set[Value]]] = {}
        self.converted: dict[Value, Value] = {}
        for node in self.order:
            self._add(node)
        self._write(_writes_over(self.order, self.at, use.in_place))

    def as_written(self) -> list[Step]:
        """The steps in the order of the graph."""
        return [step for _, step in sorted(self.steps.items()) if step.reads or step.writes]

    def _add(self, node: Node) -> None:
        """Find what a call reads, and in which values its own lies."""
        read = {used: self._as_read(node, used) for used in node.all_input_nodes}
        in_blocks = False
        if not is_quantize(node) and not is_dequantize(node):
            in_blocks = self._is_in_blocks(node, set().union(*read.values()))
            if _op(node) not in self.use.copies:  # else it reads in one layout what it writes in another
                read = {used: {self._convert(v, node, in_blocks) for v in values} for used, values in read.items()}
        self.arguments[node], inherited = read, set().union(*read.values())
        is_copied = _is_copied(node, self.use.copies) and inherited  # of constants copies are made beforehand
        if self._is_view(node) and not is_copied:
            self.owners[node] = inherited
            return
        self.owners[node] = {self._value(node, self._bytes(node), in_blocks)}
        step = self._step(self.place[node])
        step.reads |= {value for value in inherited if not self._is_inside(value, node)}
        if node.op == "output":
            for value in inherited:
                value.handed = True
        step.writes |= {scores: [] for scores in self._scores(node)}

    def _write(self, over: Collection[Node]) -> None:
        """Let each step write what others read, or nobody; what is read within it alone is never written."""
        read = set().union(*(step.reads for step in self.steps.values()))
        for node in self.order:
            for value in self.owners[node] if node.op != "output" else ():
                if value.node is node and (node.name not in self.at or value in read):
                    value.handed |= node.op == "placeholder"
                    places = [] if value.handed else list(self._written_over(node, over))
                    self._step(self.place[node]).writes[value] = places

    def _step(self, place: float) -> Step:
        return self.steps.setdefault(place, Step())

    def _is_inside(self, value: Value, node: Node) -> bool:
        """Whether a value is handed from call to call of a step, and never written."""
        owner = value.node
        made = self.owners.get(owner, ())
        return value in made and owner.name in self.at and self.place[owner] == self.place[node]

    def _as_read(self, node: Node, used: Node) -> set[Value]:
        """The values that a call reads for an argument: where it takes the floats of integers, a copy of its own."""
        owners = self.owners.get(used, set())
        if not owners or self.use.scheme is None or not is_dequantize(used):
            return owners
        if is_quantize(node) or runs_on_integers(node, self.use.scheme):
            return owners
        plain = {self._convert(value, node, in_blocks=False) for value in owners}
        floats = self._value(used, value_bytes(self.program, used.meta.get("val")))
        return {self._copy(floats, plain, node, first=next(iter(used.users)) is node)}

    def _convert(self, value: Value, node: Node, in_blocks: bool) -> Value:
        """A value in the layout that a call takes: a copy for all that take it so, but of what is itself a copy as it is read."""
        owner = value.node
        is_laid_anew = _op(owner) in self.use.copies - self.use.carries
        is_free = owner.op == "placeholder" or is_laid_anew or self._is_inside(value, node)
        if is_free or value.in_blocks == in_blocks:
            return value
        if value not in self.converted:
            self.converted[value] = self._copy(self._value(owner, value.bytes, in_blocks), {value}, node)
        return self.converted[value]

    def _copy(self, copy: Value, of: set[Value], node: Node, *, first: bool = False) -> Value:
        """A copy that an engine makes for a call; where it orders steps itself, it comes upon all but the first one last."""
        place = self.place[copy.node] if first else next(self.later)
        step = self._step(place if self.use.depth_first else self.place[node] - 0.5)
        step.reads |= of
        step.writes[copy] = []
        step.is_added = not first
        return copy

    def _is_in_blocks(self, node: Node, read: Collection[Value]) -> bool:
        """Whether a call reads and writes in the layout of the engine's kernels for images."""
        op = _op(node)
        if op in self.use.blocks:
            on_integers = self.use.scheme is not None and runs_on_integers(node, self.use.scheme)
            return on_integers or _has_whole_blocks(node, self.use.block)
        return op in self.use.carries and all(value.in_blocks for value in read)

    def _is_view(self, node: Node) -> bool:
        """Whether a call writes nothing: what runs on integers rounds its result itself."""
        return is_view(node) and (not is_quantize(node) or self._is_made_of_integers(node.all_input_nodes[0]))

    def _is_made_of_integers(self, node: Node) -> bool:
        return self.use.scheme is None or is_made_of_integers(node, self.use.scheme)

    def _bytes(self, node: Node) -> int:
        if node.op == "placeholder" and not self.use.holds_inputs:
            return 0
        if self._is_made_of_integers(node):
            return held_bytes(self.program, node)
        return value_bytes(self.program, node.meta.get("val"))

    def _value(self, node: Node, size: int, in_blocks: bool = False) -> Value:
        value = _tensor(node)
        shape = () if value is None else measured_sizes(self.program, value.shape)
        if _op(node) in self.use.flattens and shape:
            shape = math.prod(shape[:-1]), shape[-1]
        if in_blocks and size == math.prod(shape):  # integers: channels last
            shape = (*shape[:1], *shape[2:], *shape[1:2])
        return Value(size, shape, node, in_blocks)

    def _scores(self, node: Node) -> Iterator[Value]:
        """The scores of an attention, of each query and key of each head in the dtype of the queries."""
        if _op(node) != "aten.scaled_dot_product_attention":
            return
        query, key = (_tensor(used) for used in node.args[:2])
        if query is not None and key is not None:
            shape = (*measured_sizes(self.program, query.shape)[:-1], measured_sizes(self.program, key.shape)[-2])
            for _ in range(self.use.masked_scores if has_mask(node) else self.use.attention_scores):
                yield Value(math.prod(shape) * query.element_size(), shape, node)

    def _written_over(self, node: Node, over: Collection[Node]) -> Iterator[Value]:
        """Values in whose place a call may write: what it reads, through calls that run as one with it."""
        if node not in over:
            return
        for values in self.arguments[node].values():
            for value in values:
                owner = value.node
                if self._is_inside(value, node):
                    yield from self._written_over(owner, over)
                elif owner.op == "call_function" and not any(
                    self.at.get(user.name) == self.at.get(node.name, -1) and user not in over for user in owner.users
                ):  # else another of the calls that run as one still reads it
                    yield value


def _depth_first(order: list[Step]) -> list[Step] | None:
    """Each step after those whose values it reads; of these the last in order is gone to first, with all that it needs.

    None where steps wait for one another in a circle, as calls may that are only foretold to run as one.
    """
    place = {step: (step.is_added, index) for index, step in enumerate(order)}
    writer = {value: step for step in order for value in step.writes}
    needs = {step: {writer[value] for value in step.reads if value in writer} - {step} for step in order}
    needed = set().union(*needs.values())
    found, begun = dict.fromkeys(order[:1]), set(order[:1])  # the inputs are there
    stack = [(step, False) for step in order if step not in needed]
    while stack:
        step, is_ready = stack.pop()
        if is_ready:
            if any(other not in found for other in needs[step]):
                return None
            found[step] = None
        elif step not in begun:
            begun.add(step)
            stack += [(step, True), *((other, False) for other in sorted(needs[step] - begun, key=place.__getitem__))]
    return list(found)


def _tensor(node: object) -> torch.Tensor | None:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value if isinstance(value, torch.Tensor) else None


def _writes_over(order: Iterable[Node], at: Mapping[str, int], in_place: Collection[str]) -> set[Node]:
    """The calls that write in place, by themselves or since they run as one with another."""
    beside: dict[int, set[str]] = {}
    for node in order:
        if node.name in at:
            beside.setdefault(at[node.name], set()).add(_op(node))

    def writes(node: Node) -> bool:
        others = beside[at[node.name]] if node.name in at else ()
        return _op(node) in in_place or any(f"{other}+{_op(node)}" in in_place for other in others)

    return set(filter(writes, order))


def _has_whole_blocks(node: Node, block: int) -> bool:
    """Whether a call is no convolution whose groups of several channels end amid a block."""
    weight, groups = _tensor(node.args[1]) if len(node.args) > 6 else None, node.args[6] if len(node.args) > 6 else 1
    if weight is None or not isinstance(groups, int) or groups == 1 or weight.shape[1] == 1:
        return True
    return weight.shape[1] % block == 0 and weight.shape[0] // groups % block == 0


def _is_copied(node: Node, copies: Collection[str]) -> bool:
    """Whether a view is a copy to an engine; of what yields several, each of them is one."""
    return _op(node) in copies and _tensor(node) is not None


def _op(node: Node) -> str:
    """A call's operator, like `"aten.relu"`; of one of several values, that of the call which yields them."""
    made = node.all_input_nodes[0] if is_part(node) else node
    return str(getattr(made.target, "overloadpacket", ""))
