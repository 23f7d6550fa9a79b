"""How much a Program holds at once, at the measured sizes of its dynamic dimensions: its peak memory, foretold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from fxopt.contracts.memory import MemoryUse
from fxopt.ir.program import Program
from fxopt.prices.written import Shape, Step, Value, steps

_AS_WRITTEN = MemoryUse()


def peak_bytes(program: Program, together: Iterable[Collection[str]] = (), use: MemoryUse = _AS_WRITTEN) -> int:
    """Most bytes of inputs and activations that are alive at once, in the order of the graph; views own nothing.

    Args:
        program: whose values.
        together: names of calls that run as one. What they read is alive until what they write is there, and what only they
            read is never written to memory.
        use: how the engine uses memory otherwise. What is handed to the caller is never written over another value.
    """
    order = steps(program, together, use)
    return _highest(_buffers(order, keeps=use.keeps), len(order))


def footprint(program: Program) -> int:
    """Bytes that a call comes by before the next one begins: weights, and the memory that activations are written to in turns."""
    return program.weight_bytes + peak_bytes(program)


@dataclass
class _Buffer:
    """Memory that is held from one step to another, both included, for values in turns."""

    begin: int
    end: int
    bytes: int


def _buffers(order: Sequence[Step], *, keeps: bool) -> list[_Buffer]:
    """Memory for all values: that of another which is written over, else what is kept from the last of its like, else new one."""
    last: dict[Value, int] = {}
    for now, step in enumerate(order):
        last |= dict.fromkeys((*step.writes, *step.reads), now)
    kept: defaultdict[tuple[int, Shape], list[_Buffer]] = defaultdict(list)
    own: list[_Buffer] = []
    home: dict[Value, _Buffer] = {}
    for now, step in enumerate(order):
        for value, over in step.writes.items():
            alike = kept[value.bytes, value.shape] if keeps and not value.handed else own
            buffer = next((home[old] for old in over if _is_left(old, value, now, last, home)), None)
            if buffer is None and alike is not own:
                left = [other for other in alike if other.end < now]
                buffer = max(left, key=lambda other: other.end, default=None)
            if buffer is None:
                buffer = _Buffer(now, now, value.bytes)
                alike.append(buffer)
            home[value], buffer.end = buffer, last[value]
    return [*own, *chain.from_iterable(kept.values())]


def _is_left(old: Value, new: Value, now: int, last: Mapping[Value, int], home: Mapping[Value, _Buffer]) -> bool:
    """Whether a value of the same size is read for the last time now, and its memory is no other's yet."""
    return old in home and last[old] == home[old].end == now and old.bytes == new.bytes


def _highest(buffers: Iterable[_Buffer], length: int) -> int:
    """Most bytes at once in so many steps."""
    changes = [0] * (length + 1)
    for buffer in buffers:
        changes[buffer.begin] += buffer.bytes
        changes[buffer.end + 1] -= buffer.bytes
    return max(accumulate(changes))
