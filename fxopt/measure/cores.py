"""Whether a process has the cores to itself.

On a virtual machine two of its threads may share a core for seconds, or share it with a stranger, which nothing else tells.
Ratios of what is timed in turns hardly notice, but a time by itself may be half as long again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_NUMBERS, _CALLS, _REPEATS = 20_000, 150, 4  # two milliseconds of arithmetic that stays in a core's own cache
_MOST_THREADS = 16  # that are looked at
# Times as long as one thread has taken at best, from which on cores are shared: with a core each it is 1.0 to 1.2, with
# others on the same cores 1.5 and more.
_CROWDED = 1.35
_ABOVE = 1.1  # times the usual, where cores are always shared
# Seconds that one measurement waits at most, and the share of a process's time that all of them may.
_PATIENCE_S, _SHARE, _PAUSE_S = 4.0, 0.25, 0.02


def undisturbed(burst: Callable[[], T], seconds: float = 0.0) -> list[T]:
    """Results of bursts of work before and after which no core was shared; of the least disturbed ones where there were too few.

    Args:
        burst: takes a tenth of a second or less where it can: the longer it is, the rarer nothing comes between.
        seconds: that the bursts are to have taken together; one is made at least.
    """
    return _cores.undisturbed(burst, seconds)


class Cores:
    """What a process knows of its cores.

    Attributes:
        alone_ms: that the computation has taken one thread at best.
        least: crowding that it has come down to.
        since: when it was first looked at, by `time.monotonic`.
        waited_s: in all.
    """

    def __init__(self) -> None:
        self.alone_ms = self.least = float("inf")
        self.since, self.waited_s = time.monotonic(), 0.0

    def undisturbed(self, burst: Callable[[], T], seconds: float) -> list[T]:
        """As the function."""
        made: list[tuple[float, float, T]] = []
        waited, before, least = 0.0, self.now(), float("inf")
        while True:
            late = waited > _PATIENCE_S or self.waited_s > _SHARE * (time.monotonic() - self.since)
            begun = time.monotonic()
            if before <= self.tolerated or before < least or late:
                found = burst()
                took = time.monotonic() - begun
                after = self.now()
                made.append((max(before, after), took, found))
                least = min(least, made[-1][0])
                if results := _enough(made, seconds, float("inf") if late else self.tolerated):
                    return results
                before = after
            else:
                time.sleep(_PAUSE_S)
                before = self.now()
                waited += time.monotonic() - begun
                self.waited_s += time.monotonic() - begun

    @property
    def tolerated(self) -> float:
        """Crowding that is borne: where cores are always shared, waiting helps nothing."""
        return max(_CROWDED, _ABOVE * self.least)

    def now(self) -> float:
        """How many times as long a computation takes on all cores as on one at best: about 1 where each is ours alone."""
        together = _milliseconds(min(len(os.sched_getaffinity(0)), _MOST_THREADS))
        if together > _CROWDED * self.alone_ms or self.alone_ms == float("inf"):
            self.alone_ms = min(self.alone_ms, _milliseconds(1))
        self.alone_ms = min(self.alone_ms, together)
        self.least = min(self.least, together / self.alone_ms)
        return together / self.alone_ms


_cores = Cores()


def _enough(made: Sequence[tuple[float, float, T]], seconds: float, crowded: float) -> list[T]:
    """Results of the least crowded, of no more than so crowded, that took so long together; none where they did not."""
    taken, found = 0.0, []
    for crowding, took, result in sorted(made, key=lambda each: each[0]):
        if crowding > crowded:
            break
        taken += took
        found.append(result)
        if taken >= seconds:
            return found
    return []


def _milliseconds(threads: int) -> float:
    return min(_once(threads) for _ in range(_REPEATS))


def _once(threads: int) -> float:
    """From when the first begins until the last is done, each kept where it is: the system may start two on one core."""
    ready, spans, usable = threading.Barrier(threads), [(0.0, 0.0)] * threads, sorted(os.sched_getaffinity(0))

    def work(index: int) -> None:
        os.sched_setaffinity(0, {usable[index % len(usable)]})  # of this thread alone
        values = np.linspace(0.0, 1.0, _NUMBERS)
        out = np.empty_like(values)
        ready.wait()
        started = time.perf_counter()
        for _ in range(_CALLS):
            np.exp(values, out=out)
        spans[index] = started, time.perf_counter()

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 1e3 * (max(end for _, end in spans) - min(start for start, _ in spans))
