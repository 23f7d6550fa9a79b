"""By how much the plan that is foretold to be the fastest is slower than the fastest of the planner's first twenty.

Run: `python -m benchmarks.bench_regret [MODEL ...] --profile FOLDER [--out FILE]`, after `bench_predict`, whose builds of other
families it knows. For each network and engine the planner's problem is posed on paper, with all kinds of lower precision that the
engine computes in, and solved twenty times, each time without what was chosen before. Nothing of the network's family was
built or measured until then. All twenty are then built and timed in one interleaved session. Prints a table and merges it into
`benchmarks/results/regret_vnni.json`, or another file on a CPU of other instruction sets.
"""

from __future__ import annotations

import datetime
import math
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks import by_model
from benchmarks.predict.cases import ENGINES, FLOAT, Case, Files, cache, measured
from benchmarks.predict.models import FAMILIES, FAMILY_OF, FROM
from fxopt_plugins.planners.market import Market
from fxopt_plugins.planners.precision import Precision
from fxopt_plugins.planners.selection import milp

if TYPE_CHECKING:
    from fxopt.compiler.paper import PaperLab
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.planner import Build
    from fxopt.ir.program import Program
    from fxopt.registry import Registry

MODELS = ("resnet50", "mobilenetv2", "vit_tiny_patch16", "bert")
PLANS, THREADS = 20, 2


def known(folder: Path, profile: Path | None, cases: Sequence[Case]) -> None:
    """A table in a folder of what a profile and some builds say."""
    from fxopt.prices import KernelTable
    from fxopt.prices.predict import learn

    name = KernelTable().file.name
    table = KernelTable(folder / name)
    if profile is not None:
        shutil.copy(profile / name, table.file)
    for case in cases:
        learn(table, case.place, case.program, case.kernels, case.milliseconds)
    table.close()


def first_plans(
    program: Program, engine: Engine, registry: Registry, count: int
) -> tuple[PaperLab, list[Build]] | None:
    """The plans that are foretold to be the fastest, floats among them, the best first, each without all of what came before."""
    from fxopt.compiler.context import Context
    from fxopt.compiler.lowered import made_up
    from fxopt.compiler.paper import on_paper
    from fxopt.compiler.search import search
    from fxopt.contracts.cost import Budget
    from fxopt.ir.statistics import Statistics

    target, passes = registry.make_target("cpu"), registry.make_passes(None)
    context = Context(target.capabilities(), Statistics(made_up(program)), lossy=True)
    found = search(program, passes, registry, context)
    begun = on_paper(found, passes, engine, registry, target, context, Budget(), math.inf)
    if begun is None:
        return None
    problem, lab = begun
    precision = Precision(problem, stored=0, repairs=1)  # on paper nothing fails: one build each
    precision.measure_kinds()
    market, floats = Market(precision), lab.build([step.id for step in problem.basis])
    plans = {floats.key: floats}
    while len(plans) < count:
        taken = milp(market.selection(math.inf, set(market.kind.values()))).taken
        if not taken or taken in market.forbidden:
            break
        market.forbidden.add(taken)
        build = lab.build([step.id for step in (*problem.basis, *market.steps(taken))])
        plans[build.key] = build
    return lab, sorted(plans.values(), key=lambda build: lab.price(build).milliseconds)


def regret(lab: PaperLab, plans: Sequence[Build], engine: Engine) -> dict[str, Any]:
    """What plans take here, beside what was foretold: ratios are to the first of them."""
    from fxopt.errors import EngineError
    from fxopt.ir.samples import sample_inputs
    from fxopt.measure import Plan, Variant, Worker, measure

    variants, failed = [], {}
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        for number, build in enumerate(plans):
            source, out = Path(folder) / f"{number} program", Path(folder) / f"{number}"
            source.mkdir()
            lab.programs[build.key].save(source)
            try:
                worker.emit(engine.spec(), source, out)
                variants.append(Variant(build.key, engine.spec(), out))
            except EngineError as error:
                failed[build.key] = str(error)
        worker.kill()
        inputs = [value.numpy() for value in sample_inputs(lab.search.source, seed=0)]
        session = measure(variants, inputs, plan=Plan(rounds=20, epochs=3, together=True))
    timings = {key: (item.latency_ms, item.ratio and item.ratio.interval) for key, item in session.timings.items()}
    faults = failed | dict(session.failures)
    told = []
    for build in plans:
        latency, ratio = timings.get(build.key, (None, None))
        told.append(
            {
                "foretold_ms": lab.price(build).milliseconds,
                "rewrites": Counter(step.partition("@")[0] for step in build.steps),
                "ms": latency and latency.estimate,
                "ratio": ratio and ratio.to_json(),
                "fault": faults.get(build.key),
            }
        )
    return {"plans": told, **figures(told), "floor": session.floor.interval.to_json()}


def figures(plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of plans in the order in which they are foretold, with ratios to the first of them.

    Returns:
        `regret`: how much slower the first is than the fastest, None where it failed; `spread`: the slowest than the fastest.
    """
    if plans[0]["ms"] is None:
        return {"regret": None, "spread": None}
    ratios = [1.0, *(plan["ratio"]["estimate"] for plan in plans[1:] if plan["ratio"] is not None)]
    return {"regret": 1 / min(ratios) - 1, "spread": max(ratios) / min(ratios) - 1}


def of_model(name: str, profile: Path | None, cache: Path, count: int) -> dict[str, Any]:
    """Of each engine, the plans of a network."""
    from fxopt import Registry

    registry = Registry.load()
    target, family = registry.make_target("cpu"), FAMILY_OF[name]
    cases = [case for other in FAMILIES[FROM.get(family, "CNN")] for case in measured(other, registry, cache)]
    program = Files(name, "full", registry, cache).program(FLOAT)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        known(Path(folder), profile, cases)
        with mock.patch.dict(os.environ, FXOPT_PRICES=folder):
            target.refresh()
            for spec in ENGINES:
                engine = replace(registry.make_engine(spec), threads=THREADS)
                if (plans := first_plans(program, engine, registry, count)) is not None:
                    found[spec] = regret(*plans, engine)
    return {
        "family": family,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": asdict(target.machine()),
        "threads": THREADS,
        "engines": found,
    }


def table(report: dict[str, Any]) -> str:
    """The results as text."""
    lines = [f"{'model':<20}{'engine':<14}{'plans':>6}{'regret':>9}{'spread':>9}{'foretold':>10}{'measured':>10}"]
    for name, model in report["models"].items():
        for engine, found in model["engines"].items():
            first = found["plans"][0]
            off = [math.nan if found[key] is None else found[key] for key in ("regret", "spread")]
            lines.append(
                f"{name:<20}{engine:<14}{len(found['plans']):>6}{off[0]:>9.1%}{off[1]:>9.1%}"
                f"{first['foretold_ms']:>10.3f}{first['ms'] or math.nan:>10.3f}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from fxopt import Registry

    out = by_model.result("regret", Registry.load().make_target("cpu").machine())
    parser = by_model.parser(__doc__, MODELS, out)
    parser.add_argument("--profile", type=Path, help="folder of a table that `fxopt profile` has filled")
    parser.add_argument("--cache", type=Path, default=cache(), help="of bench_predict")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    for name in by_model.chosen(parser, options, MODELS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        count = 3 if options.smoke else PLANS
        by_model.keep(options.out, "regret", MODELS, {name: of_model(name, options.profile, options.cache, count)})
    print(table(by_model.read(options.out)))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main(list(islice(sys.argv, 1, None)))
