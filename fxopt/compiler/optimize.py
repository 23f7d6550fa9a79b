"""The main job: capture, search, build and measure, admit on evidence, write what ships."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt import __version__
from fxopt.compiler import ledger as ledgers
from fxopt.compiler import limits, output
from fxopt.compiler.journal import Journal
from fxopt.compiler.lab import EngineLab, Session, Verdict, Workshop
from fxopt.compiler.load import Loaded, load
from fxopt.compiler.progress import NULL, Progress
from fxopt.compiler.request import Request
from fxopt.compiler.rewrite import Search, closure, replay, search
from fxopt.contracts.cost import Budget
from fxopt.contracts.planner import Build, Problem
from fxopt.errors import BudgetError, EngineError, InputError
from fxopt.ir.capture import capture, export, positional_names
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.ir.twin import double
from fxopt.measure import CONFIDENCE, Limits, Plan, Worker
from fxopt.registry import Registry
from fxopt.verify.fidelity import Evidence, check_whole

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


COMPETITIVE = 1.2  # an engine that is slower than the best by more than this on the unmodified model is not planned for


@dataclass(frozen=True)
class Result:
    """What a run left behind.

    Attributes:
        ledger: as in ledger.json.
        out: the output folder.
    """

    ledger: dict[str, Any]
    out: Path

    def load(self) -> Loaded:
        """The optimized model, ready to call."""
        return load(self.out)

    @property
    def speedup(self) -> float:
        """Latency of the best engine on the unmodified model over the result's."""
        return float(self.ledger["result"]["speedup"]["estimate"])


def optimize(
    model: torch.nn.Module,
    example_inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    target: str = "cpu",
    engine: str = "auto",
    passes: str | None = None,
    calib: Any = None,
    eval: Any = None,  # noqa: A002 - the name that the surface promises
    train: Any = None,
    metric: Any = None,
    budget: Budget | None = None,
    out: str | Path | None = None,
    threads: int | None = None,
    progress: Progress = NULL,
) -> Result:
    """Make a model as fast as this machine's engines allow, without changing what it computes.

    Args:
        model: in evaluation or training mode; it is captured in evaluation mode and left as it was.
        example_inputs: a tensor or a tuple of the model's positional arguments.
        kwargs: the model's keyword arguments.
        dynamic_shapes: as `torch.export.export` takes it.
        target: a target's spec.
        engine: an engine's spec, or `"auto"` for the best.
        passes: a pipeline in the option grammar; all passes by default.
        calib: data for lossy rewrites; none of the installed passes uses it yet, so that it is refused.
        eval: likewise.
        train: likewise.
        metric: likewise.
        budget: objective and limits.
        out: the output folder; a new temporary folder by default.
        threads: threads that one call may use; all cores by default.
        progress: told what is going on.

    Raises:
        InputError: bad input; one line that says where, what, and what to do.
        BudgetError: the budget cannot be met.
    """
    args = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    exported = export(model, args, kwargs, dynamic_shapes)
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="fxopt-"))
    request = Request(
        model=type(model).__name__,
        target=target,
        engine=engine,
        passes=passes,
        calib=calib,
        eval=eval,
        train=train,
        metric=metric,
        budget=budget or Budget(),
        threads=threads,
        out=folder,
        command=f"fxopt.optimize({type(model).__name__}, ...)",
    )
    program = capture(exported, names=positional_names(model))
    return _Run(request, Registry.load(), program, exported, type(model).__name__, (), progress).go()


def optimize_model(request: Request, progress: Progress = NULL) -> Result:
    """The command line's job: load the model that the request names, then optimize it.

    Raises:
        InputError, BudgetError: as `optimize`.
    """
    from fxopt.contracts.frontend import LoadRequest, load_model
    from fxopt.ir.input_spec import parse_inputs

    registry = Registry.load(request.without)
    target = registry.make_target(request.target)  # usage errors come before the model is loaded
    registry.make_passes(request.passes)
    limits.engines(registry, target, request)
    inputs, dims = parse_inputs(request.inputs)
    limits.check_writable(request.out)
    with progress.phase("load and capture the model"):
        loaded = load_model(
            [frontend() for frontend in registry.frontends.values()],
            LoadRequest(request.model, request.weights, inputs, dims, request.trust_pickle),
        )
        for note in loaded.notes:
            progress.note(note)
        exported, names = loaded.exported, ()
        if exported is None:
            assert loaded.module is not None
            exported = export(loaded.module, loaded.args, loaded.kwargs, loaded.dynamic_shapes)
            names = positional_names(loaded.module)  # type: ignore[assignment]
        program = capture(exported, {dim.name: dim.measured for dim in loaded.dims}, names)
    return _Run(request, registry, program, exported, loaded.source, loaded.notes, progress).go()


@dataclass
class _Plan:
    """A build that competes in the confirmation."""

    engine: str
    build: Build
    lab: EngineLab


class _Run:
    def __init__(
        self,
        request: Request,
        registry: Registry,
        program: Program,
        exported: ExportedProgram,
        source: str,
        notes: Sequence[str],
        progress: Progress,
    ) -> None:
        self.request, self.registry, self.program, self.exported = request, registry, program, exported
        self.source, self.notes, self.progress = source, notes, progress
        limits.check_supported(request)
        self.target = registry.make_target(request.target)
        self.engines = limits.engines(registry, self.target, request)
        self.passes = registry.make_passes(request.passes)
        self.started = time.monotonic()
        self.whole: dict[str, Evidence] = {}  # of whole plans, by the key of their build

    def go(self) -> Result:
        out = self.request.out
        output.roll_forward(out)
        machine = self.target.machine()
        identity = {
            "model": self.program.digest,
            "target": self.target.spec(),
            "engines": sorted(self.engines),
            "passes": [rule.spec() for rule in self.passes],
            "machine": [machine.cpu, *machine.isa],
            "versions": machine.versions,
            "fxopt": __version__,
        }
        journal = Journal(out, identity, self.request.resume)
        limit = self.request.budget.time_limit_s
        deadline = None if limit is None else self.started + limit
        try:
            with Worker(Limits()) as worker:
                inputs = [value.numpy() for value in sample_inputs(self.program, seed=self.request.seed)]
                self.workshop = Workshop(journal, worker, inputs, deadline)
                found = self.search()
                ledger, ship, base = self.measure(found)
            self.write(ledger, ship, base, found)
        except OSError as error:
            raise InputError(f"-o {out}: cannot write there: {error.strerror or error}") from error
        self.registry.event("finished", out=str(out), verdict=ledger["result"]["verdict"])
        return Result(ledger, out)

    def search(self) -> Search:
        with self.progress.phase("search for rewrites"):
            return search(self.program, self.passes, self.registry, self.target.capabilities(), self.progress.detail)

    # -- measuring -------------------------------------------------------------------------------------------

    def measure(self, found: Search) -> tuple[dict[str, Any], _Plan, _Plan]:
        """Baselines on all engines, plans on the competitive ones, one fresh confirmation of all that matters."""
        labs = self.baselines(found)
        first = self.compare_baselines(labs)
        plans = self.plans(found, labs, first)
        return self.confirm(found, labs, first, plans)

    def baselines(self, found: Search) -> dict[str, EngineLab]:
        labs: dict[str, EngineLab] = {}
        self.failures: dict[str, str] = {}
        with self.progress.phase("build the unmodified model on each engine", len(self.engines)):
            for spec, engine in self.engines.items():
                try:
                    plan = Plan(epochs=3, comparisons=8)
                    labs[spec] = EngineLab(self.workshop, self.registry, spec, self.program, found.steps, plan)
                except EngineError as error:
                    self.failures[engine.name] = str(error)
                    self.progress.note(str(error))
                self.progress.advance()
        if not labs:
            raise InputError(f"no engine can run this model: {'; '.join(self.failures.values())}")
        return labs

    def compare_baselines(self, labs: dict[str, EngineLab]) -> Session:
        variants = [(s, s, lab.artifacts[lab.baseline.key], self.program) for s, lab in labs.items()]
        with self.progress.phase("measure the engines on the unmodified model", 40):
            session = self.workshop.session(variants, Plan(rounds=15, epochs=2), self._advance())
        for spec, reason in session.failures.items():
            self.failures[self.engines[spec].name] = reason
            labs.pop(spec, None)
        if not labs or not session.variants:
            raise InputError(f"no engine can run this model: {'; '.join(session.failures.values())}")
        return session

    def plans(self, found: Search, labs: dict[str, EngineLab], first: Session) -> list[_Plan]:
        best = min(item.latency_ms.estimate for item in first.variants.values())
        planner = self.registry.make_planner(next(iter(self.registry.planners)))
        plans: list[_Plan] = []
        if not found.steps:
            return plans
        for spec, lab in labs.items():
            if self.engines[spec].name == "eager" and len(labs) > 1:
                continue
            slower = first.variants[spec].latency_ms.low / best
            if slower > COMPETITIVE:
                name = self.engines[spec].name
                reason = f"not planned for: {name} takes {slower:.2f} times as long as the best engine on the unmodified model"
                lab.refuse([step.id for step in found.steps], reason)
                continue
            with self.progress.phase(f"plan for {self.engines[spec].name}", 60):
                lab.progress = self._advance()
                problem = Problem(self.program, found.steps, self.request.budget, CONFIDENCE, lab)
                plans += [_Plan(spec, build, lab) for build in planner.plan(problem) if self.sound(found, lab, build)]
        return plans

    def sound(self, found: Search, lab: EngineLab, build: Build) -> bool:
        """Whether a plan as a whole is as exact as each of its steps; if not, its steps are refused."""
        steps = [step for step in found.steps if step.id in build.steps]
        twin, _ = replay(double(self.program), steps, self.registry)
        self.whole[build.key] = check_whole(self.program, lab.programs[build.key], twin)
        fault = self.whole[build.key].fault
        if fault:
            lab.refuse(build.steps, f"the plan as a whole {fault}")
        return not fault

    def confirm(
        self, found: Search, labs: dict[str, EngineLab], first: Session, plans: list[_Plan]
    ) -> tuple[dict[str, Any], _Plan, _Plan]:
        best = min(first.variants, key=lambda spec: first.variants[spec].latency_ms.estimate)
        base = _Plan(best, labs[best].baseline, labs[best])
        order = [best, *(spec for spec in labs if spec != best)]
        names = {spec: self._label(spec) for spec in order}
        variants = [(names[s], s, labs[s].artifacts[labs[s].baseline.key], self.program) for s in order]
        candidates: dict[str, _Plan] = {}
        for index, plan in enumerate(plans):
            name = f"plan {index + 1} on {self._label(plan.engine)}"
            candidates[name] = plan
            variants.append((name, plan.engine, plan.lab.artifacts[plan.build.key], plan.lab.programs[plan.build.key]))
        with self.progress.phase("confirm what ships on fresh measurements", 80):
            session = self.workshop.session(variants, Plan(comparisons=len(variants)), self._advance())
        # Another engine may turn out faster on the unmodified model than in the first session.
        winners = [
            name
            for name in (*names.values(), *candidates)
            if (item := session.variants.get(name)) is not None and item.faster
        ]
        by_label = {names[s]: _Plan(s, labs[s].baseline, labs[s]) for s in order}
        chosen = min(winners, key=lambda name: session.variants[name].latency_ms.estimate, default=names[best])
        ship = (by_label | candidates)[chosen]
        if chosen in by_label:  # an unmodified model wins: it is its own baseline
            base = ship
        return self.ledger(found, session, names, candidates, chosen, ship, base), ship, base

    def _label(self, spec: str) -> str:
        name = self.engines[spec].name
        return "PyTorch eager" if name == "eager" else name

    def _advance(self) -> Any:
        state = {"done": 0}

        def tell(done: int, total: int) -> None:
            for _ in range(state["done"], done):
                self.progress.advance()
            state["done"] = done

        return tell

    # -- writing ---------------------------------------------------------------------------------------------

    def ledger(
        self,
        found: Search,
        session: Session,
        names: dict[str, str],
        candidates: dict[str, _Plan],
        chosen: str,
        ship: _Plan,
        base: _Plan,
    ) -> dict[str, Any]:
        base_name = names[base.engine]
        result, reference = session.variants[chosen], session.variants[base_name]
        steps = [step for step in found.steps if step.id in ship.build.steps]
        final = ship.lab.programs[ship.build.key]
        ratio = result.ratio.interval if result.ratio is not None and chosen != base_name else None
        speedup = {"estimate": 1.0, "low": 1.0, "high": 1.0}
        if ratio is not None:
            speedup = {"estimate": 1 / ratio.estimate, "low": 1 / ratio.high, "high": 1 / ratio.low}
        engine_name = self.engines[ship.engine].name
        if not steps:
            sentence = f"no rewrite pays: the unmodified model on {engine_name}, its best engine"
        else:
            sentence = f"{speedup['estimate']:.2f}x faster than the best engine ({base_name}) on the unmodified model"
        whole = self.whole.get(ship.build.key)
        artifact = ship.lab.artifacts[ship.build.key]
        with load_in_worker(ship.engine, artifact) as worker:
            artifact_error = self.workshop.error(final, worker.run(self.workshop.inputs))
        verdicts = dict(ship.lab.verdicts)
        if ship.build.key != ship.lab.baseline.key or not steps:
            for step in found.steps:
                verdicts.setdefault(step.id, Verdict("refused", "no plan with it was confirmed faster"))
        machine = self.target.machine()
        peak = self._peak(final, ship.engine), self._peak(self.program, base.engine)
        rows = ledgers.variants(session, {names[s]: self.engines[s].name for s in names})
        if chosen in candidates:
            rows += ledgers.variants(session, {chosen: engine_name})
            rows[-1]["name"] = "fxopt"
        else:
            rows.append(
                {**next(row for row in rows if row["name"] == chosen), "name": "fxopt", "note": "the unmodified model"}
            )
        faults = list(found.faults.values()) + [p.fault for p in self.registry.plugins if p.fault]
        return {
            "version": ledgers.VERSION,
            "fxopt": __version__,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": self.request.command,
            "model": {"source": self.source, "digest": self.program.digest, "nodes": len(self.program)},
            "machine": dataclasses.asdict(machine),
            "target": self.target.spec(),
            "threads": self.engines[ship.engine].threads,
            "seed": self.request.seed,
            "baseline": ledgers.figures(
                self.engines[base.engine].name, _options(base), reference, base.build.size_bytes, peak[1]
            ),
            "result": {
                **ledgers.figures(engine_name, _options(ship), result, ship.build.size_bytes, peak[0]),
                "speedup": speedup,
                "ratio": None if ratio is None else ratio.to_json(),
                "verdict": sentence,
            },
            "variants": rows,
            "noise": {
                "floor": session.floor.to_json(),
                "rounds": session.rounds,
                "confidence": CONFIDENCE,
                "comparisons": self.workshop.comparisons,
            },
            "checks": {
                "float64_error": whole.float64_error if whole else None,
                "float32_error": whole.native_error if whole else None,
                "float32_error_original": whole.original_error if whole else None,
                "artifact_error": artifact_error,
            },
            "rewrites": ledgers.rewrites(found, steps, verdicts),
            "layers": {
                "before": self.workshop.kernels(base.engine, base.lab.artifacts[base.build.key]),
                "after": self.workshop.kernels(ship.engine, artifact),
            },
            "engines": {
                name: self.failures.get(name) or cls.available() or "available"
                for name, cls in self.registry.engines.items()
                if name in self.target.engines
            },
            "faults": faults,
            "seconds": round(time.monotonic() - self.started, 1),
        }

    def _peak(self, program: Program, engine: str) -> int | None:
        return self.target.predict(program, self.engines[engine]).peak_bytes

    def write(self, ledger: dict[str, Any], ship: _Plan, base: _Plan, found: Search) -> None:
        """Meet the limits or say so; then stage everything and publish it at once."""
        from fxopt.report import write as write_report

        out = self.request.out
        fault = limits.over_budget(self.request.budget, ledger)
        folder = output.staging(self.workshop.journal.path)
        with self.progress.phase("write the output"):
            output.write_json(folder / "ledger.json", ledger)
            write_report(ledger, folder)
            if fault is None:
                shutil.copytree(ship.lab.artifacts[ship.build.key], folder / "model")
                output.write_json(folder / "plan.json", self.plan(ledger, ship, found))
                if self.request.source:
                    shutil.copytree(base.lab.artifacts[base.build.key], folder / "baseline")
                    _save_source(self.exported, folder / "source.pt2")
            output.publish(out)
        if fault is not None:
            raise BudgetError(f"{fault}; the figures reached are in {out / 'report.md'}, no model was written")

    def plan(self, ledger: dict[str, Any], ship: _Plan, found: Search) -> dict[str, Any]:
        """The lockfile: what to do to which graph, under which versions."""
        return {
            "version": 1,
            "fxopt": __version__,
            "graph": self.program.structure_digest,
            "model": self.program.digest,
            "target": self.target.spec(),
            "engine": ship.engine,
            "machine": ledger["machine"],
            "budget": self.request.budget.to_json(),
            "data": {"calib": None, "eval": None, "train": None},
            "seed": self.request.seed,
            "steps": [step.to_json() for step in closure(found.steps, ship.build.steps)],
        }


def load_in_worker(engine: str, artifact: Path) -> Worker:
    """A worker that hosts an artifact, ready to run."""
    worker = Worker(Limits())
    worker.load(engine, artifact)
    return worker


def _options(plan: _Plan) -> Mapping[str, Any]:
    from fxopt.contracts.engine import Artifact

    return Artifact.read(plan.lab.artifacts[plan.build.key]).options


def _save_source(exported: ExportedProgram, file: Path) -> None:
    import torch

    from fxopt.ir.quiet import quiet

    with quiet():
        torch.export.save(exported, str(file))
