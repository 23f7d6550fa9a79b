"""Programs become artifacts, and artifacts become figures; the journal remembers both."""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fxopt.compiler import elsewhere, foretold
from fxopt.compiler.journal import Journal
from fxopt.compiler.pool import Judge, Pool, name_of
from fxopt.compiler.session import Measured, Session
from fxopt.contracts.cost import Interval
from fxopt.contracts.engine import Artifact
from fxopt.contracts.planner import Ratio
from fxopt.errors import EngineError
from fxopt.measure import Plan, Variant, Worker, measure, samples
from fxopt.verify.error import worst
from fxopt.verify.saturation import MATMUL, exact_between_activations, exact_weight_bits

if TYPE_CHECKING:
    from fxopt.compiler.foretold import Foreteller
    from fxopt.contracts.price import Prediction
    from fxopt.contracts.quantization import QuantScheme
    from fxopt.data import Data
    from fxopt.ir.program import Program
    from fxopt.verify.score import Run

# Relative error of an artifact against the Program that it was emitted from. Where values are rounded to integers, an engine
# that rounds ties or sums another way is a step off here and there. That is a second rounding as large as the Program's own;
# sums that saturate are off by many times as much.
ARTIFACT_BOUND = 1e-3
_ROUNDINGS = 2.0
_WAKE_S = 0.5  # Python hears a Ctrl-C that comes just before it blocks only when it wakes again


class Workshop:
    """Builds Programs for engines and times the artifacts; shared by all plans of a run. To be closed after `running`.

    Attributes:
        comparisons: how many ratios the run has looked at.
        weight_bits: by engine that was asked for its scheme, the most bits of weights that are right on this machine.
        pool: where builds and judgements are made side by side, if anywhere.
        sources: by name of an artifact, the Program that it was emitted from.
    """

    def __init__(
        self,
        journal: Journal,
        worker: Worker,
        original: Program,
        inputs: Sequence[np.ndarray[Any, Any]],
        deadline: float | None,
        pool: futures.Executor | None = None,
        foreteller: Foreteller | None = None,
    ) -> None:
        """Begin with nothing built.

        Args:
            journal: remembers.
            worker: builds.
            original: the unmodified Program.
            inputs: that are measured, flat.
            deadline: of `time.monotonic`.
            pool: where builds and judgements are made side by side, if anywhere.
            foreteller: prices artifacts where the hardware is not here; then nothing is timed, and outputs are what engines
                give on the CPU.
        """
        self.foreteller = foreteller
        self.sources: dict[str, Program] = {}
        self.journal, self.worker, self.inputs, self.deadline = journal, worker, inputs, deadline
        self.original = original
        self.pool = None if pool is None else Pool(pool)
        self._judge = None if self.pool is None else Judge(self.pool)
        self.comparisons = 0
        self.weight_bits: dict[str, int | None] = {}
        self.references: dict[str, list[torch.Tensor]] = {}
        self._runners: dict[str, Worker] = {}  # by engine: starting one takes longer than most judgements
        self._failed: dict[str, str] = {}  # why, by key in the journal

    def close(self) -> None:
        """End the processes in which artifacts were run."""
        for runner in self._runners.values():
            runner.close()

    def out_of_time(self) -> bool:
        """Whether the time limit is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def emit(self, engine: str, program: Program) -> Path:
        """The artifact of a Program, by content: built once.

        Raises:
            EngineError: the engine refuses, crashes or hangs. What it gives is compared where it runs, in `session` and `fault`.
        """

        def fill(draft: Path) -> None:
            elsewhere.build(self.worker, engine, self.program_folder(program), draft)

        artifact = self._made(_key(engine, program), fill)
        self.sources[artifact.name] = program
        return artifact

    def _made(self, key: str, fill: Callable[[Path], None]) -> Path:
        """As `Journal.folder`; what an engine failed at is not tried again: it may have hung."""
        if key in self._failed:
            raise EngineError(self._failed[key])
        try:
            return self.journal.folder(key, fill)
        except EngineError as error:
            self._failed[key] = str(error)
            raise

    @contextmanager
    def meanwhile(self, jobs: Sequence[Callable[[], object]]) -> Iterator[None]:
        """Let the builder do jobs while the body does what neither needs it nor is timed.

        No job is begun once the body has ended or time is out, and the one under way is waited for. What an engine fails at is
        told to who asks for it again. Where the body raises, the builder is killed, for good.
        """
        over = threading.Event()

        def do() -> None:
            for job in jobs:
                if over.is_set() or self.out_of_time():
                    return
                with suppress(EngineError):
                    job()

        with futures.ThreadPoolExecutor(1) as beside:
            try:
                doing = beside.submit(do)
                yield
                over.set()
                while futures.wait([doing], timeout=_WAKE_S).not_done:
                    pass
            except BaseException:
                over.set()
                self.worker.kill()
                raise
        doing.result()

    def emit_ahead(self, engine: str, programs: Sequence[Program]) -> None:
        """Let the executor, if there is one, build Programs side by side, so that `emit` has them.

        What fails there is left to `emit`, which tells why.
        """
        waiting = {p.digest: p for p in programs if not self.journal.holds(_key(engine, p))}
        if self.pool is None or len(waiting) < 2 or self.out_of_time():
            return
        packed = ((engine, elsewhere.pack(self.program_folder(program))) for program in waiting.values())
        limit_s = self.worker.limits.build_s * len(waiting)
        for program, artifact in zip(
            waiting.values(), self.pool.do(elsewhere.emit, packed, limit_s, bytes), strict=False
        ):
            if artifact is not None:
                self.journal.folder(_key(engine, program), partial(elsewhere.unpack, artifact))

    def program_folder(self, program: Program) -> Path:
        """The Program as files, for workers."""

        def fill(draft: Path) -> None:
            draft.mkdir()
            program.save(draft)

        return self.journal.folder(f"program {program.digest}", fill)

    def signature(self, engine: str, artifact: Path) -> str | None:
        """What the engine made of the artifact."""

        def read() -> str | None:
            return self.worker.graph(engine, artifact).signature

        value = self.journal.remember("signature", f"{engine} {artifact.name}", read)
        return None if value is None else str(value)

    def peak_bytes(self, engine: str, artifact: Path) -> int | None:
        """Most bytes of inputs and activations in a call, by the engine's own report; None without one."""
        if self.foreteller is not None:
            return None

        def read() -> int | None:
            try:
                return self.worker.peak_bytes(engine, artifact, self.inputs)
            except EngineError:
                return None

        value = self.journal.remember("peak", f"{engine} {artifact.name}", read)
        return None if value is None else int(value) + sum(item.nbytes for item in self.inputs)

    def scheme(self, engine: str, scheme: QuantScheme) -> QuantScheme:
        """An engine's scheme as far as it is right on this machine, which tests find out.

        It has the bits of weights that are exact, none if none are; and no products of two activations where these are wrong.
        """

        def weights() -> int | None:
            return exact_weight_bits(engine, scheme, self.worker)

        def activations() -> bool:
            return exact_between_activations(engine, scheme, self.worker)

        bits = self.weight_bits[engine] = self.journal.remember("weight-bits", engine, weights)
        right = replace(scheme, weight_bits=(bits,) if bits in scheme.weight_bits else ())
        if MATMUL in scheme.integer_ops and not self.journal.remember("activations", engine, activations):
            return right.without(MATMUL)
        return right

    def recipe(self, engine: str, recipe: str, program: Program, data: Data) -> Path:
        """The artifact of an engine's own recipe, by content: made once.

        Raises:
            EngineError: the recipe fails, crashes or hangs.
        """

        def fill(draft: Path) -> None:
            source = self.program_folder(program)
            self.worker.quantize(engine, recipe, source, self.calibration(data), draft)

        return self._made(f"{engine} {recipe} {program.digest} {data.digest}", fill)

    def under(self, artifact: Path, tunings: Mapping[str, Any]) -> Path:
        """The artifact with other options of its engine; files are shared."""

        def fill(draft: Path) -> None:
            shutil.copytree(artifact, draft, copy_function=_share)
            Artifact.change(draft, tunings)

        found = self.journal.folder(f"{artifact.name} {sorted(tunings.items())}", fill)
        if artifact.name in self.sources:
            self.sources[found.name] = self.sources[artifact.name]
        return found

    def calibration(self, data: Data) -> Path:
        """Calibration data as a file for workers."""

        def fill(draft: Path) -> None:
            draft.mkdir()
            batches = ([value.numpy() for value in batch.inputs] for batch in data.batches())
            samples.write(draft / "samples.npz", batches)

        return self.journal.folder(f"samples {data.digest}", fill) / "samples.npz"

    @contextmanager
    def running(self, engine: str, artifact: Path) -> Iterator[Run]:
        """An artifact in the process that runs its engine, as what takes flat inputs to flat outputs; one at a time.

        Raises:
            EngineError: it cannot be loaded; or, within, it fails on inputs.
        """
        runner = self._runners.setdefault(engine, Worker(self.worker.limits))

        def run(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.from_numpy(np.array(value)) for value in runner.run([item.numpy() for item in inputs])]

        try:
            runner.load(engine, artifact)
            yield run
        finally:
            with suppress(EngineError):
                runner.unload()
            runner.pause()  # or its threads spin beside what is timed next

    @contextmanager
    def judging(self, engine: str, artifact: Path, calls: Callable[[], Iterable[list[torch.Tensor]]]) -> Iterator[Run]:
        """As `running`, to be called on all of `calls`: where that takes long here, the executor, if there is one, has done it."""
        judge = None if self.out_of_time() else self._judge
        started = time.monotonic()
        with self.running(engine, artifact) as run:
            known = {} if judge is None else judge.outputs(engine, artifact, calls(), run)
            yield lambda inputs: known.get(name_of(inputs)) or run(inputs) if known else run(inputs)
        if judge is not None and not known:
            judge.took(engine, time.monotonic() - started)

    def kernels(self, engine: str, artifact: Path) -> list[dict[str, Any]]:
        """Per-layer times: name, kind, nodes covered, milliseconds; empty where the engine has no profile or fails at it."""
        if self.foreteller is not None:
            source = self.sources.get(artifact.name)
            return [] if source is None else self.foreteller.kernels(engine, artifact, source)

        def read() -> list[dict[str, Any]]:
            try:
                profile = self.worker.profile(engine, artifact, self.inputs)
            except EngineError:
                return []
            return [
                {"name": k.name, "kind": k.kind, "covers": list(k.covers), "dtype": k.dtype, "ms": k.milliseconds}
                for k in profile
            ]

        value: list[dict[str, Any]] = self.journal.remember("profile", f"{engine} {artifact.name}", read)
        return value

    def fault(self, engine: str, artifact: Path, program: Program) -> str | None:
        """Why an artifact does not give what its Program gives, on the inputs that are measured; None if it does."""

        def run() -> str | None:
            try:
                with self.running(engine, artifact) as call:
                    outputs = call([torch.from_numpy(np.copy(item)) for item in self.inputs])
            except EngineError as error:
                return str(error)
            return self._unlike(engine, program, [item.numpy() for item in outputs])

        value = self.journal.remember("fault", f"{engine} {artifact.name} {program.digest}", run)
        return None if value is None else str(value)

    def _unlike(self, engine: str, program: Program, outputs: Sequence[np.ndarray[Any, Any]]) -> str | None:
        error, bound = self.error(program, outputs), self.bound(program)
        if error <= bound:
            return None
        return f"{engine}: its outputs differ from PyTorch's by {error:.1e} (bound {bound:.0e})"

    def error(self, program: Program, outputs: Sequence[np.ndarray[Any, Any]]) -> float:
        """Relative error of an artifact's outputs against the Program's own."""
        return worst([torch.from_numpy(np.asarray(item)) for item in outputs], self.reference(program))

    def reference(self, program: Program) -> list[torch.Tensor]:
        """A Program's own outputs on the inputs that are measured."""
        if program.digest not in self.references:
            self.references[program.digest] = program.run([torch.from_numpy(np.copy(item)) for item in self.inputs])
        return self.references[program.digest]

    def bound(self, program: Program) -> float:
        """How far an artifact's outputs may be from its Program's."""
        return max(ARTIFACT_BOUND, _ROUNDINGS * worst(self.reference(program), self.reference(self.original)))

    def session(
        self,
        variants: Sequence[tuple[str, str, Path, Program | None]],
        plan: Plan,
        progress: Callable[[int, int], None] = lambda d, t: None,
        bases: int = 1,
    ) -> Session:
        """Time (name, engine, artifact, program) side by side; ratios are to the fastest of the first `bases`.

        A variant whose outputs differ from its Program's has failed: what runs is not what was checked. An engine's own
        recipe has no Program; it is judged by its quality alone.
        """
        if self.foreteller is not None:
            return self._foretold(self.foreteller, variants, bases)

        def run() -> dict[str, Any]:
            comparison = measure(
                [Variant(n, e, a) for n, e, a, _ in variants],
                self.inputs,
                plan=plan,
                progress=progress,
                bases=bases,
            )
            failures = dict(comparison.failures)
            for name, engine, _, program in variants:
                if program is None or name not in comparison.outputs:
                    continue
                if (fault := self._unlike(engine, program, comparison.outputs[name])) is not None:
                    failures[name] = fault
            timings = {
                name: Measured(
                    timing.latency_ms,
                    timing.p99_ms,
                    None if timing.ratio is None else Ratio(timing.ratio.interval, timing.ratio.p_value),
                    timing.ratio is not None and timing.ratio.faster,
                )
                for name, timing in comparison.timings.items()
                if name not in failures
            }
            return Session(timings, comparison.floor.interval, failures, comparison.rounds, comparison.base).to_json()

        key = repr([(n, e, a.name) for n, e, a, _ in variants] + [plan, bases])
        session = Session.from_json(self.journal.remember("session", key, run))
        self.comparisons += sum(item.ratio is not None for item in session.variants.values())
        return session

    def _foretold(
        self, foreteller: Foreteller, variants: Sequence[tuple[str, str, Path, Program | None]], bases: int
    ) -> Session:
        """A session of predicted figures; the first variant, which may be the base, has to be one that runs."""
        prices: dict[str, Prediction] = {}
        engines = {name: engine for name, engine, *_ in variants}
        failures: dict[str, str] = {}
        for name, engine, artifact, program in variants:
            source = self.sources.get(artifact.name)
            fault = None if program is None else self.fault(engine, artifact, program)
            if source is None or fault is not None:
                failures[name] = fault or f"{engine}: what its own recipe takes cannot be foretold"
            else:
                prices[name] = foreteller.price(engine, artifact, source)
        if (first := variants[0][0]) in failures:
            raise EngineError(failures[first])
        base = foretold.fastest(prices, [name for name, *_ in variants[:bases]])
        found = {}
        for name, price in prices.items():
            ratio = None if name == base else foretold.ratio(price, prices[base], engines[name] == engines[base])
            faster = ratio is not None and ratio.interval.high < 1
            found[name] = Measured(foretold.interval(price.milliseconds, price.spread), math.inf, ratio, faster)
        self.comparisons += len(found) - 1
        return Session(found, Interval(1.0, 1.0, 1.0), failures, 0, base, "predicted")


def _key(engine: str, program: Program) -> str:
    """Of an artifact, in the journal."""
    return f"{engine} {program.digest}"


def _share(file: str, other: str) -> None:
    """Let two names have one file, or where the file system has no links a copy."""
    try:
        os.link(file, other)
    except OSError:
        shutil.copy2(file, other)
