"""Figures of what is foretold and chosen: the tables of `bench_planner.py`, `bench_gpu.py` and `bench_predict.py`."""

from __future__ import annotations

from typing import Any

from benchmarks.bench_predict import AGAIN, APART, FLOPS, FROZEN, ON_MISS, ROOFLINE, figures
from benchmarks.by_model import TINY
from benchmarks.predict.models import FROM
from benchmarks.predict.models import NAMES as PREDICTED
from docs.words import ENGINES, machine_in_words, ratio


def planner(report: dict[str, Any]) -> str:
    """What `bench_planner.py` measured: solvers in sentences, whole runs one row a model and planner."""
    gaps, large = report["small"]["gaps"], report["large"]
    lines = [
        f"Of {report['small']['problems']} random problems of at most 15 options, `milp` is {gaps['milp']['worst']:.2%} from the best"
        f" of all sets at worst, `greedy` {gaps['greedy']['mean']:.1%} on average and {gaps['greedy']['worst']:.0%} at worst."
        f" {large['regions']} regions in {large['kinds']} kinds with boundaries take `milp` at most"
        f" {max(large['seconds']):.1f} s, for a gap of at most {max(large['gaps']):.2%}.",
    ]
    models = {name: model for name, model in report["models"].items() if name != TINY}
    if models:
        lines += [
            "",
            "| | planner | run | builds | regions | options | of the latency of what `milp` found |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
    for model in models.values():
        for name, run in model["planners"].items():
            against = "1" if run["ratio"] is None else ratio(run)
            cells = [f"{run['seconds']:.0f} s", str(run["builds"]), str(run["regions"]), str(run["options"]), against]
            lines.append(f"| {model['title']} | `{name}` | {' | '.join(cells)} |")
    if models:
        machines = sorted({machine_in_words(model) for model in models.values()})
        lines += ["", f"All engines, without their own recipes. Measured on {'; and on '.join(machines)}."]
    return "\n".join(lines)


def gpu(report: dict[str, Any]) -> str:
    """The tables of `bench_gpu.py`: rows of cards with families held out, and single figures with their errors."""
    lines = ["| card | models | foretold by | error, mean | median | Kendall's tau |", "|---|---:|---|---:|---:|---:|"]
    for card, found in report["cards"].items():
        for title, method in (("kernels", "held out"), ("two coefficients", "two coefficients")):
            row = found[method]
            lines.append(
                f"| {card} | {row['models']} | {title} | {row['mape']:.1%} | {row['median']:.1%} | {row['tau']:.3f} |"
            )
    lines += [
        "",
        "| model | GPU | stack | | batch | published, ms | foretold | off by |",
        "|---|---|---|---|" + "---:|" * 4,
    ]
    for row in report["published"]:
        cells = (row["model"], row["device"], row["stack"], row["precision"], str(row["batch"]), f"{row['ms']:g}")
        lines.append(f"| {' | '.join(cells)} | {row['predicted']:.3g} | {row['predicted'] / row['ms'] - 1:+.0%} |")
    lines += ["", *_gains(report)]
    near, without, fitted = (
        sum(abs(row[which] / row["ms"] - 1) <= 0.25 for row in report["published"])
        for which in ("predicted", "without it", "fitted")
    )
    count = len(report["published"])
    return "\n".join(
        [
            *lines,
            "",
            f"Of {count} figures {near} are foretold within 25% by a fit that saw none of the model, {without} by one that saw all"
            f" but the figure, {fitted} by the one that ships.",
        ]
    )


def _gains(report: dict[str, Any]) -> list[str]:
    """A table of how many times faster integers are than float16, as published and as foretold."""
    same = ("model", "device", "stack", "batch")
    pairs: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in report["published"]:
        pairs.setdefault(tuple(row[key] for key in same), {})[row["precision"]] = row
    told = {tuple(row[key] for key in same): ("", f"{row['gain']:.2f}") for row in report["integers over float16"]}
    for key, found in pairs.items():
        if {"fp16", "int8"} <= set(found):
            one, other = found["fp16"], found["int8"]
            told[key] = tuple(f"{one[which] / other[which]:.2f}" for which in ("ms", "predicted"))  # type: ignore[assignment]
    lines = ["| int8 over fp16: model | GPU | stack | batch | published | foretold |", "|---|---|---|---:|---:|---:|"]
    for key, (published, foretold) in sorted(told.items()):
        lines.append(f"| {' | '.join(map(str, key))} | {published} | {foretold} |")
    return lines


def memory(report: dict[str, Any]) -> str:
    """The table of `bench_memory.py`: KiB foretold beside what tensors hold and what the engine reports, one row a model."""
    lines = [
        "| KiB | call by call: foretold | held | floats on ONNX Runtime: foretold | reported | int8: foretold | reported |",
        "|---|" + "---:|" * 6,
    ]
    models = {name: model for name, model in report["models"].items() if name != TINY}
    for name, model in models.items():
        pairs = (("program", "held"), ("float", "reported"), ("int8", "reported"))
        cells = [f"{model[kind][key] / 1024:,.0f}" for kind, other in pairs for key in ("predicted", other)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    exact = sum(model["program"]["predicted"] == model["program"]["held"] for model in models.values())
    near = [
        sum(abs(model[kind]["predicted"] / model[kind]["reported"] - 1) <= 0.1 for model in models.values())
        for kind in ("float", "int8")
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"Of {len(models)} models {exact} hold exactly what is foretold call by call; as ONNX Runtime runs them"
            f" {near[0]} are within 10% of its report in floats, and {near[1]} on integers.",
        ]
    )


def regret(report: dict[str, Any]) -> str:
    """The table of `bench_regret.py`: one row a network and engine."""
    lines = [
        "| held out | engine | plans | chosen: foretold, ms | measured, ms | slower than the best of them | slowest over fastest"
        " | measured twice |",
        "|---|---|" + "---:|" * 6,
    ]
    models = {name: model for name, model in report["models"].items() if name != TINY}
    for name, model in models.items():
        for engine, found in model["engines"].items():
            first, timed = found["plans"][0], [plan for plan in found["plans"] if plan["ms"] is not None]
            cells = [f"{first['foretold_ms']:.3g}", "failed", "-", "-", "-"]
            if first["ms"] is not None:
                again = f"{found['floor']['low']:.2f} to {found['floor']['high']:.2f}"
                cells[1:] = [f"{first['ms']:.3g}", f"{found['regret']:.1%}", f"{1 + found['spread']:.2f}", again]
            lines.append(f"| {name} | {ENGINES[engine]} | {len(timed)} | {' | '.join(cells)} |")
    machines = sorted({machine_in_words(model) for model in models.values()})
    return "\n".join([*lines, "", f"Batch 1, 2 threads. Measured on {'; and on '.join(machines)}."])


def predict(report: dict[str, Any]) -> str:
    """The table of `bench_predict.py`: how far predictions are off, and what comes of choosing by them, by held-out family."""
    lines = [
        "| held out | builds known | engine, threads | off by | within 15% | tau | regret"
        " | on a miss: off by | within 15% | tau | regret | calls apart | FLOPs | roofline | measured again |",
        "|---|---|---|" + "---:|" * 12,
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for case in report["cases"]:
        where = f"{ENGINES[case['engine']]}, {case['threads']}"
        for place in (where, "all"):
            groups.setdefault((case["family"], place), []).append(case)
    for (family, where), cases in sorted(
        groups.items(), key=lambda item: (item[0][0], item[0][1] == "all", item[0][1])
    ):
        cells = [cell for method in (FROZEN, ON_MISS) for cell in _foretold(figures(cases, method))]
        cells += [_foretold(figures(cases, method))[0] for method in (APART, FLOPS, ROOFLINE, AGAIN)]
        lines.append(f"| {family} | {FROM.get(family, 'CNN')} | {where} | {' | '.join(cells)} |")
    known = {case["model"] for case in report["cases"]}
    missing = [name for name in PREDICTED if name not in known]
    notes = [f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n".join([*lines, "", f"Batch 1. Measured on {machine_in_words(report)}.", *notes])


def _foretold(row: dict[str, float] | None) -> list[str]:
    if row is None:
        return ["-"] * 4
    return [f"{row['mape']:.1%}", f"{row['within']:.0%}", f"{row['tau']:.2f}", f"{row['regret']:.1%}"]
