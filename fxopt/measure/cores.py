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

_NUMBERS, _LOOK_S, _REPEATS = 20_000, 2e-3, 4  # arithmetic that stays in a core's own cache: how long, how often
_MOST_THREADS = 16  # that are looked at
# Times as long as one thread has taken at best, from which on cores are shared: with a core each it is 1.0 to 1.2, with
# others on the same cores 1.5 and more.
_CROWDED = 1.25
_ABOVE = 1.1  # times the usual, where cores are always shared
_FEWEST = 3  # calls that count at least, so that one that was measured wrongly has little say
# Seconds that one measurement waits at most, and the share of a process's time that all of them may.
_PATIENCE_S, _SHARE, _PAUSE_S = 4.0, 0.25, 0.02


def undisturbed(burst: Callable[[], T], seconds: float = 0.0, threads: int = 0) -> list[T]:
    """Results of bursts of work before and after which no core was shared; of the least disturbed ones where there were too few.

    Args:
        burst: takes a tenth of a second or less where it can: the longer it is, the rarer nothing comes between.
        seconds: that the bursts are to have taken together; one is made at least.
        threads: that the work is done in; 0 for as many as there are cores. One thread is in nobody's way where two would share
            a core: it is found free more often.
    """
    return _cores.undisturbed(burst, seconds, _on_cores(threads))


def least_disturbed(times: Sequence[float]) -> list[int]:
    """Which calls took least, a quarter of all: what else runs on a machine only adds, and comes between in any burst."""
    return sorted(range(len(times)), key=times.__getitem__)[: max(min(_FEWEST, len(times)), len(times) // 4)]


class Cores:
    """What a process knows of its cores.

    Attributes:
        calls: that the computation consists of.
        alone_ms: that it has taken one thread at best.
        least: crowding that it has come down to, by number of threads.
        since: when it was first looked at, by `time.monotonic`.
        waited_s: in all.
    """

    def __init__(self) -> None:
        self.calls, self.alone_ms = 0, float("inf")
        self.least: dict[int, float] = {}
        self.since, self.waited_s = time.monotonic(), 0.0

    def undisturbed(self, burst: Callable[[], T], seconds: float, threads: int) -> list[T]:
        """As the function, but for a number of threads that there are cores for."""
        made: list[tuple[float, float, T]] = []
        waited, before, least = 0.0, self.now(threads), float("inf")
        while True:
            late = waited > _PATIENCE_S or self.waited_s > _SHARE * (time.monotonic() - self.since)
            begun = time.monotonic()
            if before <= self.tolerated(threads) or before < least or late:
                found = burst()
                took = time.monotonic() - begun
                after = self.now(threads)
                made.append((max(before, after), took, found))
                least = min(least, made[-1][0])
                if results := _enough(made, seconds, float("inf") if late else self.tolerated(threads)):
                    return results
                before = after
            else:
                time.sleep(_PAUSE_S)
                before = self.now(threads)
                waited += time.monotonic() - begun
                self.waited_s += time.monotonic() - begun

    def tolerated(self, threads: int) -> float:
        """Crowding that is borne: where cores are always shared, waiting helps nothing."""
        return max(_CROWDED, _ABOVE * self.least[threads])

    def now(self, threads: int) -> float:
        """How many times as long a computation takes on so many cores as on one at best: about 1 where each is ours alone."""
        if not self.calls:
            self.calls = max(1, round(_LOOK_S / (1e-3 * _milliseconds(1, 1))))
        together = _milliseconds(threads, self.calls)
        if together > _CROWDED * self.alone_ms or self.alone_ms == float("inf"):
            self.alone_ms = min(self.alone_ms, _milliseconds(1, self.calls))
        self.alone_ms = min(self.alone_ms, together)
        crowding = together / self.alone_ms
        self.least[threads] = min(self.least.get(threads, crowding), crowding)
        return crowding


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


def _on_cores(threads: int) -> int:
    return min(threads or _MOST_THREADS, len(os.sched_getaffinity(0)), _MOST_THREADS)


def _milliseconds(threads: int, calls: int) -> float:
    return min(_once(threads, calls) for _ in range(_REPEATS))


def _once(threads: int, calls: int) -> float:
    """From when the first begins until the last is done.

    Several are kept where they are: the system may start two on one core. One is where the work is, the caller's own.
    """
    if threads == 1:
        started, ended = _work(calls)
        return 1e3 * (ended - started)
    ready, spans, usable = threading.Barrier(threads), [(0.0, 0.0)] * threads, sorted(os.sched_getaffinity(0))

    def work(index: int) -> None:
        os.sched_setaffinity(0, {usable[index % len(usable)]})  # of this thread alone
        spans[index] = _work(calls, ready.wait)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 1e3 * (max(end for _, end in spans) - min(start for start, _ in spans))


def _work(calls: int, ready: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """When it began and ended."""
    values = np.linspace(0.0, 1.0, _NUMBERS)
    out = np.empty_like(values)
    ready()
    started = time.perf_counter()
    for _ in range(calls):
        np.exp(values, out=out)
    return started, time.perf_counter()
