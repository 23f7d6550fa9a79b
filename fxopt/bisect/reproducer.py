"""The reproducer of `fxopt bisect`: a small Program and the steps that make it worse, as a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt import __version__
from fxopt.bisect.regression import Bench, Case, Figure, metric
from fxopt.compiler import output
from fxopt.compiler.context import Context
from fxopt.compiler.reproducer import STATISTICS, damaged, load_program, reproduce, save_program, whole
from fxopt.compiler.steps import replay
from fxopt.contracts import plain
from fxopt.contracts.candidate import Step
from fxopt.contracts.quantization import QuantScheme
from fxopt.contracts.target import Capabilities
from fxopt.errors import EngineError, InputError
from fxopt.ir.statistics import Statistics

if TYPE_CHECKING:
    import torch

    from fxopt.compiler.guard import Guard
    from fxopt.ir.program import Program
    from fxopt.ir.statistics import Table
    from fxopt.registry import Registry

STEPS, INPUTS, FITTED = "steps.json", "inputs.safetensors", "fitted.safetensors"
_VERSION = 2


@dataclass(frozen=True)
class _Found:
    """A figure, as it is written."""

    value: float | None
    interval: Any
    text: str


_FORM = {
    "version": int,
    **dict.fromkeys(("fxopt", "metric", "what", "engine", "command"), str),
    "found": _Found,
    "bound": float,
    "capabilities": Capabilities | None,
    "scheme": QuantScheme | None,
    "steps": tuple[Step, ...],
}


class Recorded(Statistics):
    """Statistics that are known, whatever Program is asked about: names stand for the same values in all parts of one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def table(self, program: Program) -> Table:
        """As `Statistics.table`."""
        return self._table


@dataclass(frozen=True)
class Culprit:
    """Steps that make a Program worse, with all that their passes are told.

    Attributes:
        program: the Program.
        inputs: its flat inputs.
        steps: in order.
        metric: by what it is worse, as `regression.metric` takes it.
        what: the same in words.
        engine: spec of the engine that the plan is for.
        bound: what an error may be.
        capabilities: of the target.
        scheme: how the engine wants its integers, where steps are not exact.
        table: statistics of its values, where the steps' passes asked.
        fitted: tensors that the steps do not compute from the weights.
    """

    program: Program
    inputs: Sequence[torch.Tensor]
    steps: Sequence[Step]
    metric: str
    what: str
    engine: str
    bound: float
    capabilities: Capabilities | None
    scheme: QuantScheme | None
    table: Table | None
    fitted: Mapping[str, torch.Tensor]

    def context(self, guard: Guard | None = None) -> Context:
        """What passes are told."""
        statistics = None if self.table is None else Recorded(self.table)
        return Context(self.capabilities, statistics, fitted=self.fitted, guard=guard, scheme=self.scheme)

    def rewritten(self, registry: Registry, guard: Guard | None = None) -> Program | None:
        """The Program with all steps applied; None where one of them is not offered."""
        program, skipped = replay(self.program, self.steps, registry, self.context(guard))
        return None if skipped else program

    def measure(self, registry: Registry, bench: Bench, guard: Guard | None = None) -> Figure | None:
        """How the steps change the Program; None where one of them is not offered."""
        program = self.rewritten(registry, guard)
        if program is None:
            return None
        return metric(self.metric, bench, self.bound).measure(Case.of(self.program, list(self.inputs)), program)


def write(culprit: Culprit, figure: Figure, parent: Path) -> Path:
    """Write it into a folder of its own below `parent`, replacing an equal one; that folder."""
    from safetensors.torch import save_file

    data: dict[str, Any] = {
        "version": _VERSION,
        "fxopt": __version__,
        "metric": culprit.metric,
        "what": culprit.what,
        "found": figure.to_json(),
        "engine": culprit.engine,
        "bound": culprit.bound,
        "capabilities": None if culprit.capabilities is None else culprit.capabilities.to_json(),
        "scheme": culprit.scheme and culprit.scheme.to_json(),
        "steps": [step.to_json() for step in culprit.steps],
    }
    steps = json.dumps([data["metric"], data["steps"], culprit.program.digest])
    folder = parent / f"bisect-{hashlib.sha256(steps.encode()).hexdigest()[:8]}"
    names = (item.name for item in culprit.program.interface.inputs)
    inputs = dict(zip(names, culprit.inputs, strict=True))
    with whole(folder) as draft:
        save_program(culprit.program, draft)
        for file, tensors in ((INPUTS, inputs), (FITTED, culprit.fitted), (STATISTICS, culprit.table)):
            if tensors:
                save_file({name: value.contiguous().clone() for name, value in tensors.items()}, draft / file)
        output.write_json(draft / STEPS, {**data, "command": reproduce(folder)})
    return folder


def read(folder: Path) -> tuple[Culprit, str]:
    """What `write` wrote, and what was measured then, in words.

    Raises:
        InputError: it is no such reproducer, or damaged.
    """
    from safetensors.torch import load_file

    data = output.read_json(folder / STEPS, _VERSION, f"{folder}: no reproducer: there is no {STEPS} in it")
    try:
        form = plain.record(_FORM, data)
        program = load_program(folder)
        inputs = load_file(folder / INPUTS)
        culprit = Culprit(
            program,
            [inputs[item.name] for item in program.interface.inputs],
            table=load_file(folder / STATISTICS) if (folder / STATISTICS).exists() else None,
            fitted=load_file(folder / FITTED) if (folder / FITTED).exists() else {},
            **{key: form[key] for key in ("steps", "metric", "what", "engine", "bound", "capabilities", "scheme")},
        )
        return culprit, form["found"].text
    except Exception as error:  # whatever a damaged file leads to
        raise damaged(folder, error) from error


def run(culprit: Culprit, registry: Registry) -> Figure | None:
    """Rewrite the Program of a reproducer and measure it again; None where a step is not offered any more.

    Raises:
        InputError: a pass or the engine is not installed; or the engine fails on the Program without the steps.
    """
    try:
        with Bench.open(culprit.engine) as bench:
            return culprit.measure(registry, bench)
    except EngineError as error:
        raise InputError(f"the program cannot be measured here without the steps: {error}") from error
