"""What a request may ask for, and whether a result keeps its limits."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler.journal import refuse_foreign
from fxopt.errors import InputError
from fxopt.verify.quality import METRIC

if TYPE_CHECKING:
    from fxopt.compiler.request import Request
    from fxopt.contracts.cost import Budget
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.registry import Registry


def engines(registry: Registry, target: Target, request: Request) -> dict[str, Engine]:
    """The engines that may be used, by spec, with threads set.

    Raises:
        InputError: the engine asked for is unknown or not installed, or none is.
    """
    threads = request.threads or len(os.sched_getaffinity(0))
    names = engines_of(registry, target) if request.engine == "auto" else [request.engine]
    found, missing = {}, []
    for name in names:
        if name not in registry.engines and request.engine == "auto":
            continue
        engine = registry.make_engine(name)
        reason = engine.available()
        if reason:
            missing.append(reason)
            continue
        if not engine.threads:
            engine = dataclasses.replace(engine, threads=threads)
        found[engine.spec()] = engine
    if not found:
        raise InputError(f"no engine can run here: {'; '.join(missing)}")
    return found


def engines_of(registry: Registry, target: Target) -> list[str]:
    """Names of the engines that a target is optimized for with: those that it names, then those that name it."""
    joining = [name for name, item in registry.engines.items() if target.name in item.targets]
    return list(dict.fromkeys([*target.engines, *joining]))


def check_supported(request: Request) -> None:
    """Refuse what would be ignored otherwise."""
    budget = request.budget
    error_limit(budget)
    if budget.minimize != "latency":
        raise InputError(f"--minimize {budget.minimize}: the installed planner minimizes latency only")
    if budget.confidence is not None:
        raise InputError("--confidence: the output error, which --max-drop limits, has no interval; leave it out")
    if request.metric not in (None, METRIC):
        raise InputError(f"--metric {request.metric}: the one metric there is is {METRIC!r}, the relative output error")
    if request.train is not None:
        raise InputError("--train: no installed pass is recovered by training; leave it out")
    if request.eval is not None and not budget.max_drop.value:
        raise InputError("--eval: without --max-drop only exact rewrites are made, which need no data; leave it out")


def error_limit(budget: Budget) -> float:
    """The largest relative output error that `--max-drop` allows.

    Raises:
        InputError: it is in percentage points, which an error does not have.
    """
    drop = budget.max_drop
    if drop.unit == "pt":
        raise InputError(
            f"--max-drop {drop.value:g}pt: what is limited is the relative output error; give a number or a percentage"
        )
    return drop.value / 100 if drop.unit == "%" else drop.value


def check_writable(out: Path) -> None:
    """Refuse a folder that cannot be written, or is somebody else's, before minutes are spent.

    Raises:
        InputError: the folder, or the nearest one above it that exists, is not writable; or it holds something else.
    """
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"-o {out}: {nearest} is not a folder that can be written")
    if out.is_dir():
        refuse_foreign(out)


def over_budget(budget: Budget, ledger: dict[str, Any]) -> str | None:
    """The first limit that the result does not keep, in words; None if it keeps all."""
    result = ledger["result"]
    bounds = [
        ("--max-latency", budget.max_latency_ms, result["latency_ms"]["estimate"], "ms"),
        ("--max-p99", budget.max_p99_ms, result["p99_ms"], "ms"),
        ("--max-size", budget.max_size_bytes, result["size_bytes"], "bytes"),
        ("--max-memory", budget.max_memory_bytes, result["peak_bytes"], "bytes"),
    ]
    for flag, limit, reached, unit in bounds:
        if limit is not None and (reached is None or reached > limit):
            return (
                f"{flag} {limit:g} {unit} cannot be met: the best reached is {reached:g} {unit}"
                if reached is not None
                else f"{flag}: unknown here"
            )
    if budget.require_speedup is not None and result["speedup"]["estimate"] < budget.require_speedup:
        return f"--require-speedup {budget.require_speedup:g} cannot be met: the best reached is {result['speedup']['estimate']:.3f}"
    return None
