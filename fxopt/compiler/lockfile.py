"""plan.json, the lockfile of a result: what was done to which graph, under which versions. docs/pipelines.md has its schema."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt import __version__
from fxopt.compiler import output
from fxopt.contracts import plain
from fxopt.contracts.candidate import Fidelity, Step
from fxopt.contracts.cost import Budget
from fxopt.contracts.options import split_spec
from fxopt.contracts.target import Machine, Target
from fxopt.errors import InputError

if TYPE_CHECKING:
    import torch

    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program
    from fxopt.registry import Registry

PLAN, TENSORS = "plan.json", "plan.safetensors"
VERSION = 1
_LONGEST = 120  # characters of a line of the graph that a message quotes


@dataclass(frozen=True)
class Recorded:
    """Which data a plan was made with: their path, None for an object of the Python interface, and their digest."""

    path: str | None
    digest: str


@dataclass(frozen=True)
class Sources:
    """Data by role; None: there were none."""

    calib: Recorded | None
    eval: Recorded | None
    train: Recorded | None


@dataclass(frozen=True)
class Worsening:
    """A drop of quality with its interval; ends are None where nothing is known of them."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Figures:
    """As `fxopt.verify.quality.Quality.figures`."""

    original: float
    candidate: float
    drop: Worsening
    samples: int
    differing: int
    method: str
    upper: float | None
    limit: float
    samples_needed: int | None


@dataclass(frozen=True)
class Judged:
    """As `fxopt.verify.quality.Quality.to_json`: what was found of the result's quality, and how."""

    metric: str
    budget: str
    by: str
    confidence: float
    data: Recorded | None
    gate: Figures
    report: Figures


_FORM = {
    "version": int,
    **dict.fromkeys(("fxopt", "graph", "model", "target", "engine", "engine_version"), str),
    "plugins": Mapping[str, str],
    "machine": Machine,
    "budget": Budget,
    "data": Sources,
    "metric": str | None,
    "quality": Judged | None,
    "seed": int,
    "inputs": tuple[str, ...],
    "text": tuple[str, ...],
    "steps": tuple[Step, ...],
    "recipe": str | None,
    "tunings": Mapping[str, Any],
    "result": str,
}


@dataclass(frozen=True)
class Lockfile:
    """A plan that was read back.

    Attributes:
        file: where it lies.
        data: as in plan.json.
        steps: what was done, in order.
        budget: what was asked for.
        machine: where it was made.
        sources: the data that it was made with.
    """

    file: Path
    data: Mapping[str, Any]
    steps: tuple[Step, ...]
    budget: Budget
    machine: Machine
    sources: Sources

    @classmethod
    def read(cls, path: Path) -> Lockfile:
        """The plan in a file, or in an output folder.

        Raises:
            InputError: there is none, it is damaged, or its schema is of another version.
        """
        file = path / PLAN if path.is_dir() else path
        data = output.read_json(file, VERSION, f"{path}: there is no {PLAN}; give it, or the output folder it lies in")
        data = {"metric": None, "quality": None, "recipe": None, "tunings": {}, **data}  # plans of old have none
        try:
            given = plain.record(_FORM, data)
            if given["engine"] == "auto":
                raise plain.Damaged("one engine is needed", ("engine",))
            _check_order(given["steps"])
        except (plain.Damaged, InputError) as damage:
            raise InputError(f"{file}: damaged ({damage}); optimize the model again") from damage
        return cls(file, data, given["steps"], given["budget"], given["machine"], given["data"])

    @property
    def lossy(self) -> bool:
        """Whether what shipped was held to a quality budget."""
        steps = any(step.candidate.fidelity is not Fidelity.EXACT for step in self.steps)
        tunings = bool(self.data["tunings"]) and self.data["quality"] is not None
        return steps or tunings or self.data["recipe"] is not None

    def check_graph(self, program: Program) -> None:
        """Refuse a Program of another graph.

        Raises:
            InputError: the graphs differ; the message names the first node that does.
        """
        if program.structure_digest != self.data["graph"]:
            difference = first_difference(self.data["text"], structure(program))
            raise InputError(f"{self.file}: this plan is for another graph: {difference}; optimize this model anew")

    def moved(self, registry: Registry, target: Target, engine: Engine) -> list[str]:
        """What is another machine or version here than the plan's, in words."""
        machine, then, found = target.machine(), self.machine, []
        if (machine.cpu, machine.isa) != (then.cpu, then.isa):
            isa = " with other instruction sets" if machine.cpu == then.cpu else ""
            found.append(f"another machine: the plan was made on {then.cpu}, this is {machine.cpu}{isa}")
        name = engine.name
        old = {"fxopt": self.data["fxopt"], **then.versions, **self.data["plugins"], name: self.data["engine_version"]}
        installed = plugins(registry, target, engine, self.steps)
        new = {"fxopt": __version__, **machine.versions, **installed, name: version(engine)}
        changed = [
            f"{name} {old.get(name, 'not installed')} is now {new.get(name, 'not installed')}"
            for name in dict.fromkeys((*old, *new))
            if old.get(name) != new.get(name)
        ]
        return [*found, f"other versions: {', '.join(changed)}"] if changed else found

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors of the steps that cannot compute theirs from the weights, by name.

        Raises:
            InputError: the file beside the plan that holds them is missing, damaged, or lacks one.
        """
        needed = [
            name
            for step in self.steps
            for name in step.tensors
            if step.candidate.fidelity is not Fidelity.EXACT or name.startswith(f"{step.id}/")
        ]
        if not needed:
            return {}
        from safetensors import safe_open

        file = self.file.with_name(TENSORS)
        try:
            with safe_open(file, "pt") as tensors:
                return {name: tensors.get_tensor(name) for name in needed}
        except Exception as error:  # safetensors raises its own and whatever the file system does
            raise InputError(f"{file}: missing or damaged ({error}); give --refit to fit its tensors anew") from error


def _check_order(steps: Sequence[Step]) -> None:
    """That steps can be done round by round.

    Raises:
        Damaged: they cannot.
    """
    rounds: dict[str, int] = {}
    specs: dict[int, str] = {}
    for step in steps:
        if step.id in rounds:
            raise plain.Damaged(f"steps: {step.id!r} is there twice")
        if split_spec(step.spec)[0] != step.candidate.rule:
            raise plain.Damaged(f"steps: {step.id!r} is of another pass than {step.spec!r}")
        if specs.setdefault(step.round, step.spec) != step.spec:
            raise plain.Damaged(f"steps: round {step.round} has two passes")
        rounds[step.id] = step.round
    for step in steps:
        for need in step.needs:
            if rounds.get(need, step.round) >= step.round:
                raise plain.Damaged(f"steps: {step.id!r} needs {need!r}, which is no step of an earlier round")


def plugins(registry: Registry, target: Target, engine: Engine, steps: Sequence[Step]) -> dict[str, str]:
    """Versions, by distribution, of those that bring the target, the engine and the passes of a plan; fxopt's own left out."""
    used = {("targets", target.name), ("engines", engine.name), *(("passes", step.candidate.rule) for step in steps)}
    owners = {registry.owners[key] for key in used if key in registry.owners}
    known = {plugin.distribution: plugin.version for plugin in registry.plugins}
    return {name: known.get(name, "unknown") for name in sorted(owners - {"fxopt"})}


def version(engine: Engine) -> str:
    """The engine's version; `"unknown"` where it does not tell."""
    try:
        return str(engine.version())
    except Exception:  # noqa: BLE001 - an engine of others may raise anything, and has run all the same
        return "unknown"


def structure(program: Program) -> list[str]:
    """The lines of the graph's `.fx` form, free of weights."""
    from fxopt.ir.text import to_text

    return to_text(program, digests=False).splitlines()


def first_difference(planned: Sequence[str], found: Sequence[str]) -> str:
    """The first node, in order of execution, that differs between two graphs as `structure` gives them, in words."""
    for old, new in itertools.zip_longest(_in_order(planned), _in_order(found)):
        if old != new:
            name = _name(new or old)
            if old is None or new is None:
                return f"node {name} is {'not in the plan' if old is None else 'not in this model'}"
            return f"the first node that differs is {name}: {_short(new)}, where the plan has: {_short(old)}"
    return "their digests differ"


def _in_order(lines: Sequence[str]) -> list[str]:
    """Inputs and calls first: a weight of another shape matters where it is used."""
    late = ("tensor ", "interface ")
    return sorted(lines, key=lambda line: line.startswith(late))  # sorting is stable


def _name(line: str | None) -> str:
    head, _, _ = (line or "").strip().partition(" : ")
    return head.split(" = ")[0].split(" ")[-1] if " : " in (line or "") else head[:_LONGEST]


def _short(line: str) -> str:
    line = line.strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def write(folder: Path, plan: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write plan.json, and beside it the tensors that its steps need.

    Args:
        folder: where to.
        plan: what the lockfile says.
        tensors: those that steps cannot compute from the weights, by name; the plan's own are written.
    """
    output.write_json(folder / PLAN, plan)
    needed = {name for step in plan["steps"] for name in step["tensors"]} & tensors.keys()
    if needed:
        from safetensors.torch import save_file

        save_file({name: tensors[name].detach().contiguous().clone() for name in sorted(needed)}, folder / TENSORS)
