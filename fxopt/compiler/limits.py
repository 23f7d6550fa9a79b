"""What a request may ask for, and whether a result keeps its limits."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.compiler.journal import refuse_foreign
from fxopt.contracts.options import split_spec
from fxopt.errors import InputError

if TYPE_CHECKING:
    from fxopt.compiler.request import Request
    from fxopt.contracts.cost import Budget
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Target
    from fxopt.registry import Registry


def engines(registry: Registry, target: Target, engine: str, threads: int | None = None) -> dict[str, Engine]:
    """The engines that may be used, by spec, with threads set.

    Args:
        registry: of engines.
        target: whose engines they are.
        engine: a spec, or `"auto"` for all of the target's that can run here.
        threads: that one call may use; None for all cores.

    Raises:
        InputError: the engine asked for is unknown or not installed, or none is.
    """
    threads = threads or len(os.sched_getaffinity(0))
    names = engines_of(registry, target) if engine == "auto" else [engine]
    found, missing = {}, []
    for name in names:
        if name not in registry.engines and engine == "auto":
            continue
        made = registry.make_engine(name)
        reason = made.available()
        if reason:
            missing.append(reason)
            continue
        if not made.threads:
            made = dataclasses.replace(made, threads=threads)
        found[made.spec()] = made
    if not found:
        raise InputError(f"no engine can run here: {'; '.join(missing)}")
    return found


def typed(engine: str) -> frozenset[str]:
    """The options that an engine's spec gives."""
    _, brace, options = engine.partition("{")  # the name may be an import path
    return frozenset(split_spec(f"engine{brace}{options}")[1])


def engines_of(registry: Registry, target: Target) -> list[str]:
    """Names of the engines that a target is optimized for with: those that it names, then those that name it."""
    joining = [name for name, item in registry.engines.items() if target.name in item.targets]
    return list(dict.fromkeys([*target.engines, *joining]))


def check_supported(request: Request) -> None:
    """Refuse what would be ignored otherwise."""
    budget = request.budget
    if budget.minimize not in ("latency", "size"):
        raise InputError(f"--minimize {budget.minimize}: the installed planners minimize latency or size")
    if request.train is not None:
        raise InputError("--train: no installed pass is recovered by training; leave it out")
    if budget.max_drop.value:
        return
    for flag, given in (("--eval", request.eval), ("--metric", request.metric), ("--confidence", budget.confidence)):
        if given is not None:
            raise InputError(
                f"{flag}: without --max-drop only exact rewrites are made, which are not judged; leave it out"
            )


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


def over_budget(budget: Budget, ledger: dict[str, Any], out_of_time: bool = False) -> str | None:
    """The first limit that the result does not keep, in words; None if it keeps all.

    Args:
        budget: the limits.
        ledger: of the result.
        out_of_time: whether `--time-limit` was reached before all was tried.
    """
    found = _over_budget(budget, ledger)
    if found is None:
        return None
    if out_of_time:
        return f"{found}; --time-limit was reached before all was tried, raise it"
    if found.startswith("--max-size") and budget.minimize != "size":
        return f"{found}; --minimize size tries more"
    return found


def _over_budget(budget: Budget, ledger: dict[str, Any]) -> str | None:
    result = ledger["result"]
    predicted = result.get("source") == "predicted"  # far off it may be: a limit has to be kept by the whole interval
    worst = "high" if predicted else "estimate"
    bounds = [
        ("--max-latency", budget.max_latency_ms, result["latency_ms"][worst], "ms"),
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
    speedup = result["speedup"]["low" if predicted else "estimate"]
    if budget.require_speedup is not None and speedup < budget.require_speedup:
        return f"--require-speedup {budget.require_speedup:g} cannot be met: the best reached is {speedup:.3f}"
    return None
