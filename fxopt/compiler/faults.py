"""What plugins did wrong in a run, for the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fxopt.compiler.reproducer import Broken, reproduce

if TYPE_CHECKING:
    from fxopt.compiler.calls import Call
    from fxopt.compiler.run import Run
    from fxopt.compiler.search import Search


def faults(run: Run, found: Search) -> list[str]:
    """What plugins did wrong; a call that broke is written to OUT's `reproducers/`, and named."""
    said = []
    told: dict[str, tuple[str, Call | None]] = {
        name: (f"{run.registry.owners.get(('passes', name), 'unregistered')}: {name} {text}", call)
        for name, (text, call) in run.context.failed.items()
    }
    told |= {name: (text, found.broken.get(name)) for name, text in found.faults.items()}
    for text, call in told.values():
        if call is not None:
            statistics = run.context.statistics
            table = None if statistics is None else statistics.known(call.program)
            broken = Broken(call, text, run.context.capabilities, table, run.request.pass_limit_s)
            text = f"{text}; see it again: {reproduce(broken.write(run.request.out / 'reproducers'))}"
        said.append(text)
    failed = {run.engines[lab.engine].name: lab.tunings_fault for lab in run.labs if lab.tunings_fault}
    for name, text in failed.items():
        owner = run.registry.owners.get(("engines", name), "unregistered")
        said.append(f"{owner}: {name} failed to tell its tunings: {text}")
    pool = run.workshop.pool
    if pool is not None and pool.fault is not None:
        said.append(f"--executor {run.request.executor} failed, and its work was done here: {pool.fault}")
    if pool is not None and pool.foreign is not None:
        said.append(f"--executor {run.request.executor}: quality was judged here: {pool.foreign}")
    return said + [plugin.fault for plugin in run.registry.plugins if plugin.fault]
