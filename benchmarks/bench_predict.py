"""How well latencies are foretold of networks of a family of which nothing was ever built.

Run: `python -m benchmarks.bench_predict [MODEL ...] [--out FILE] [--profile FOLDER] [--smoke]`. Each model is built in
floats, in bfloat16 and with all the int8 that it is offered, also in a narrower copy, on ONNX Runtime and OpenVINO, profiled
and timed with 1 and 2 threads. Then families are foretold from what `fxopt profile` has measured (in the folder that
`FXOPT_PRICES` named) and from builds of CNNs alone, and CNNs from builds of ViTs: nothing of a family is built or measured
before it is foretold. Beside it stands what is foretold once the kernels that matter most, and were never timed, have been
timed in parts of the network; a table that knows single calls but not which ones run together; a fit of FLOPs; the roofline
alone; and how far a build is from one that was made and timed after all others, minutes later. What no noise disturbs is the
share of the time that lies in pieces which were foretold as the engine made them (`cut`). Prints tables and writes
`benchmarks/results/predict_vnni.json`, or another file on a CPU of other instruction sets.
"""

from __future__ import annotations

import datetime
import json
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks import by_model
from benchmarks.predict.cases import Case, cache, measured, measured_again
from benchmarks.predict.methods import ByTable, Known, OnMiss, by_flops, by_roofline, cut_as_foretold, learnt
from benchmarks.predict.models import FROM, NAMES

WITHIN = 0.15
FROZEN, ON_MISS, APART, FLOPS, ROOFLINE, AGAIN = METHODS = (
    *("frozen", "measured on a miss", "calls apart", "FLOPs", "roofline", "measured again"),
)


def foretell(
    cases: Sequence[Case], profile: Known, keep: Path, on_miss: bool, note: Callable[[str], None]
) -> tuple[dict[str, dict[str, tuple[float, float]]], dict[str, float]]:
    """By method, and by name of the case, milliseconds and spread; and by name how much is cut as foretold."""
    from fxopt.prices.builds import Builder

    found: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    cut: dict[str, float] = {}
    for family in dict.fromkeys(case.family for case in cases):
        held = [case for case in cases if case.family == family]
        others = [case for case in cases if case.family == FROM.get(family, "CNN")]
        with tempfile.TemporaryDirectory() as folder, Builder() as builder:
            builds = learnt(Path(folder) / "kernels.sqlite", others)
            known = Known([builds, profile])
            methods: dict[str, Callable[[Case], Any]] = {
                FROZEN: ByTable(known),
                APART: ByTable(Known([builds, profile], joined=False)),
            }
            if on_miss:
                methods[ON_MISS] = OnMiss(known, keep, builder)
            for case in held:
                note(case.name)
                for method, predict in methods.items():
                    prediction = predict(case)
                    found[method][case.name] = (prediction.milliseconds, prediction.spread)
                    if method == FROZEN:
                        cut[case.name] = cut_as_foretold(case, prediction)
            builds.close()
        found[FLOPS] |= {name: (ms, 0.0) for name, ms in by_flops(held, others).items()}
        found[ROOFLINE] |= {name: (ms, 0.0) for name, ms in by_roofline(held).items()}
        found[AGAIN] |= {case.name: (case.again, 0.0) for case in held}
    return found, cut


def figures(cases: Sequence[Mapping[str, Any]], method: str) -> dict[str, float] | None:
    """Of predictions of some cases, as they stand in the JSON: errors, and what comes of choosing by them.

    Returns:
        `mape`, the mean absolute error; `within`, the share within 15%; `bias`, the mean logarithm of predicted over
        measured; `tau`, Kendall's, the mean over models, among all variants of each; `regret`, how much slower than
        the fastest the variant is that is foretold to be, the mean over copies of models. None where there are none.
    """
    cases = [case for case in cases if method in case["predicted"]]
    if not cases:
        return None
    pairs = [(case["predicted"][method], case["ms"]) for case in cases]
    errors = [abs(predicted / true - 1) for predicted, true in pairs]
    taus, regrets = [], []
    for group in _groups(cases, "model"):
        tau = stats.kendalltau(*zip(*((c["predicted"][method], c["ms"]) for c in group), strict=True)).statistic
        if len(group) > 2 and math.isfinite(tau):
            taus.append(float(tau))
    for group in _groups(cases, "model", "copy"):
        chosen = min(group, key=lambda case: case["predicted"][method])
        regrets.append(chosen["ms"] / min(case["ms"] for case in group) - 1)
    return {
        "cases": len(pairs),
        "mape": statistics.mean(errors),
        "within": sum(error <= WITHIN for error in errors) / len(errors),
        "bias": statistics.mean(math.log(predicted / true) for predicted, true in pairs),
        "tau": statistics.mean(taus) if taus else math.nan,
        "regret": statistics.mean(regrets),
    }


def _groups(cases: Sequence[Mapping[str, Any]], *keys: str) -> list[list[Mapping[str, Any]]]:
    found = defaultdict(list)
    for case in cases:
        found[tuple(case[key] for key in keys)].append(case)
    return list(found.values())


def rows(
    cases: Sequence[Case], found: Mapping[str, Mapping[str, tuple[float, float]]], cut: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The cases as plain data; what is true is the mean of both measurements."""
    return [
        {
            "family": case.family,
            "model": case.model,
            "copy": case.copy,
            "kind": case.kind,
            "engine": case.engine.name,
            "threads": case.place.threads,
            "ms": math.sqrt(case.milliseconds * case.again),
            "predicted": {method: ms[case.name][0] for method, ms in found.items() if case.name in ms},
            "spread": found[FROZEN][case.name][1],
            "cut": cut[case.name],
            "apart": abs(case.again / case.milliseconds - 1),
        }
        for case in cases
    ]


def table(cases: Sequence[Mapping[str, Any]]) -> str:
    """The figures as text."""
    lines = [
        f"{'held out':<10}{'on':<24}{'method':<20}{'cases':>6}{'MAPE':>8}{'in 15%':>8}{'bias':>7}{'tau':>7}{'regret':>8}"
    ]
    for family in dict.fromkeys(case["family"] for case in cases):
        held = [case for case in cases if case["family"] == family]
        groups = {"all": held}
        for case in held:
            groups.setdefault(f"{case['engine']} {case['threads']}", []).append(case)
        for case in held:
            groups.setdefault(case["kind"], []).append(case)
        cut = ", ".join(
            f"{name} {statistics.mean(case['cut'] for case in group):.0%}" for name, group in groups.items()
        )
        lines.append(f"{family:<10}cut as foretold: {cut}")
        for name, group in groups.items():
            told = {
                m: row
                for m in (METHODS if name == "all" else (FROZEN, ON_MISS))
                if (row := figures(group, m)) is not None
            }
            lines += [
                f"{family:<10}{name:<24}{method:<20}{row['cases']:>6}{row['mape']:>8.1%}{row['within']:>8.0%}"
                f"{row['bias']:>7.2f}{row['tau']:>7.2f}{row['regret']:>8.1%}"
                for method, row in told.items()
            ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from fxopt import Registry
    from fxopt.ir.threads import one_thread
    from fxopt.prices import KernelTable

    registry = Registry.load()
    machine = registry.make_target("cpu").machine()
    parser = by_model.parser(__doc__, NAMES, by_model.result("predict", machine))
    parser.add_argument("--profile", type=Path, help="folder of a table that `fxopt profile` has filled")
    parser.add_argument("--frozen", action="store_true", help="nothing is measured on a miss")
    parser.add_argument("--cache", type=Path, default=cache(), help="where is kept what was measured")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)

    def note(text: str) -> None:
        print(f"{text} ...", file=sys.stderr, flush=True)

    cases: list[Case] = []
    with one_thread():
        for name in by_model.chosen(parser, options, NAMES):
            note(name)
            cases += measured(name, registry, options.cache)
        note("measured again")
        cases = measured_again(cases, options.cache)
        profile = [KernelTable(next(options.profile.glob("kernels-*.sqlite")))] if options.profile else []
        found = rows(cases, *foretell(cases, Known(profile), options.cache, not options.frozen, note))
    print(table(found))
    report = {
        "benchmark": "predict",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "profile": options.profile is not None,
        "cases": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(list(islice(sys.argv, 1, None)))
