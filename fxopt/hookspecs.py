"""The hooks. A plugin implements some of them with `fxopt.hookimpl`; registration hooks return classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from fxopt.contracts.candidate import Candidate
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.executor import Executor
    from fxopt.contracts.frontend import Frontend
    from fxopt.contracts.metric import Metric
    from fxopt.contracts.passes import Pass
    from fxopt.contracts.planner import Planner
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program

hookspec = pluggy.HookspecMarker("fxopt")
hookimpl = pluggy.HookimplMarker("fxopt")


@hookspec
def fxopt_passes() -> list[type[Pass]]:  # type: ignore[empty-body]
    """Rewrites that this plugin brings."""


@hookspec
def fxopt_targets() -> list[type[Target]]:  # type: ignore[empty-body]
    """Backends, as hardware-cost plugins."""


@hookspec
def fxopt_engines() -> list[type[Engine]]:  # type: ignore[empty-body]
    """Runtimes that programs are emitted to. Their modules must not import torch or the runtime at import."""


@hookspec
def fxopt_planners() -> list[type[Planner]]:  # type: ignore[empty-body]
    """Strategies that choose which steps make the plan."""


@hookspec
def fxopt_frontends() -> list[type[Frontend]]:  # type: ignore[empty-body]
    """Readers of model files and other forms of a model."""


@hookspec
def fxopt_metrics() -> list[type[Metric]]:  # type: ignore[empty-body]
    """Measures of how good a model's outputs are."""


@hookspec
def fxopt_executors() -> list[type[Executor]]:  # type: ignore[empty-body]
    """Where builds are made that do not depend on one another, as on other machines."""


@hookspec
def fxopt_event(kind: str, data: dict[str, Any]) -> None:
    """Something happened in a run.

    `kind` is `"candidate"` (a rewrite passed its checks; `data` has `id` and `rule`) or `"finished"` (the output is
    written; `data` has `out` and `verdict`).
    """


@hookspec
def fxopt_veto(program: Program, candidate: Candidate) -> str | None:
    """A reason why this candidate must not be applied, or None. The reason stands in the ledger as `refused`."""
