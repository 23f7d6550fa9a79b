"""One run of the compiler: search, build and measure, choose on evidence, write what ships."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fxopt import __version__
from fxopt.compiler import ledger as ledgers
from fxopt.compiler import limits, lockfile, output, stamp
from fxopt.compiler.contest import Contender, Outcome, ranked
from fxopt.compiler.context import Context
from fxopt.compiler.datasets import Datasets, locked, make_quality
from fxopt.compiler.foretold import Foreteller
from fxopt.compiler.guard import Guard
from fxopt.compiler.journal import Journal
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.planning import plans
from fxopt.compiler.progress import Progress, Timed
from fxopt.compiler.request import Request
from fxopt.compiler.search import Search, search
from fxopt.compiler.session import Session
from fxopt.compiler.steps import closure
from fxopt.compiler.workshop import Workshop
from fxopt.errors import BudgetError, EngineError, InputError
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.ir.statistics import Statistics
from fxopt.ir.threads import one_thread
from fxopt.measure import Limits, Plan, Worker
from fxopt.prices.predict import Experience
from fxopt.prices.table import KernelTable
from fxopt.registry import Registry
from fxopt.user_code import raised

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from fxopt.verify.quality import Quality


# How engines compare on the unmodified model says which of them are planned for, and no more.
_ROUGHLY = Plan(rounds=12, epochs=1)
NOISY = 0.1  # between two measurements of one artifact: beyond, others have the machine as well


class Run:
    """The state of one run: what was asked, what was captured, where evidence comes from."""

    def __init__(
        self,
        request: Request,
        registry: Registry,
        program: Program,
        exported: ExportedProgram,
        source: str,
        progress: Progress,
    ) -> None:
        self.request, self.registry = request, registry
        self.program, self.exported, self.source = program, exported, source
        self.progress = Timed(progress)
        self.target = registry.make_target(request.target)
        self.target.refresh()
        self.engines = limits.engines(registry, self.target, request.engine, request.threads)
        self.passes = registry.make_passes(request.passes)
        if request.budget.max_p99_ms is not None and not self.target.here:
            raise InputError(
                "--max-p99: it is not predicted, and what it would be measured on is not here; leave it out"
            )
        if not registry.planners:
            raise InputError("there is no planner, which chooses among rewrites; leave out -p no:planners")
        self.planner = registry.make_planner(request.planner or next(iter(registry.planners)))
        self.executor = None if request.executor is None else registry.make_executor(request.executor)
        if self.executor is not None and (reason := self.executor.available()) is not None:
            raise InputError(f"--executor {request.executor}: {reason}")
        self.data = Datasets.read(request, program.interface, self.progress)
        self.calib = self.data.calib
        self.quality = self.judge()
        self.context = Context(
            self.target.capabilities(),
            Statistics(self.calib) if self.calib else None,
            self.quality.lossy,
            guard=Guard(registry, request.pass_limit_s),
        )
        self.started = time.monotonic()
        self.failures: dict[str, str] = {}  # by name of the engine
        self.labs: list[EngineLab] = []  # all in which something was built
        self.experience = Experience(KernelTable(note=self.progress.note), self.target.machine())

    def judge(self) -> Quality:
        """What rewrites that are not exact are held to."""
        return make_quality(self.request, self.registry, self.program, self.data.evaluation)

    def go(self) -> dict[str, Any]:
        """Do all of it; the ledger.

        Raises:
            InputError, BudgetError: as `fxopt.optimize`.
        """
        out = self.request.out
        output.roll_forward(out)
        journal = Journal(out, self._identity(), self.request.resume)
        try:
            with one_thread():
                ledger = self._go(journal)
        except OSError as error:
            raise InputError(f"-o {out}: cannot write there: {error.strerror or error}") from error
        finally:
            journal.release()
            self.close()
        self.registry.event("finished", out=str(out), verdict=ledger["result"]["verdict"])
        return ledger

    def _go(self, journal: Journal) -> dict[str, Any]:
        limit = self.request.budget.time_limit_s
        deadline = None if limit is None else self.started + limit
        foreteller = None if self.target.here else Foreteller(self.target, self.registry)
        with ExitStack() as stack:
            worker, pool = stack.enter_context(Worker(Limits())), stack.enter_context(self._pool())
            self.workshop = Workshop(journal, worker, self.program, self._inputs(), deadline, pool, foreteller)
            stack.callback(self.workshop.close)
            if foreteller is not None:
                self.progress.note(
                    f"there is no {self.target.machine().cpu} here: nothing is measured, latencies are PREDICTED and a gain"
                    " is not proven; outputs and quality are what the artifact gives on this machine's CPU"
                )
            with ExitStack() as building:
                builds = [partial(self.workshop.emit, spec, self.program) for spec in self.engines]
                building.enter_context(self.workshop.meanwhile(builds))
                if self.quality.lossy:
                    self._judge_the_original()
                found = self.search()
                with self.progress.phase("wait for the build that is under way"):
                    building.close()
            outcome = self.measure(found)
            ledger = self.ledger(outcome)
            self.write(ledger, outcome)
        return ledger

    def _judge_the_original(self) -> None:
        with self.progress.phase("judge the original"):
            self.quality.begin()
        for doubt in self.quality.doubts():
            self.progress.note(doubt)

    @contextmanager
    def _pool(self) -> Iterator[futures.Executor | None]:
        with ExitStack() as stack:
            try:
                pool = None if self.executor is None else stack.enter_context(self.executor.open())
            except Exception as error:
                raise InputError(f"--executor {self.request.executor}: {raised(error)}") from error
            yield pool

    def close(self) -> None:
        """End the process in which outside passes were called."""
        if self.context.guard is not None:
            self.context.guard.close()
        self.experience.table.close()

    def _inputs(self) -> list[np.ndarray[Any, Any]]:
        """What is measured on."""
        arrays = []
        values = sample_inputs(self.program, seed=self.request.seed)
        interface = self.program.interface
        for name, item, value in zip(interface.argument_names, interface.inputs, values, strict=True):
            try:
                arrays.append(value.numpy())
            except TypeError as error:
                raise InputError(
                    f"input {name} is {item.dtype}, which no engine takes; cast it in the model"
                ) from error
        return arrays

    def label(self, engine: str) -> str:
        """An engine's name in tables."""
        name = self.engines[engine].name
        return "PyTorch eager" if name == "eager" else name

    def _identity(self) -> dict[str, Any]:
        """What must be the same for an unfinished run to be gone on with."""
        machine = self.target.machine()
        return {
            "model": self.program.digest,
            "target": self.target.spec(),
            "seed": self.request.seed,
            "engines": sorted(self.engines),
            "passes": [rule.spec() for rule in self.passes],
            "calib": self.calib and self.calib.digest,
            "quality": self.quality.asked(),
            "machine": [machine.cpu, *machine.isa],
            "versions": machine.versions,
            "fxopt": __version__,
        }

    # -- the parts, in order ---------------------------------------------------------------------------------

    def search(self) -> Search:
        """All rewrites that are legal and true to their claim."""
        with self.progress.phase("search for rewrites"):
            return search(self.program, self.passes, self.registry, self.context, self.progress.detail)

    def tell_of_data(self, found: Search) -> None:
        """Say that data were of no use, or what data or a budget would be of use for, once all passes have been asked."""
        if self.calib is not None and not self.context.asked and not self.quality.lossy:  # else they serve judging
            self.progress.note("no installed pass asked for calibration data")
        refused = (item.candidate for item in found.refusals)
        if (text := locked(self.request, self.passes, refused, self.context.asked)) is not None:
            self.progress.note(text)

    def measure(self, found: Search) -> Outcome:
        """Baselines on all engines, plans on the competitive ones, one fresh confirmation of all that matters."""
        labs = self.baselines(found)
        first = self.compare_baselines(labs)
        planned = plans(self, found, labs, first)
        self.tell_of_data(found)
        return self.confirm(found, labs, first, planned)

    def baselines(self, found: Search) -> dict[str, EngineLab]:
        """The unmodified model on every engine that can build it."""
        labs: dict[str, EngineLab] = {}
        plan = Plan(epochs=3, comparisons=8)
        with self.progress.phase("build the unmodified model on each engine", len(self.engines)):
            for spec, engine in self.engines.items():
                try:
                    labs[spec] = EngineLab(
                        self.workshop,
                        self.registry,
                        spec,
                        found,
                        plan,
                        self.quality,
                        self.context,
                        fixed=limits.typed(self.request.engine),
                        target=self.target,
                        experience=self.experience if self.target.here else None,
                    )
                    self.labs.append(labs[spec])
                except EngineError as error:
                    self.failures[engine.name] = str(error)
                    self.progress.note(str(error))
                self.progress.advance()
        if not labs:
            raise InputError(f"no engine can run this model: {'; '.join(self.failures.values())}")
        return labs

    def compare_baselines(self, labs: dict[str, EngineLab]) -> Session:
        """Which engine is best on the unmodified model; those that fail at it leave `labs`."""
        with self.progress.phase("measure the engines on the unmodified model", _ROUGHLY.rounds):
            while labs:
                variants = [(s, s, lab.artifacts[lab.baseline.key], self.program) for s, lab in labs.items()]
                try:
                    session = self.workshop.session(variants, _ROUGHLY, self.advance())
                except EngineError as error:  # the first fails, which ratios are to: the others are measured without it
                    self._lose(labs, next(iter(labs)), str(error))
                    continue
                for spec, reason in session.failures.items():
                    self._lose(labs, spec, reason)
                if labs:
                    return session
        raise InputError(f"no engine can run this model: {'; '.join(self.failures.values())}")

    def _lose(self, labs: dict[str, EngineLab], spec: str, reason: str) -> None:
        self.failures[self.engines[spec].name] = reason
        del labs[spec]

    def confirm(self, found: Search, labs: dict[str, EngineLab], first: Session, planned: list[Contender]) -> Outcome:
        """Measure all that may ship afresh, and choose: what is best and keeps the quality budget on unseen samples."""
        order = sorted(labs, key=lambda spec: first.variants[spec].latency_ms.estimate)
        contenders = {self.label(spec): Contender(spec, labs[spec].baseline, labs[spec]) for spec in order}
        for index, plan in enumerate(planned):
            contenders[f"plan {index + 1} on {self.label(plan.engine)}"] = plan
        variants = [(name, item.engine, item.artifact, item.checked_against) for name, item in contenders.items()]
        with self.progress.phase("confirm what ships on fresh measurements", 80):
            plan_of_session = Plan(comparisons=len(variants), together=True)
            session = self.workshop.session(variants, plan_of_session, self.advance(), bases=len(order))
            if session.noise > NOISY and not self.workshop.out_of_time():
                self.progress.note(
                    f"this machine is busy: the same artifact measured twice may differ by {session.noise:.0%}; what may ship"
                    " is measured once more, for twice as long, and what stays within that is no gain"
                )
                longer = replace(plan_of_session, epochs=2 * plan_of_session.epochs)
                session = self.workshop.session(variants, longer, self.advance(), bases=len(order))
        if self.request.budget.max_memory_bytes is not None:
            contenders = {name: replace(item, peak_bytes=self.peak_bytes(item)) for name, item in contenders.items()}
        order_of_merit = ranked(self.request.budget, contenders, session)
        looks = sum(contenders[name].lab.lossy(contenders[name].build) for name in dict.fromkeys(order_of_merit))
        shipped = next((name for name in order_of_merit if self.proven(contenders[name], looks)), session.base)
        return Outcome(contenders[shipped].lab.search, session, contenders, shipped)

    def peak_bytes(self, item: Contender) -> int | None:
        """What a build needs for activations by the engine's own report, else as predicted."""
        found = self.workshop.peak_bytes(item.engine, item.artifact)
        return self.target.predict(item.program, self.engines[item.engine]).peak_bytes if found is None else found

    def energy(self, item: Contender) -> float | None:
        """What a build is estimated to take, in relative units; None where the engine rounds what its program does not."""
        if item.build.rounded:
            return None
        return self.target.predict(item.program, self.engines[item.engine]).energy

    def proven(self, plan: Contender, looks: int = 1) -> bool:
        """Whether a plan that is to ship keeps the quality budget on the samples that no search has seen.

        `looks` is how many plans may be judged there, one after the other.
        """
        with self.progress.phase("judge what is to ship on samples kept from the search"):
            fault = plan.lab.unproven(plan.build, looks)
        if fault is not None:
            self.progress.note(f"the plan on {self.label(plan.engine)} does not ship: {fault}")
        return fault is None

    def advance(self) -> Callable[[int, int], None]:
        """What a session tells of its rounds, as progress of the phase under way."""
        state = {"done": 0}

        def tell(done: int, total: int) -> None:
            for _ in range(state["done"], done):
                self.progress.advance()
            state["done"] = done

        return tell

    def ledger(self, outcome: Outcome) -> dict[str, Any]:
        """What was found and decided, and why."""
        return ledgers.compose(self, outcome)

    def fault(self, ledger: dict[str, Any]) -> str | None:
        """The first limit that is not kept, in words."""
        return limits.over_budget(self.request.budget, ledger, self.workshop.out_of_time())

    def write(self, ledger: dict[str, Any], outcome: Outcome) -> None:
        """Meet the limits or say so; then stage everything and publish it at once."""
        from fxopt.report import write as write_report

        out, fault = self.request.out, self.fault(ledger)
        ship, base = outcome.contenders[outcome.shipped], outcome.contenders[outcome.base]
        if fault is not None:
            ledgers.unmet(ledger, fault)
        folder = output.staging(self.workshop.journal.path)
        with self.progress.phase("write the output"):
            output.write_json(folder / "ledger.json", ledger)
            write_report(ledger, folder)
            if fault is None:
                self._place(ship, folder / "model")
                lockfile.write(folder, self.plan(ledger, ship, outcome.found), outcome.found.tensors)
                if self.request.source:
                    self._place(base, folder / "baseline")
                    _save_source(self.exported, folder / "source.pt2")
            output.publish(out)
        if fault is not None:
            raise BudgetError(f"{fault}; the figures reached are in {out / 'report.md'}, no model was written")

    def _place(self, item: Contender, folder: Path) -> None:
        """An artifact where it ships, stamped with the machine at hand."""
        shutil.copytree(item.artifact, folder)
        versions = {item.engine: lockfile.version(self.engines[item.engine])}
        with self.workshop.running(item.engine, item.artifact) as run:
            stamp.write(folder, self.target, versions, self.workshop.inputs, run, item.program, item.build.rounded)

    def plan(self, ledger: dict[str, Any], ship: Contender, found: Search) -> dict[str, Any]:
        """The lockfile: what to do to which graph, under which versions."""
        steps, engine = closure(found.steps, ship.build.steps), self.engines[ship.engine]
        return {
            "version": lockfile.VERSION,
            "fxopt": __version__,
            "plugins": lockfile.plugins(self.registry, self.target, engine, steps),
            "graph": self.program.structure_digest,
            "model": self.program.digest,
            "target": self.target.spec(),
            "engine": ship.engine,
            "engine_version": lockfile.version(engine),
            "machine": ledger["machine"],
            "budget": self.request.budget.to_json(),
            "data": self.data.to_json(),
            "metric": self.quality.metric.spec() if self.quality.lossy else None,
            "quality": ledger["result"]["quality"],
            "seed": self.request.seed,
            "inputs": list(self.request.inputs),
            "text": lockfile.structure(self.program),
            "steps": [step.to_json() for step in steps],
            "recipe": ship.build.recipe,
            "tunings": dict(ship.build.tunings),
            "result": ship.program.digest,
        }


def _save_source(exported: ExportedProgram, file: Path) -> None:
    import torch

    from fxopt.ir.quiet import quiet

    with quiet():
        torch.export.save(exported, str(file))
