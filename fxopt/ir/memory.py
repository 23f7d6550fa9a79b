"""How much a Program holds at once, at the measured sizes of its dynamic dimensions: its peak memory, foretold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.engine import MemoryUse
from fxopt.ir.program import Program
from fxopt.ir.work import held_bytes, is_view, measured_sizes, value_bytes

_AS_WRITTEN = MemoryUse()


def peak_bytes(program: Program, together: Iterable[Collection[str]] = (), use: MemoryUse = _AS_WRITTEN) -> int:
    """Most bytes of inputs and activations that are alive at once, in the order of the graph; views own nothing.

    Args:
        program: whose values.
        together: names of calls that run as one. What they read is alive until what they write is there, and what only they
            read is never written to memory.
        use: how the engine uses memory otherwise. What is handed to the caller is never written over another value.
    """
    order = [node for node in program.nodes if node.op != "get_attr"]
    position = {node.name: step for step, node in enumerate(order)}
    at = {name: max(position[name] for name in names) for names in together for name in names}
    owners: dict[Node, set[Node]] = {}
    last: dict[Node, int] = {}
    born: dict[Node, int] = {}
    for step, node in enumerate(order):
        inherited = {owner for used in node.all_input_nodes for owner in owners.get(used, ())}
        if is_view(node) and not (
            inherited and _is_copied(node, use.copies)
        ):  # of constants copies are made beforehand
            owners[node] = inherited
            continue
        owners[node], now = {node}, at.get(node.name, step)
        if node.op != "output":
            born[node] = 0 if node.op == "placeholder" else now
            if node.name not in at:  # else only where something else reads it
                last[node] = now
        for owner in inherited:
            if owner.name not in at or at[owner.name] != now:
                last[owner] = max(last.get(owner, 0), now)
    ends = {node: 2 * end + 1 for node, end in last.items()}
    over = _writes_over(order, at, use.in_place)
    handed = {
        owner
        for node in order
        if node.op == "output"
        for value in node.all_input_nodes
        for owner in owners.get(value, ())
    }
    for node in last:
        size = held_bytes(program, node)
        for owner in _written_over(node, owners, at, over) if node not in handed else ():
            if ends.get(owner) == 2 * born[node] + 1 and held_bytes(program, owner) == size:
                ends[owner] -= 1  # gone as the other comes
                break
    kept: list[_Span] = []
    others = _scores(program, order, at, position, use.attention_scores)
    for node, end in ends.items():
        span = _Span(2 * born[node], end, held_bytes(program, node), _shape(program, node))
        is_kept = use.keeps_floats and node not in handed and _lies_as_floats(program, node)
        (kept if is_kept else others).append(span)
    return _highest([*_reused(kept), *others])


@dataclass
class _Span:
    """Memory that is held from one moment to another, for a value of some shape."""

    begin: int
    end: int
    bytes: int
    shape: tuple[int, ...] = ()


def footprint(program: Program) -> int:
    """Bytes that a call comes by before the next one begins: weights, and the memory that activations are written to in turns."""
    return program.weight_bytes + peak_bytes(program)


def _reused(spans: Iterable[_Span]) -> list[_Span]:
    """Memory where each value takes that of the last of its shape that is no longer read, if there is one."""
    found: list[_Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        free = [other for other in found if other.shape == span.shape and other.end <= span.begin]
        if free:
            max(free, key=lambda other: other.end).end = span.end
        else:
            found.append(replace(span))
    return found


def _highest(spans: Iterable[_Span]) -> int:
    """Most bytes at once."""
    changes: Counter[int] = Counter()
    for span in spans:
        changes[span.begin] += span.bytes
        changes[span.end] -= span.bytes
    live = peak = 0
    for moment in sorted(changes):
        live += changes[moment]
        peak = max(peak, live)
    return peak


def _shape(program: Program, node: Node) -> tuple[int, ...]:
    value = _value(node)
    return () if value is None else measured_sizes(program, value.shape)


def _lies_as_floats(program: Program, node: Node) -> bool:
    """Whether a call's value lies in memory in floats, which are not only there to be quantized."""
    value = _value(node)
    floats = value is not None and value.is_floating_point() and node.op == "call_function"
    return floats and held_bytes(program, node) == value_bytes(program, value)


def _scores(
    program: Program, order: Iterable[Node], at: Mapping[str, int], position: Mapping[str, int], times: int
) -> list[_Span]:
    """The scores of attentions, which are there while these run."""
    found = []
    for node in order:
        if _op(node) == "aten.scaled_dot_product_attention":
            now, size = at.get(node.name, position[node.name]), _scores_bytes(program, node)
            found.append(_Span(2 * now, 2 * now + 1, times * size))
    return found


def _scores_bytes(program: Program, node: Node) -> int:
    """Bytes of the scores of an attention: of each query and key of each head, in the dtype of the queries."""
    query, key = (_value(used) for used in node.args[:2])
    if query is None or key is None:
        return 0
    shape = measured_sizes(program, query.shape)[:-1]
    return math.prod(shape) * measured_sizes(program, key.shape)[-2] * query.element_size()


def _value(node: Any) -> torch.Tensor | None:
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


def _written_over(
    node: Node, owners: Mapping[Node, Collection[Node]], at: Mapping[str, int], over: Collection[Node]
) -> Iterator[Node]:
    """Values in whose place a call may write: what it reads, through calls that run as one with it."""
    if node not in over:
        return
    for used in node.all_input_nodes:
        for owner in owners.get(used, ()):
            if owner.name in at and at[owner.name] == at.get(node.name):
                yield from _written_over(owner, owners, at, over)
            elif owner.op == "call_function" and not any(
                at.get(user.name) == at.get(node.name, -1) and user not in over for user in owner.users
            ):  # else another of the calls that run as one still reads it
                yield owner


def _is_copied(node: Node, copies: Collection[str]) -> bool:
    """Whether a view is a copy to an engine; of what yields several, each of them is one."""
    part = getattr(node.target, "__name__", "") == "getitem" and isinstance(node.args[0], Node)
    made = node.args[0] if part else node
    return isinstance(made, Node) and _op(made) in copies and _value(node) is not None


def _op(node: Node) -> str:
    return str(getattr(node.target, "overloadpacket", ""))
