"""Whether each thread has a core to itself. On a virtual machine two of them may share one for seconds, which nothing else tells.

Ratios of what is timed in turns hardly notice, but a time by itself may be half as long again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_NUMBERS, _CALLS, _REPEATS = 20_000, 150, 4  # two milliseconds of arithmetic that stays in a core's own cache
_MOST_THREADS = 16  # that are looked at
# Times as long as alone, from which on threads share cores: with a core each they take 1.0 to 1.2, sharing one 1.6.
_CROWDED = 1.3
_ABOVE = 1.1  # times the usual, where threads always share cores
_PATIENCE_S, _PAUSE_S = 6.0, 0.05
_TRIES = 3  # of a measurement during which threads came to share cores

# By number of threads, what they come down to on this machine where that is more than `_CROWDED`.
_usual: dict[int, float] = {}


def undisturbed(threads: int, measure: Callable[[], T]) -> T:
    """What is measured while each thread has a core to itself, before and after; in the end as it comes.

    Args:
        threads: that are measured with; 0 for as many as this process may use.
        measure: takes what it takes; is called again where threads came to share cores meanwhile.
    """
    count = min(threads or len(os.sched_getaffinity(0)), _MOST_THREADS)
    if count < 2:
        return measure()
    for _ in range(_TRIES):
        settled = _settle(count)
        found = measure()
        if not settled or crowding(count) <= _tolerated(count):
            break
    return found


def crowding(threads: int) -> float:
    """How many times as long a computation takes while all threads are at it: 1 where each has a core to itself."""
    return _milliseconds(threads) / _milliseconds(1)


def _tolerated(threads: int) -> float:
    return max(_CROWDED, _ABOVE * _usual.get(threads, 0.0))


def _settle(threads: int) -> bool:
    """Keep cores busy until threads no longer share them. False where they do so for long: then that is what is usual here."""
    started, least = time.monotonic(), float("inf")
    while (now := crowding(threads)) > _tolerated(threads):
        least = min(least, now)
        if time.monotonic() - started > _PATIENCE_S:
            _usual[threads] = least
            return False
        time.sleep(_PAUSE_S)
    return True


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
