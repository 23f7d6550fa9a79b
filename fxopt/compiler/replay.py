"""`fxopt replay`: a run whose plan is given. Nothing is searched for; everything is checked and measured here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fxopt.compiler import limits
from fxopt.compiler.contest import Contender, Outcome
from fxopt.compiler.lab import Verdict
from fxopt.compiler.ledger import PREDICTED
from fxopt.compiler.lockfile import Lockfile, Recorded
from fxopt.compiler.optimize import Result, prepare
from fxopt.compiler.planning import scheme
from fxopt.compiler.progress import NULL, Progress
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.compiler.search import Search, follow
from fxopt.contracts.candidate import Fidelity, Step
from fxopt.contracts.cost import Budget
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.measure import Plan
from fxopt.user_code import is_reference
from fxopt.verify.quality import Quality

_SAID = 5  # steps left out that are said one by one
_TIMES = ("max_latency_ms", "max_p99_ms", "require_speedup")  # limits of a budget that no replay is stopped by


def replay_plan(request: Request, lock: Lockfile, refit: bool = False, progress: Progress = NULL) -> Result:
    """Rebuild the artifact of a plan from a model of the same graph.

    Args:
        request: names the model and the output folder; what else the plan records is taken from there, but for inputs
            and calibration data that the request gives.
        lock: the plan.
        refit: whether tensors that rest on data are fitted anew also where the model is the plan's own.
        progress: told what is going on.

    Raises:
        InputError: as `fxopt.optimize`; or the model's graph is another one; or the plan cannot be built here.
        BudgetError: the plan's limit on size or memory is not kept.
    """
    limits.check_writable(request.out)
    run = prepare(planned(request, lock), progress, lambda *parts: Replay(lock, refit, *parts))
    return Result(run.go(), request.out)


def planned(request: Request, lock: Lockfile) -> Request:
    """The request with what the plan records, but for inputs and data that the request gives."""
    return dataclasses.replace(
        request,
        target=lock.data["target"],
        engine=lock.data["engine"],
        inputs=request.inputs or tuple(lock.data["inputs"]),
        calib=request.calib or _at_hand(lock.sources.calib),
        eval=request.eval or _at_hand(lock.sources.eval),
        budget=lock.budget,
        metric=lock.data["metric"],
        passes=",".join(dict.fromkeys(step.spec for step in lock.steps)),
        seed=lock.data["seed"],
    )


def _at_hand(recorded: Recorded | None) -> str | None:
    """Where recorded data can be read here, if they can."""
    path = recorded.path if recorded is not None else None
    return path if path is not None and (is_reference(path) or Path(path).exists()) else None


def _other(recorded: Recorded | None, data: Data | None) -> bool:
    """Whether data are given, and others than those that a plan was made with."""
    return data is not None and data.digest != (recorded and recorded.digest)


class Unjudged(Quality):
    """The budget of a plan whose data are not here: nothing is judged, as its result was when the plan was made."""

    def begin(self) -> None:
        """Nothing: there are no data to judge the original on."""


class Replay(Run):
    """A run that searches nothing: its steps are those of a plan, and the engine is the plan's."""

    def __init__(self, lock: Lockfile, refit: bool, request: Request, registry: Any, program: Any, *rest: Any) -> None:
        lock.check_graph(program)
        self.lock = lock
        self.new_weights = program.digest != lock.data["model"]
        self.refitted = refit or self.new_weights
        self.tensors = {} if self.refitted else lock.tensors()
        super().__init__(request, registry, program, *rest)

    @cached_property
    def moved(self) -> list[str]:
        """What is another machine or version here than the plan's, in words."""
        (engine,) = self.engines.values()
        return self.lock.moved(self.registry, self.target, engine)

    def judge(self) -> Quality:
        """As that of a run. Where the plan's data are not here, and nothing is new, the quality that it records stands.

        Raises:
            InputError: as `make_quality`; or the plan's data are not here, and have to be.
        """
        recipe, roles = self.lock.data["recipe"], self._missing
        if recipe is not None and "calib" in roles:
            raise self._needs(["calib"], f"the engine's own {recipe} is made with data")
        if self.data.evaluation is not None or not roles or not self.request.budget.max_drop.value:
            return super().judge()
        if self.lock.lossy and (reason := self._why_judge()) is not None:
            needed = roles if self.refitted else [self._judged_on]
            raise self._needs(needed, f"{reason}, so its quality has to be measured")
        return Unjudged.made_up(self.program, self.request.budget.max_drop)

    @property
    def trusted(self) -> bool:
        """Whether the quality of what ships is what the plan records, for want of data."""
        return self.lock.lossy and isinstance(self.quality, Unjudged)

    def _why_judge(self) -> str | None:
        """Why the quality that the plan records does not stand here, in words; None if it does."""
        if self.new_weights:
            return "the weights are new"
        if self.moved:
            return self.moved[0]
        if self.refitted:
            return "--refit fits anew what rests on data"
        return "the plan does not record its quality" if self.lock.data["quality"] is None else None

    @property
    def _missing(self) -> list[str]:
        """Roles of the data that the plan was made with and that were not given here."""
        return [role for role, data in self.data.given.items() if data is None and getattr(self.lock.sources, role)]

    @property
    def _judged_on(self) -> str:
        """The role of the data that the plan was judged on."""
        return "calib" if self.lock.sources.eval is None else "eval"

    def _named(self, roles: Sequence[str]) -> str:
        """Recorded data in words."""
        return ", ".join(getattr(self.lock.sources, role).path or f"{role}: given as an object" for role in roles)

    def _needs(self, roles: Sequence[str], reason: str) -> InputError:
        options = " and ".join(f"--{role} DATA" for role in roles)
        return InputError(
            f"{self.lock.file}: {reason}, and the plan's data ({self._named(roles)}) are not here: give {options}"
        )

    def _identity(self) -> dict[str, Any]:
        return {**super()._identity(), "plan": self.lock.data, "refitted": self.refitted}

    def search(self) -> Search:
        """The plan's steps, each checked on its region as in a search."""
        with self.progress.phase("replay the plan"):
            self.context = dataclasses.replace(self.context, scheme=scheme(self, next(iter(self.engines))))
            context = dataclasses.replace(self.context, fitted=self.tensors)
            found = follow(self.program, self.lock.steps, self.registry, context, self.progress.detail)
        lost = [item for item in found.refusals if item.candidate.rule in self.context.asked]
        if lost and self.lock.lossy and "calib" in self._missing:
            raise self._needs(["calib"], f"{lost[0].candidate.id} would be left out ({lost[0].reason})")
        self._say_what_is_new(found)
        if not self.new_weights:
            self._compare_tensors(found)
        return found

    def _say_what_is_new(self, found: Search) -> None:
        fitted = sum(step.candidate.rule in self.context.asked for step in self.lock.steps)
        if self.new_weights:
            exact = sum(step.candidate.fidelity is Fidelity.EXACT for step in self.lock.steps)
            self.progress.note(f"new weights: the graph is the plan's; {exact} exact steps were done anew and checked")
        for text in self.moved:
            self.progress.note(f"{text}; the plan was rebuilt, checked and measured here")
        if not self.new_weights and not self.moved:
            self.progress.note("the model, the machine and the versions are the plan's")
        if self.refitted and (fitted or not self.new_weights):
            self.progress.note(f"{fitted} steps that rest on data were fitted anew")
        self._say_of_data(found)

    def _say_of_data(self, found: Search) -> None:
        missing, given = self._missing, self.data.given
        if self.trusted:
            self.progress.note(
                "the quality is the one that the plan records, and was not measured again:"
                f" the plan's data ({self._named(missing)}) are not here"
            )
            return
        if "calib" in missing:
            lost = any(refusal.candidate.rule in self.context.asked for refusal in found.refusals)
            what = "steps that rest on them are left out: give --calib to keep them" if lost else "no step needs them"
            self.progress.note(f"the plan's calibration data ({self._named(['calib'])}) are not here; {what}")
        if "eval" in missing and self.data.evaluation is not None:
            self.progress.note(
                f"the plan's evaluation data ({self._named(['eval'])}) are not here: quality is checked {self.quality.where}"
            )
        if _other(self.lock.sources.calib, given["calib"]):
            self.progress.note("the calibration data are others than the plan's")
        if _other(self.lock.sources.eval, given["eval"]):
            self.progress.note("the evaluation data are others than the plan's")

    def _compare_tensors(self, found: Search) -> None:
        """On the plan's own model steps must give the plan's tensors; elsewhere they may be rounded otherwise."""
        planned = {step.id: step for step in self.lock.steps}
        for step in found.steps:
            if step.id not in planned:
                self.progress.note(
                    f"{step.candidate.rule} at {step.candidate.site[0]} is {step.id} here: the engine wants it so"
                )
                continue
            if step.tensors == planned[step.id].tensors or step.candidate.fidelity is not Fidelity.EXACT:
                continue
            rule = step.candidate.rule
            text = f"{step.id} gives other tensors than the plan says, on the same model"
            if self.moved:
                self.progress.note(f"{text}: it is rounded otherwise here")
            else:
                found.faults.setdefault(rule, f"{self.registry.owners['passes', rule]}: {text}")

    def measure(self, found: Search) -> Outcome:
        """The plan beside the unmodified model, on the plan's engine alone. What ships is the plan, whatever it brings."""
        ((spec, lab),) = self.baselines(found).items()
        base = self.label(spec)
        contenders = {base: Contender(spec, lab.baseline, lab)}
        with self.progress.phase("build the plan"):
            lab.verdicts.update({step.id: Verdict("applied", "replayed from the plan") for step in found.steps})
            if (recipe := self.lock.data["recipe"]) is not None:
                lab.calib = self.calib
                build = next(iter(lab.recipes(recipe)), None)
            else:
                build = lab.build([step.id for step in found.steps])
            if build is None:
                raise InputError(
                    f"{self.lock.file}: {'; '.join([*lab.failures.values(), *lab.untried.values()])}; optimize the model anew"
                )
            if tunings := self.lock.data["tunings"]:
                build = lab.under(build, tunings)
            if self.trusted:
                if lab.programs[build.key].digest != self.lock.data["result"]:
                    raise self._needs([self._judged_on], "the steps give another program than the plan's")
                lab.faults[build.key] = None  # found when the plan was made
            build = lab.keep(build)
        shipped = base
        if build is not None and build.key != lab.baseline.key:
            shipped = f"plan on {base}"
            contenders[shipped] = Contender(spec, build, lab)
            if not self.trusted and not self.proven(contenders[shipped]):
                del contenders[shipped]
                shipped = base
        variants = [(name, spec, item.artifact, item.checked_against) for name, item in contenders.items()]
        with self.progress.phase("measure the plan beside the unmodified model", 30):
            session = self.workshop.session(variants, Plan(rounds=15, epochs=2, together=True), self.advance())
        if shipped in session.failures:
            raise InputError(f"{self.lock.file}: {session.failures[shipped]}; optimize the model anew")
        return Outcome(found, session, contenders, shipped)

    def ledger(self, outcome: Outcome) -> dict[str, Any]:
        """As that of a run, and what was replayed."""
        ledger = super().ledger(outcome)
        if self.trusted:
            ledger["result"]["quality"] = self.lock.data["quality"]
        left_out = [entry for entry in ledger["rewrites"] if entry["verdict"] != "applied"]
        ships = outcome.contenders[outcome.shipped].build
        ledger["notes"] += [f"left out: {entry['id']}: {entry['reason']}" for entry in left_out[:_SAID]]
        if len(left_out) > _SAID:
            ledger["notes"].append(f"left out: {len(left_out) - _SAID} more; fxopt explain tells of each")
        ratio, engine = ledger["result"]["ratio"], self.engines[outcome.contenders[outcome.base].engine].name
        recipe = self.lock.data["recipe"]
        what = f"{len(ships.steps)} of {len(self.lock.steps)} steps" if recipe is None else f"the engine's own {recipe}"
        what += f" with {ships.tunings_text}" if ships.tunings else ""
        verdict = f"{what} replayed on {engine}" if recipe == ships.recipe else f"{what} does not ship on {engine}"
        if ratio is not None:
            verdict += (
                f": {ratio['estimate']:.3f} of the latency of the unmodified model there"
                f" ({ratio['low']:.3f} to {ratio['high']:.3f})"
            )
        times = Budget(**{limit: getattr(self.request.budget, limit) for limit in _TIMES})
        if (late := limits.over_budget(times, ledger)) is not None:
            ledger["notes"].append(f"times differ from moment to moment, so this stops no replay: {late}")
        predicted = ledger["result"]["source"] == "predicted"
        ledger["result"]["verdict"] = f"{PREDICTED}{verdict}" if predicted else verdict
        plan = self.plan(ledger, outcome.contenders[outcome.shipped], outcome.found)
        ledger["replay"] = {
            "plan": str(self.lock.file),
            "steps": len(self.lock.steps),
            "replayed": len(ships.steps),
            "new_weights": self.new_weights,
            "moved": self.moved,
            "refitted": self.refitted,
            "trusted": self.trusted,
            "differs": self._differences(plan) if self.nothing_is_new else [],
        }
        return ledger

    @property
    def nothing_is_new(self) -> bool:
        """Whether weights, machine, versions and what data there are are the plan's, and so must be what comes out."""
        sources = self.lock.sources
        here = ((sources.calib, self.data.given["calib"]), (sources.eval, self.data.given["eval"]))
        return not (self.new_weights or self.moved or self.refitted or any(_other(*pair) for pair in here))

    def _differences(self, plan: Mapping[str, Any]) -> list[str]:
        """What a plan has otherwise than the one that was replayed, in words."""
        found = {step.id: step for step in map(Step.from_json, plan["steps"])}
        differs = []
        for step in self.lock.steps:
            if (other := found.get(step.id)) is None:
                differs.append(f"{step.id} was left out")
            elif other != step:
                what = "gave other tensors" if other.tensors != step.tensors else "was offered in another form"
                differs.append(f"{step.id} {what}")
        if not differs and plan["result"] != self.lock.data["result"]:
            differs.append("the steps gave another program")
        kept = ((key, self.lock.data[key]) for key in ("recipe", "tunings"))
        return differs + [f"what ships has not the plan's {key} {was}" for key, was in kept if was and plan[key] != was]

    def fault(self, ledger: dict[str, Any]) -> str | None:
        """The first limit that is not kept. Times never stop a replay: on the same machine it must give the same."""
        unlimited: dict[str, Any] = dict.fromkeys(_TIMES)
        return limits.over_budget(dataclasses.replace(self.request.budget, **unlimited), ledger)

    def plan(self, ledger: dict[str, Any], ship: Contender, found: Search) -> dict[str, Any]:
        """As that of a run; what was not found out here, or has to come out the same, stays as it was recorded."""
        plan, was = super().plan(ledger, ship, found), self.lock.data
        here = {role: data for role, data in plan["data"].items() if data is not None}
        # Intervals of a quality may differ in the last digit.
        same = self.nothing_is_new and plan["result"] == was["result"]
        return {
            **plan,
            "data": {**was["data"], **here},
            "metric": was["metric"] or plan["metric"],
            "quality": (was["quality"] if same else None) or plan["quality"],
        }
