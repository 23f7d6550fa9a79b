"""What the user asks `fxopt optimize` for, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fxopt.contracts.cost import Budget


@dataclass(frozen=True)
class Request:
    """One job.

    Attributes:
        model: a path, `package.module:factory`, or the name of a module given as an object.
        out: the output folder.
        weights: file with the weights that a factory's module is filled with.
        target: a target's spec.
        engine: an engine's spec, or `"auto"` for the best.
        inputs: the texts of `--input`, unparsed.
        calib, eval, train, metric: as on the command line, or objects from the Python interface.
        budget: objective and limits.
        passes: a pipeline in the option grammar; None for all passes.
        planner: a planner's spec; None for the first there is.
        executor: an executor's spec, of what makes builds side by side; None: one after the other.
        without: names of plugins that are left out.
        threads: threads that one call may use; None for all cores.
        seed: of everything random.
        pass_limit_s: seconds that one call of an outside plugin's pass may take.
        trust_pickle: whether files that run code when loaded may be loaded.
        recipes: whether the engines' own ways to quantize are among the plans.
        source: whether the unmodified model and its best build are kept in the output.
        resume: whether an unfinished run in `out` is continued.
        dry_run: search and say what would be tried; build, measure and write nothing.
        command: the command as typed, for the report.
    """

    model: str
    out: Path
    weights: Path | None = None
    target: str = "cpu"
    engine: str = "auto"
    inputs: tuple[str, ...] = ()
    calib: Any = None
    eval: Any = None
    train: Any = None
    metric: Any = None
    budget: Budget = field(default_factory=Budget)
    passes: str | None = None
    planner: str | None = None
    executor: str | None = None
    without: tuple[str, ...] = ()
    threads: int | None = None
    seed: int = 0
    pass_limit_s: float = 60.0
    trust_pickle: bool = False
    recipes: bool = True
    source: bool = True
    resume: bool = False
    dry_run: bool = False
    command: str = ""
