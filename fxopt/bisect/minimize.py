"""The smallest cause of a failure, among things of which some need others: a pure function of an oracle.

`smallest` is the bisecting member of the delta-debugging family (A. Zeller and R. Hildebrandt, "Simplifying and isolating
failure-inducing input", 2002): a cause of one thing among n is found with log2(n) questions, as by `git bisect`, and
each further thing that has a part in it costs as many again. `reduce` is the classic half: leave out chunks, ever smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import TypeVar

Thing = TypeVar("Thing", bound=Hashable)


def smallest(
    order: Sequence[Thing], needs: Mapping[Thing, Collection[Thing]], fails: Callable[[frozenset[Thing]], bool]
) -> frozenset[Thing]:
    """The smallest closed set that fails: with each thing all that it needs is in it.

    A thing is in it only if without it, all else in it that does not need it passes. Where whatever holds a failing set
    fails too, no smaller part of it fails at all.

    Args:
        order: all things, which together fail; each stands after those that it needs.
        needs: what each needs, at least directly; nothing for one that is absent.
        fails: asked about closed sets, once about each. One thing among n that is to blame takes at most
            ceil(log2(n)) + 2 questions, the last of which is whether what it needs passes without it.
    """
    known: dict[frozenset[Thing], bool] = {frozenset(order): True}

    def ask(part: frozenset[Thing]) -> bool:
        if part not in known:
            known[part] = fails(part)
        return known[part]

    cause: frozenset[Thing] = frozenset()
    rest = list(order)
    while not cause or not ask(cause):  # that nothing fails is asked at the end, if it matters then
        passing, failing = 0, len(rest)  # how many of the rest, beside `cause`
        while failing - passing > 1:
            middle = (passing + failing) // 2
            if ask(cause.union(rest[:middle])):
                failing = middle
            else:
                passing = middle
        cause |= closed([rest[failing - 1]], needs)
        rest = [thing for thing in rest[: failing - 1] if thing not in cause]
    return reduce([thing for thing in order if thing in cause], needs, ask)


def reduce(
    things: Sequence[Thing],
    needs: Mapping[Thing, Collection[Thing]],
    fails: Callable[[frozenset[Thing]], bool],
    chunk: int = 1,
) -> frozenset[Thing]:
    """A part of a failing closed set that fails, and of which nothing that the rest of it does not need can be left out.

    Args:
        things: the set; each stands after those that it needs.
        needs: as in `smallest`.
        fails: asked about closed sets.
        chunk: how many things are left out at once at first, with all that needs them.
    """
    kept, chunk = list(things), max(1, chunk)
    while True:
        before, end = len(kept), len(kept)
        while end > 0:
            start = max(0, end - chunk)
            gone = _with_users(kept[start:end], kept, needs)
            if (chunk > 1 or len(gone) == 1) and fails(frozenset(kept) - gone):
                kept = [thing for thing in kept if thing not in gone]
            end = start
        if chunk == 1 and len(kept) == before:
            return frozenset(kept)
        chunk = max(1, chunk // 2)


def closed(things: Collection[Thing], needs: Mapping[Thing, Collection[Thing]]) -> frozenset[Thing]:
    """Things with all that they need."""
    found: set[Thing] = set()
    front = list(things)
    while front:
        thing = front.pop()
        if thing not in found:
            found.add(thing)
            front.extend(needs.get(thing, ()))
    return frozenset(found)


def _with_users(
    things: Collection[Thing], kept: Sequence[Thing], needs: Mapping[Thing, Collection[Thing]]
) -> frozenset[Thing]:
    """Things with all that needs them, however indirectly, among those kept, which are in order."""
    found = set(things)
    for thing in kept:
        if not found.isdisjoint(needs.get(thing, ())):
            found.add(thing)
    return frozenset(found)
