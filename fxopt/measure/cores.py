"""Whether a process has the cores to itself, and whether they are near one another.

On a virtual machine two of its threads may share a core for seconds, or share it with a stranger, or the host moves one of them
to a core that has no cache in common with the other's: what threads hand to one another then takes twice as long, and so may
a network in two threads. Nothing else tells. Ratios of what is timed in turns hardly notice, but a time by itself may be
double.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_NUMBERS, _LOOK_S, _REPEATS = 20_000, 2e-3, 4  # arithmetic that stays in a core's own cache: how long, how often
_HANDED, _TURNS = 65_536, 12  # numbers that threads hand to one another, and how often each gets them: a millisecond
_MOST_THREADS = 16  # that are looked at
# Times as long as one thread has taken at best, from which on cores are shared: with a core each it is 1.0 to 1.2, with
# others on the same cores 1.5 and more.
# Of what is handed over likewise: 1.0 to 1.1 times the least from a core that is near, 2.3 from one that is not.
_CROWDED = 1.25
_ABOVE = 1.1  # times the usual, where cores are always shared
_FEWEST = 3  # calls that count at least, so that one that was measured wrongly has little say
# Seconds that one measurement waits at most, and the share of a process's time that all of them may beyond that.
_PATIENCE_S, _SHARE, _PAUSE_S = 8.0, 0.3, 0.02


def undisturbed(burst: Callable[[], T], seconds: float = 0.0, threads: int = 0) -> list[T]:
    """Results of bursts before and after which no core was shared or far from the others; of the least disturbed where there were too few.

    Args:
        burst: takes a tenth of a second or less where it can: the longer it is, the rarer nothing comes between.
        seconds: that the bursts are to have taken together; one is made at least.
        threads: that the work is done in; 0 for as many as there are cores. One thread is in nobody's way where two would share
            a core: it is found free more often.
    """
    return _cores.undisturbed(burst, seconds, _on_cores(threads))


def known() -> dict[str, list[float]]:
    """Of each number of threads, what it takes at best to hand something over, and the least disturbance, as JSON has it.

    What is usual on a machine is no matter of one process.
    """
    return {str(threads): [best, _cores.least[threads]] for threads, best in _cores.handover_ms.items()}


def learn(found: Mapping[str, Sequence[float]]) -> None:
    """Take over what another process of ours has found to be `known`."""
    for threads, (best, least) in ((int(name), figures) for name, figures in found.items()):
        _cores.handover_ms[threads] = min(best, _cores.handover_ms.get(threads, best))
        _cores.least[threads] = min(least, _cores.least.get(threads, least))


def least_disturbed(times: Sequence[float]) -> list[int]:
    """Which calls took least, a quarter of all: what else runs on a machine only adds, and comes between in any burst."""
    return sorted(range(len(times)), key=times.__getitem__)[: max(min(_FEWEST, len(times)), len(times) // 4)]


class Cores:
    """What a process knows of its cores.

    Attributes:
        calls: that the computation consists of.
        alone_ms: that it has taken one thread at best.
        handover_ms: that it has taken at best to hand something over, by number of threads.
        least: disturbance that it has come down to, by number of threads.
        since: when it was first looked at, by `time.monotonic`.
        waited_s: in all.
    """

    def __init__(self) -> None:
        self.calls, self.alone_ms = 0, float("inf")
        self.handover_ms: dict[int, float] = {}
        self.least: dict[int, float] = {}
        self.since, self.waited_s = time.monotonic(), 0.0

    def undisturbed(self, burst: Callable[[], T], seconds: float, threads: int) -> list[T]:
        """As the function, but for a number of threads that there are cores for."""
        made: list[tuple[float, float, T]] = []
        waited, before, least = 0.0, self.now(threads), float("inf")
        while True:
            late = waited > _PATIENCE_S or self.waited_s > _PATIENCE_S + _SHARE * (time.monotonic() - self.since)
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
        """Disturbance that is borne: where cores are always shared, waiting helps nothing."""
        return max(_CROWDED, _ABOVE * self.least[threads])

    def now(self, threads: int) -> float:
        """How many times as long as at best it takes so many cores to compute, each by itself, or to hand something over.

        About 1 where each is ours alone and near the others.
        """
        found = self._crowding(threads)
        if threads > 1:
            handover = _handover_ms(threads)
            best = self.handover_ms[threads] = min(handover, self.handover_ms.get(threads, handover))
            found = max(found, handover / best)
        self.least[threads] = min(self.least.get(threads, found), found)
        return found

    def _crowding(self, threads: int) -> float:
        """How many times as long a computation takes on so many cores as on one at best."""
        if not self.calls:
            self.calls = max(1, round(_LOOK_S / (1e-3 * _milliseconds(1, 1))))
        together = _milliseconds(threads, self.calls)
        if together > _CROWDED * self.alone_ms or self.alone_ms == float("inf"):
            self.alone_ms = min(self.alone_ms, _milliseconds(1, self.calls))
        self.alone_ms = min(self.alone_ms, together)
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


def _on_cores(threads: int) -> int:
    return min(threads or _MOST_THREADS, len(os.sched_getaffinity(0)), _MOST_THREADS)


def _milliseconds(threads: int, calls: int) -> float:
    return min(_once(threads, calls) for _ in range(_REPEATS))


def _once(threads: int, calls: int) -> float:
    """From when the first begins until the last is done. One is where the work is, the caller's own."""
    if threads == 1:
        started, ended = _work(calls)
        return 1e3 * (ended - started)
    ready, spans = threading.Barrier(threads), [(0.0, 0.0)] * threads

    def work(index: int) -> None:
        spans[index] = _work(calls, ready.wait)

    _on_each_core(threads, work)
    return 1e3 * (max(end for _, end in spans) - min(start for start, _ in spans))


def _handover_ms(threads: int) -> float:
    """What it takes one thread to add to what the one before it has just written, the least of some turns, on average."""
    values, least = np.zeros(_HANDED, np.float32), [float("inf")] * threads
    turns = [threading.Semaphore(index == 0) for index in range(threads)]

    def work(index: int) -> None:
        for _ in range(_TURNS):
            turns[index].acquire()
            started = time.perf_counter()
            np.add(values, 1, out=values)
            least[index] = min(least[index], time.perf_counter() - started)
            turns[(index + 1) % threads].release()

    _on_each_core(threads, work)
    return 1e3 * sum(least) / threads


def _on_each_core(threads: int, work: Callable[[int], None]) -> None:
    """Work in several threads, each kept where it is: the system may start two on one core."""
    usable = sorted(os.sched_getaffinity(0))

    def there(index: int) -> None:
        os.sched_setaffinity(0, {usable[index % len(usable)]})  # of this thread alone
        work(index)

    workers = [threading.Thread(target=there, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _work(calls: int, ready: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """When it began and ended."""
    values = np.linspace(0.0, 1.0, _NUMBERS)
    out = np.empty_like(values)
    ready()
    started = time.perf_counter()
    for _ in range(calls):
        np.exp(values, out=out)
    return started, time.perf_counter()
