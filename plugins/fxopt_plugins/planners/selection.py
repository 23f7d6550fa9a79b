"""Which options to take: a problem as plain data, solved exactly, greedily, or by trying all.

An option is one way to rewrite one region. What options cost adds up, but for neighbours that are both taken in one
precision: they share a boundary that each would pay for alone.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

MOST = 16  # options of which all subsets are tried in about a second
_SECOND = 1e-5  # weight of the objective where limits cannot be kept, and what breaks them least comes first


@dataclass(frozen=True)
class Option:
    """What taking an option changes, relative to taking nothing.

    Attributes:
        latency: milliseconds, below 0 where it is faster; with all its boundaries to regions that are left as they are.
        size: bytes.
        loss: of quality, not negative.
    """

    latency: float
    size: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True)
class Selection:
    """What is to be chosen, and under which limits.

    Attributes:
        options: by id. Names in other fields are those of options.
        exclusive: groups of which at most one can be taken.
        needs: options that must be taken with one, by its id.
        shared: milliseconds that two options save where both are taken, by pair; not negative.
        minimize: the objective.
        most_latency: limit on the sum of latencies; infinite for none.
        most_size: likewise of sizes.
        most_loss: likewise of losses.
        forbidden: sets of which not all can be taken, as they are known to be wrong together.
    """

    options: Mapping[str, Option]
    exclusive: Collection[frozenset[str]] = ()
    needs: Mapping[str, Collection[str]] = field(default_factory=dict)
    shared: Mapping[tuple[str, str], float] = field(default_factory=dict)
    minimize: Literal["latency", "size"] = "latency"
    most_latency: float = math.inf
    most_size: float = math.inf
    most_loss: float = math.inf
    forbidden: Collection[frozenset[str]] = ()

    def latency(self, taken: Collection[str]) -> float:
        """What options take together, relative to none."""
        saved = sum(saving for (a, b), saving in self.shared.items() if a in taken and b in taken)
        return sum(self.options[name].latency for name in taken) - saved

    def size(self, taken: Collection[str]) -> float:
        """What they add to the artifact."""
        return sum(self.options[name].size for name in taken)

    def loss(self, taken: Collection[str]) -> float:
        """What they lose."""
        return sum(self.options[name].loss for name in taken)

    def objective(self, taken: Collection[str]) -> float:
        """What is minimized."""
        return self.latency(taken) if self.minimize == "latency" else self.size(taken)

    def possible(self, taken: Collection[str]) -> bool:
        """Whether options can be taken together, whatever the limits."""
        chosen = set(taken)
        return (
            all(len(group & chosen) <= 1 for group in self.exclusive)
            and all(chosen.issuperset(self.needs.get(name, ())) for name in chosen)
            and not any(chosen.issuperset(group) for group in self.forbidden)
        )

    def excess(self, taken: Collection[str]) -> float:
        """By how much the limits are broken, in shares of what the options can change; 0 where they are kept."""
        reached = (
            (self.latency(taken), self.most_latency, self.reach[0]),
            (self.size(taken), self.most_size, self.reach[1]),
            (self.loss(taken), self.most_loss, self.reach[2]),
        )
        return sum(max(0.0, value - limit - 1e-9 * reach) / reach for value, limit, reach in reached)

    @cached_property
    def reach(self) -> tuple[float, float, float]:
        """How far each figure can move in all; 1 where it cannot."""
        options = self.options.values()
        latency = sum(abs(option.latency) for option in options) + sum(self.shared.values())
        return (
            latency or 1.0,
            sum(abs(option.size) for option in options) or 1.0,
            sum(option.loss for option in options) or 1.0,
        )


@dataclass(frozen=True)
class Solution:
    """What to take.

    Attributes:
        taken: ids of options.
        objective: of these.
        bound: what no choice is below.
        feasible: whether the limits are kept; if not, these break them least, as far as was found.
        complete: whether the solver came to its end, or ran out of time.
    """

    taken: frozenset[str]
    objective: float
    bound: float
    feasible: bool = True
    complete: bool = True

    @property
    def gap(self) -> float:
        """How far the objective may be from the best, absolute."""
        return max(0.0, self.objective - self.bound)


def exhaustive(selection: Selection) -> Solution:
    """The best of all subsets.

    Raises:
        ValueError: there are more than 16 options, some 65,000 subsets.
    """
    names = list(selection.options)
    if len(names) > MOST:
        raise ValueError(f"{len(names)} options have too many subsets to try them all: at most {MOST}")
    subsets = itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(len(names) + 1))
    possible = (frozenset(taken) for taken in subsets if selection.possible(taken))
    best = min(possible, key=lambda taken: (selection.excess(taken), selection.objective(taken), len(taken)))
    objective, feasible = selection.objective(best), selection.excess(best) == 0
    return Solution(best, objective, objective, feasible)


def greedy(selection: Selection, seconds: float = math.inf) -> Solution:
    """One option after the other: what breaks limits less, else what brings most for what it loses, as long as it brings something.

    Args:
        selection: the problem.
        seconds: after which what is taken so far has to do.
    """
    taken: frozenset[str] = frozenset()
    started = time.monotonic()
    while True:
        steps = [(name, _with(selection, taken, name)) for name in selection.options if name not in taken]
        moves = [(name, there) for name, there in steps if there is not None]
        excess, objective = selection.excess(taken), selection.objective(taken)
        better = [
            (selection.excess(there), _merit(selection, taken, there), sorted(there))
            for _, there in moves
            if (selection.excess(there), selection.objective(there)) < (excess, objective - 1e-12)
        ]
        if not better:
            return Solution(taken, objective, -math.inf, excess == 0)
        taken = frozenset(min(better)[2])
        if time.monotonic() - started > seconds:
            found = selection.objective(taken), -math.inf, selection.excess(taken) == 0
            return Solution(taken, *found, complete=False)


def _with(selection: Selection, taken: frozenset[str], name: str) -> frozenset[str] | None:
    """What is taken, and an option with what it needs, in place of what conflicts with it; None where that cannot be."""
    added, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in added:
            added.add(one)
            waiting += selection.needs.get(one, ())
    out = set[str]().union(*(group for group in selection.exclusive if group & added)) - added
    there = frozenset((taken - out) | added)
    return there if selection.possible(there) else None


def _merit(selection: Selection, before: frozenset[str], after: frozenset[str]) -> float:
    """What is gained for what is lost, the least first."""
    gained = selection.objective(after) - selection.objective(before)
    lost = selection.loss(after) - selection.loss(before)
    return gained / lost if math.isfinite(selection.most_loss) and lost > 0 and gained < 0 else gained


def milp(selection: Selection, seconds: float = 5.0) -> Solution:
    """The best, as a mixed-integer linear program that HiGHS solves (`scipy.optimize.milp`).

    A pair that saves something together has a variable of its own, at most as large as either option's. Where the limits
    cannot be kept together, what breaks them least is found in a second program. Where time is over before anything is
    found, it is what `greedy` finds.

    Args:
        selection: the problem.
        seconds: after which the best so far is taken.
    """
    names = list(selection.options)
    if not names:
        return Solution(frozenset(), 0.0, 0.0, selection.excess(()) == 0)
    started = time.monotonic()
    try:
        found = _solve(selection, names, seconds, soft=False)
        left = max(0.1, seconds - (time.monotonic() - started))
        found = found or _solve(selection, names, left, soft=True)
    except TimeoutError:
        found = None
    return found or replace(greedy(selection, max(1.0, seconds)), complete=False)


def _solve(selection: Selection, names: list[str], seconds: float, soft: bool) -> Solution | None:
    """With limits kept, or, `soft`, with as little over them as possible; None where there is no such choice.

    Raises:
        TimeoutError: it is not known whether there is.
    """
    import numpy as np
    from scipy import optimize, sparse

    place = {name: index for index, name in enumerate(names)}
    pairs = [(a, b, saving) for (a, b), saving in selection.shared.items() if saving > 0 and a in place and b in place]
    count, width = len(names), len(names) + len(pairs) + (3 if soft else 0)
    latency, size, loss = np.zeros(width), np.zeros(width), np.zeros(width)
    for name, index in place.items():
        option = selection.options[name]
        latency[index], size[index], loss[index] = option.latency, option.size, option.loss
    latency[count : count + len(pairs)] = [-saving for *_, saving in pairs]
    rows: list[tuple[dict[int, float], float]] = [
        ({place[name]: 1.0 for name in group}, 1.0) for group in selection.exclusive
    ]
    rows += [({place[name]: 1, place[other]: -1}, 0) for name, others in selection.needs.items() for other in others]
    rows += [
        ({place[name]: 1.0 for name in group}, len(group) - 1.0)
        for group in selection.forbidden
        if group <= place.keys()
    ]
    for number, (a, b, _) in enumerate(pairs):
        rows += [({count + number: 1, place[name]: -1}, 0) for name in (a, b)]
    limits = ((latency, selection.most_latency), (size, selection.most_size), (loss, selection.most_loss))
    for number, (figures, limit) in enumerate(limits):
        if math.isfinite(limit):
            reach = selection.reach[number]
            entries = {int(index): float(figures[index]) / reach for index in np.flatnonzero(figures)}
            rows.append((entries | ({width - 3 + number: -1.0} if soft else {}), limit / reach))
    goal = latency if selection.minimize == "latency" else size
    if soft:
        goal = goal / (float(np.abs(goal).sum()) or 1.0) * _SECOND
        goal[width - 3 :] = 1.0
    scale = float(np.abs(goal).max()) or 1.0
    matrix = sparse.lil_matrix((len(rows), width))
    for row, (entries, _) in enumerate(rows):
        for index, value in entries.items():
            matrix[row, index] = value
    with _without_output():
        result = optimize.milp(
            goal / scale,
            constraints=[optimize.LinearConstraint(matrix.tocsr(), ub=[limit for _, limit in rows])] if rows else [],
            integrality=np.array([1] * count + [0] * (width - count)),
            bounds=optimize.Bounds(0, np.array([1.0] * (count + len(pairs)) + [np.inf] * (width - count - len(pairs)))),
            options={"time_limit": seconds, "mip_rel_gap": 1e-4},
        )
    if result.x is None:
        if result.status == 1:
            raise TimeoutError
        return None
    taken = frozenset(name for name, index in place.items() if result.x[index] > 0.5)
    bound = result.mip_dual_bound * scale if not soft and result.mip_dual_bound is not None else -math.inf
    return Solution(taken, selection.objective(taken), float(bound), selection.excess(taken) == 0, result.status == 0)


@contextmanager
def _without_output() -> Iterator[None]:
    """HiGHS now and then writes a line of its own to the process's standard output, where `--json` allows one object alone."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
