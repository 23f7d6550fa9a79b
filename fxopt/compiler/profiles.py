"""What an engine's profile of a build says of steps and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxopt.contracts.candidate import Step

Kernels = Iterable[Mapping[str, Any]]  # as `Workshop.kernels` gives them
Makers = Mapping[str, str]  # of a build's nodes: ids of the steps that made them, by name


def by_step(kernels: Kernels, makers: Makers) -> dict[str, float]:
    """Milliseconds of the kernels that cover what a step made, by its id."""
    times: dict[str, float] = {}
    for nodes, milliseconds in _timed(kernels):
        step = next((makers[node] for node in nodes if node in makers), None)
        if step is not None:
            times[step] = times.get(step, 0.0) + milliseconds
    return times


def by_node(kernels: Kernels) -> dict[str, float]:
    """Milliseconds by the name of the first node that each kernel covers."""
    times: dict[str, float] = {}
    for nodes, milliseconds in _timed(kernels):
        times[nodes[0]] = times.get(nodes[0], 0.0) + milliseconds
    return times


def dtypes(kernels: Kernels, makers: Makers, left: Iterable[Step]) -> dict[str, list[str]]:
    """What each step's part is computed with, by id, where the engine tells; of steps left out what they would replace."""
    found: dict[str, set[str]] = {}
    others = list(left)
    for kernel in kernels:
        if kernel["dtype"] is None:
            continue
        made = next((makers[node] for node in kernel["covers"] if node in makers), None)
        there = [step.id for step in others if not step.candidate.writes.isdisjoint(kernel["covers"])]
        for identity in there if made is None else [made]:
            found.setdefault(identity, set()).add(kernel["dtype"])
    return {identity: sorted(names) for identity, names in found.items()}


def _timed(kernels: Kernels) -> list[tuple[list[str], float]]:
    return [(kernel["covers"], kernel["ms"]) for kernel in kernels if kernel["covers"] and kernel["ms"] is not None]
