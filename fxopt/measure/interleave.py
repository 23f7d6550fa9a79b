"""Interleaved measurement of several artifacts: `measure` on real ones, `interleave` on any source of blocks.

A round measures one block of calls of each variant, in an order drawn anew each round; nothing else runs meanwhile
(idle workers are stopped). Rounds come in epochs. Each epoch has fresh processes, started in an order drawn anew, so that
no variant keeps a lucky or unlucky place in memory, and ends with a look at the data: a variant whose ratio to the
reference is decided, or will hardly be by the rounds that are left, leaves. Looking several times would inflate false
positives; so each of the `epochs` looks may spend only its equal share of `1 - confidence` (Bonferroni over the looks: it
holds whatever the dependence between them, and makes intervals 15% wider than one look would). To leave undecided makes
no false positives.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fxopt.contracts.cost import Interval
from fxopt.errors import EngineError
from fxopt.measure.statistics import CONFIDENCE, Ratio, block_figure, median_interval, ratio
from fxopt.measure.worker import Limits, Worker

TWIN = "A/A"  # name under which the reference is measured a second time

_BLOCK_NS = 6e6
_LEAST_CALLS, _LEAST_LONG_CALLS = 3, 2
_LONG_NS = 40e6  # calls that take as long are as well told apart by two of them as by three (tried on recorded blocks)
_WARM_UP_NS = 60e6
_MOST_CALLS = 2000
_NS_PER_MS = 1e6
_WAKE_S = 0.5
_FAR_BEHIND = 1.5  # times the latency of the base
# A ratio that is nearer to 1 than this share of what all rounds can tell will hardly be told from it. On simulated machines
# gains of 1 to 3% are found as often as by all rounds, and no difference takes four in ten of them.
_HOPELESS = 1 / 3


@dataclass(frozen=True)
class Variant:
    """An artifact to measure: its name in the results, the spec of its engine, its directory."""

    name: str
    engine: str
    artifact: Path


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: rounds an epoch.
        epochs: most epochs; the product is the most pairs (80: resolves 1%).
        confidence: of all intervals, over all looks.
        comparisons: how many comparisons the whole run makes. A ratio counts as decided only where it would stand
            among so many; Holm's correction itself is `holm` over the run's p-values. 0: those of this measurement.
        resolution: a ratio is decided also where its interval is within 1 ± this.
        together: variants stay until all are decided, so that all latencies are of the same time; only one that is
            decided and far behind leaves, because most of the time would go into it, and what will hardly be decided is not
            waited for where it is far behind another. Else every variant that is decided leaves, and every one of which
            nothing is to be expected, which is cheaper where only ratios are asked for. Of several bases it need not be
            decided how far they are apart, if there is something beside them.
        seed: of the order within rounds.
    """

    rounds: int = 20
    epochs: int = 4
    confidence: float = CONFIDENCE
    comparisons: int = 0
    resolution: float = 0.01
    together: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Timing:
    """What was measured of one variant.

    Attributes:
        latency_ms: a call's median latency, with interval.
        p99_ms: the 99th percentile of all calls.
        ratio: to the base, or to its twin where that is the weaker evidence; None for the base itself.
    """

    latency_ms: Interval
    p99_ms: float
    ratio: Ratio | None


@dataclass(frozen=True)
class Comparison:
    """The result of one interleaved measurement.

    Attributes:
        timings: by variant name, the reference among them.
        floor: the A/A noise floor: the reference's ratio to itself in other processes.
        failures: one line for each variant whose engine failed; it has no timing.
        outputs: the flat outputs of each variant on the inputs given, to be checked against the Program.
        rounds: rounds measured.
        base: the variant that ratios are to.
    """

    timings: Mapping[str, Timing]
    floor: Ratio
    failures: Mapping[str, str]
    rounds: int
    base: str
    outputs: Mapping[str, list[np.ndarray[Any, Any]]] = field(default_factory=dict)

    def p_values(self) -> dict[str, float]:
        """By variant name, for `holm`; pool those of a whole run."""
        return {name: timing.ratio.p_value for name, timing in self.timings.items() if timing.ratio}


class _Log:
    """The blocks of all variants so far: `figures[name][round]` in ns, absent where the variant had left."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[int, float]] = {}
        self.medians: dict[str, list[float]] = {}
        self.calls: dict[str, list[NDArray[np.int64]]] = {}

    def add(self, name: str, number: int, block: NDArray[np.int64]) -> None:
        self.figures.setdefault(name, {})[number] = block_figure(block)
        self.medians.setdefault(name, []).append(float(np.median(block)))
        self.calls.setdefault(name, []).append(block)

    def fastest(self, names: Sequence[str]) -> str:
        """By what each takes in the rounds of all, measured by the mean of its round, so that drift has no say."""
        rounds = sorted(set.intersection(*(set(self.figures[name]) for name in names)))
        logs = np.log([[self.figures[name][number] for number in rounds] for name in names])
        return names[int(np.argmin(np.median(logs - logs.mean(axis=0), axis=1)))]

    def ratio(self, name: str, reference: str, plan: Plan) -> Ratio:
        mine, its = self.figures[name], self.figures[reference]
        rounds = sorted(mine.keys() & its.keys())
        return ratio(
            [mine[number] for number in rounds],
            [its[number] for number in rounds],
            confidence=plan.confidence,
            share=1 / plan.epochs,
            processes=math.ceil(len(rounds) / plan.rounds),
        )


def interleave(
    names: Sequence[str],
    block: Callable[[str], NDArray[np.int64]],
    begin_epoch: Callable[[Sequence[str]], Mapping[str, str]] = lambda names: {},
    plan: Plan = Plan(),
    progress: Callable[[int, int], None] = lambda done, total: None,
    bases: int = 1,
) -> Comparison:
    """Measure until every ratio is decided.

    Args:
        names: the variants, the reference first. The twin of the reference, `TWIN`, is added.
        block: measures one block of a variant: ns of each call; raises `EngineError`, which loses the variant.
        begin_epoch: gets fresh processes ready for the variants named; returns a line for each that failed.
        plan: how long, how sure.
        progress: told rounds done and the most that there can be.
        bases: ratios are to the fastest of the first so many names; more than one wants `plan.together`.

    Raises:
        EngineError: the reference fails, or its twin does.
    """
    reference = base = names[0]
    log, failures, ratios = _Log(), dict[str, str](), dict[str, Ratio]()
    active = [*names, TWIN]
    order = random.Random(plan.seed)
    alpha = (1 - plan.confidence) / (plan.comparisons or max(1, len(names) - 1))
    done = 0

    def lose(name: str, line: str) -> None:
        if name in (reference, TWIN):
            raise EngineError(line)
        failures[name] = line
        active.remove(name)
        ratios.pop(name, None)

    for epoch in range(plan.epochs):
        # Drawn anew as well: the first process to start has other memory than the last.
        for name, line in begin_epoch(tuple(order.sample(active, len(active)))).items():
            lose(name, line)
        for _ in range(plan.rounds):
            for name in order.sample(active, len(active)):
                try:
                    log.add(name, done, block(name))
                except EngineError as error:
                    lose(name, str(error))
            done += 1
            progress(done, plan.rounds * plan.epochs)
        base = log.fastest([name for name in names[:bases] if name in active])
        there = [name for name in (*names, TWIN) if name not in failures]  # what has left may have another base now
        ratios |= _look(log, there, reference, base, plan)
        asked = [n for n in active if n not in (base, TWIN, *(names[:bases] if len(names) > bases else ()))]
        open_ = [name for name in asked if not _decided(ratios[name], alpha, plan.resolution)]
        # Where all stay together nobody is given up for whom it may still matter.
        ahead = min((ratios[name].interval.high for name in asked), default=math.inf) if plan.together else 0.0
        given_up = {name for name in open_ if ratios[name].interval.low > _FAR_BEHIND * ahead}
        given_up = {name for name in given_up if _is_hopeless(ratios[name], (epoch + 1) / plan.epochs)}
        open_ = [name for name in open_ if name not in given_up]
        if len(names) > 1 and not open_:
            break
        far = {name for name in active if name in ratios and ratios[name].interval.low > _FAR_BEHIND}
        stay = {*open_, *set(active).difference(far)} if plan.together else {*open_}
        active = [name for name in active if name in stay | {reference, TWIN}]
    floor = ratios.pop(TWIN)
    ratios.pop(base, None)
    timings = {
        name: Timing(
            latency_ms=median_interval(np.divide(log.medians[name], _NS_PER_MS), plan.confidence),
            p99_ms=float(np.quantile(np.concatenate(log.calls[name]), 0.99)) / _NS_PER_MS,
            ratio=ratios.get(name),
        )
        for name in names
        if name not in failures
    }
    return Comparison(timings, floor, failures, done, base)


def _look(log: _Log, names: Iterable[str], reference: str, base: str, plan: Plan) -> dict[str, Ratio]:
    """The ratios of variants to the base, each the weaker of those to the reference and to its twin if that is it.

    Now and then a process runs some 2% slower for its whole life, and all others would seem gains over it. That this
    befalls both processes of the reference is rare: where 1 process in 10 is like that, false gains fall from 10% to
    1%, and it costs next to no power.
    """
    floor = log.ratio(TWIN, reference, plan)
    return {TWIN: floor} | {
        name: max(
            (log.ratio(name, other, plan) for other in ((reference, TWIN) if base == reference else (base,))),
            key=lambda ratio: (ratio.p_value, -abs(math.log(ratio.interval.estimate))),
        )
        for name in names
        if name not in (base, TWIN)
    }


def _decided(ratio: Ratio, alpha: float, resolution: float) -> bool:
    within = ratio.interval.low >= 1 - resolution and ratio.interval.high <= 1 + resolution
    return ratio.p_value <= alpha or within


def _is_hopeless(ratio: Ratio, done: float) -> bool:
    """Whether a ratio will hardly be decided, of which a share of all rounds is done."""
    if not math.isfinite(ratio.interval.high):  # too few rounds for an interval
        return False
    narrowest = math.sqrt(done) * math.log(ratio.interval.high / ratio.interval.low) / 2
    return abs(math.log(ratio.interval.estimate)) < _HOPELESS * narrowest


class _Bench:
    """The worker processes of one epoch."""

    def __init__(
        self, variants: Sequence[Variant], inputs: Sequence[np.ndarray[Any, Any]], limits: Limits | None
    ) -> None:
        self.variants = {variant.name: variant for variant in variants}
        self.variants[TWIN] = variants[0]
        self._reference = variants[0].name
        self.inputs = inputs
        self.limits = limits
        self.outputs: dict[str, list[np.ndarray[Any, Any]]] = {}
        self._workers: dict[str, Worker] = {}
        self._fitting: dict[str, int] = {}  # calls that make a block of about _BLOCK_NS
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin_epoch(self, names: Sequence[str]) -> dict[str, str]:
        """Fresh processes, each with its artifact loaded, warm and stopped; a line for each that failed."""
        self._stack.close()
        self._workers = {name: self._stack.enter_context(Worker(self.limits)) for name in names}
        with ThreadPoolExecutor(2) as pool:
            try:  # from the first that is handed out
                loading = [pool.submit(self._load, name) for name in names]
                # Python hears a Ctrl-C that comes just before it blocks only when it wakes again.
                while wait(loading, timeout=_WAKE_S).not_done:
                    pass
                return {name: line for name, load in zip(names, loading, strict=True) if (line := load.result())}
            except BaseException:  # Ctrl-C: the pool would wait for engines that load, or hang
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in self._workers.values():
                    worker.kill()
                raise

    def block(self, name: str) -> NDArray[np.int64]:
        worker = self._workers[name]
        times = worker.time(self._calls(name))
        worker.pause()
        return times

    def _calls(self, name: str) -> int:
        """As many as the reference where that is near: quartiles of unequal samples are not quite comparable."""
        common, fitting = self._fitting[self._reference], self._fitting[name]
        return common if common / 2 <= fitting <= common * 2 else fitting

    def _load(self, name: str) -> str | None:
        variant, worker = self.variants[name], self._workers[name]
        try:
            worker.load(variant.engine, variant.artifact)
            outputs = worker.run(self.inputs)
            if not _same(self.outputs.setdefault(name, outputs), outputs):
                return f"{variant.engine}: run: gives different outputs for the same inputs"
            one_call = float(worker.time(_LEAST_CALLS).min())
            one_call = float(worker.time(_clamp(_WARM_UP_NS / one_call)).min())
            self._fitting.setdefault(name, block_calls(one_call))
            worker.pause()
        except EngineError as error:
            return str(error)
        return None


def block_calls(one_call_ns: float) -> int:
    """How many calls, of so many nanoseconds each, make a block."""
    return _clamp(_BLOCK_NS / one_call_ns, _LEAST_CALLS if one_call_ns < _LONG_NS else _LEAST_LONG_CALLS)


def _clamp(calls: float, least: int = _LEAST_CALLS) -> int:
    return min(_MOST_CALLS, max(least, math.ceil(calls)))


def _same(first: Sequence[np.ndarray[Any, Any]], second: Sequence[np.ndarray[Any, Any]]) -> bool:
    """Whether two runs on the same inputs agree, but for the order in which threads add up."""
    return len(first) == len(second) and all(
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.allclose(
            a, b, rtol=1e-3, atol=1e-3 * float(np.max(np.abs(a), initial=0, where=np.isfinite(a))), equal_nan=True
        )
        for a, b in zip(first, second, strict=True)
    )


def measure(
    variants: Sequence[Variant],
    inputs: Sequence[np.ndarray[Any, Any]],
    *,
    plan: Plan = Plan(),
    limits: Limits | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    bases: int = 1,
) -> Comparison:
    """Compare artifacts on this machine, the first of them being the reference.

    Args:
        variants: with distinct names; each is hosted by processes of its own.
        inputs: the flat input arrays of one call, the same for all.
        plan: how long, how sure.
        limits: of each worker process.
        progress: told rounds done and the most that there can be.
        bases: as in `interleave`.

    Raises:
        EngineError: the reference's engine fails. Another's failure is a line in `Comparison.failures`.
    """
    with _Bench(variants, inputs, limits) as bench:
        comparison = interleave([v.name for v in variants], bench.block, bench.begin_epoch, plan, progress, bases)
    outputs = {name: outputs for name, outputs in bench.outputs.items() if name in comparison.timings}
    return replace(comparison, outputs=outputs)
