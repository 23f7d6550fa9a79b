"""The entry points: `optimize` for a module in hand, `optimize_model` for what the command line names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler import limits
from fxopt.compiler.load import Loaded, load
from fxopt.compiler.progress import NULL, Progress
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.contracts.cost import Budget
from fxopt.ir.capture import capture, export, positional_names
from fxopt.registry import Registry

if TYPE_CHECKING:
    import torch

    from fxopt.ir.program import Program


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
    recipes: bool = True,
    planner: str | None = None,
    executor: str | None = None,
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
        calib: calibration data, over which passes may ask for statistics of values: the path of an `.npz`,
            `"module:function"`, a function, an iterable of batches, or one batch, as in `fxopt.data`.
        eval: data on which the metric is judged that `budget.max_drop` limits; likewise. Without it, a part of `calib`.
        train: data for recovery by training; likewise.
        metric: what is judged: a metric's spec, `"module:function"`, or a `Metric`; by default as
            `fxopt.verify.score.default_metric` chooses.
        budget: objective and limits.
        out: the output folder; a new temporary folder by default.
        threads: threads that one call may use; all cores by default.
        recipes: whether the engines' own ways to quantize are tried as well, where quality may drop.
        planner: a planner's spec, of what chooses among rewrites; `milp` by default.
        executor: an executor's spec, of what makes builds side by side; one after the other by default.
        progress: told what is going on.

    Raises:
        InputError: bad input; one line that says where, what, and what to do.
        BudgetError: the budget cannot be met.
    """
    args = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
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
        recipes=recipes,
        planner=planner,
        executor=executor,
        out=folder,
        command=f"fxopt.optimize({type(model).__name__}, ...)",
    )
    limits.check_supported(request)
    exported = export(model, args, kwargs, dynamic_shapes)
    program = capture(exported, names=positional_names(model))
    run = Run(request, Registry.load(), program, exported, type(model).__name__, progress)
    return Result(run.go(), folder)


def optimize_model(request: Request, progress: Progress = NULL) -> Result:
    """The command line's job: load the model that the request names, then optimize it.

    Raises:
        InputError, BudgetError: as `optimize`.
    """
    limits.check_writable(request.out)
    return Result(prepare(request, progress).go(), request.out)


def prepare(request: Request, progress: Progress = NULL, kind: Callable[..., Run] = Run) -> Run:
    """Load and capture the model that the request names; the run is ready to go.

    Args:
        request: what is asked for.
        progress: told what is going on.
        kind: what makes the run.

    Raises:
        InputError: as `optimize`.
    """
    limits.check_supported(request)  # usage errors come before the model is loaded
    registry = Registry.load(request.without)
    target = registry.make_target(request.target)
    registry.make_passes(request.passes)
    limits.engines(registry, target, request.engine, request.threads)
    with progress.phase("load and capture the model"):
        program, exported, source = load_program(request, registry, progress)
    return kind(request, registry, program, exported, source, progress)


def load_program(
    request: Request, registry: Registry, progress: Progress = NULL
) -> tuple[Program, torch.export.ExportedProgram, str]:
    """Load and capture the model that a request names; the Program, what it was captured from, and the model's name.

    Raises:
        InputError: as `optimize`.
    """
    from fxopt.contracts.frontend import LoadRequest, load_model
    from fxopt.ir.input_spec import parse_inputs

    inputs, dims = parse_inputs(request.inputs)
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
    return program, exported, loaded.source
