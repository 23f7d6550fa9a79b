"""Write the figures in README.md and docs/ from the JSON that benchmarks wrote, between markers that name the file.

python -m docs.figures            rewrite the marked blocks of all pages
python -m docs.figures --check    write nothing; exit 1 where a block is not what its JSON gives
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bench_exact import NAMES
from benchmarks.bench_quantize import FXOPT
from benchmarks.bench_rewrites import outcome
from benchmarks.by_model import TINY
from benchmarks.quantize.models import TASKS, task
from benchmarks.sites import SITES
from docs.figures_of_prices import gpu, memory, planner, predict, regret
from docs.words import ENGINES, NOT_YET, machine_in_words, ms, ratio
from fxopt.contracts.cost import Drop
from fxopt.report.table import summary_table

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{page}.md" for page in ("gpu", "prices", "quantization", "rewrites")))
RESULTS = ROOT / "benchmarks" / "results"
_BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)


def exact(report: dict[str, Any]) -> str:
    """The table of `bench_exact.py`: latencies in ms of all variants, one row a model."""
    models: dict[str, Any] = report["models"]
    lines = [
        f"| ms | {' | '.join(ENGINES.values())} | fxopt | on | speed-up over the best engine |",
        "|---|" + "---:|" * (len(ENGINES) + 1) + "---|---:|",
    ]
    for name, model in models.items():
        latencies = {row["name"]: row["latency_ms"] for row in model["variants"]}
        by_engine = {row["engine"]: row["latency_ms"] for row in model["variants"] if row["name"] != "fxopt"}
        cells = [ms(by_engine.get(engine)) for engine in ENGINES]
        interval = model["interval"]
        gain = f"{model['speedup']:.2f}"
        gain += f" ({interval['low']:.2f} to {interval['high']:.2f})" if model["applied"] else ", unmodified"
        lines.append(
            f"| {NAMES.get(name, name)} | {' | '.join(cells)} | {ms(latencies['fxopt'])} | {ENGINES[model['engine']]} | {gain} |"
        )
    missing = [title for name, title in NAMES.items() if name not in models]
    notes = [
        _conditions(models.values()),
        *(
            [f"Geometric mean over RepVGG-A0, Inception-v3 and the BERT: {report['geomean']['speedup']:.3f}."]
            if report["geomean"]["speedup"]
            else []
        ),
        *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
    ]
    return "\n".join([*lines, "", *notes])


def rewrites(report: dict[str, Any]) -> str:
    """The table of `bench_rewrites.py`: what became of each rewrite on each engine, one row a site."""
    sites: dict[str, dict[str, Any]] = report["sites"]
    engines = [engine for engine in ENGINES if any(engine in results for results in sites.values())]
    lines = [
        f"| rewrite | pass | {' | '.join(ENGINES[engine] for engine in engines)} |",
        "|---|---|" + "---|" * len(engines),
    ]
    for name, site in SITES.items():
        results = sites.get(name, {})
        missing = "not measured yet" if site.rule else "none is left"
        cells = [outcome(results[engine]) if engine in results else missing for engine in engines]
        rule = f"[`{site.rule}`](reference/passes.md#{site.rule})" if site.rule else "the capture"
        lines.append(" | ".join([f"| {site.title}", rule, *(cell.replace("|", "\\|") for cell in cells)]) + " |")
    measured = [result for name in SITES for result in sites.get(name, {}).values() if result["verdict"] != "failed"]
    errors = [result["float64_error"] for result in measured if result["float64_error"] is not None]
    if not errors:
        return NOT_YET
    return "\n".join([*lines, "", _conditions(measured), f"Largest float64 error of a rewrite: {max(errors):.1e}."])


def honesty(report: dict[str, Any]) -> str:
    """One sentence a case of `honesty.py`."""
    return "\n".join(
        f"- {case['case']}, {case['trials']} times: admitted as a gain {case['admitted_as_gain']} times, seen as a loss "
        f"{case['seen_as_loss']} times; median ratio {case['median_ratio']:.4f} (true: {case['true_ratio']:g})."
        for case in report["cases"]
    )


def sample(report: dict[str, Any]) -> str:
    """What a run prints at its end, for the model where rewrites brought most."""
    model = max(report["models"].values(), key=lambda model: model["speedup"])
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(summary_table(model))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(["```", *(line for line in lines if line), model["verdict"], "```"])


def quantize(report: dict[str, Any]) -> str:
    """The table of `bench_quantize.py`: the fastest of each kind that keeps the budget with what it loses, one row a model."""
    models = {name: model for name, model in report["models"].items() if "fxopt" in model["runs"] and name != TINY}
    if not models:
        return NOT_YET
    lines = [
        "| ms; what it loses | budget | fastest without integers | fastest int8 peer that keeps it | int8 peers that keep it"
        " | fxopt | what ships | of the fastest peer's time | without engines' own recipes | run |",
        "|---|---|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for model in models.values():
        kept = {row["name"]: row for row in model["variants"] if row["kept"] and row["latency_ms"]}
        peers = [row for name, row in kept.items() if name not in FXOPT]
        run = model["runs"]["fxopt"]
        cells = [
            _budget(model),
            _fastest(model, [row for row in peers if row["recipe"] is None]),
            _fastest(model, [row for row in peers if row["recipe"] is not None]),
            f"{model['peers_kept']} of {model['peers']}",
            f"{ms(kept['fxopt']['latency_ms'])}; {_loss(model, kept['fxopt'])}" if "fxopt" in kept else "none",
            run["verdict"].rpartition(": ")[2] if "verdict" in run else run["error"],
            ratio(kept.get("fxopt")) + _alone(model, kept.get("fxopt")),
            _without_recipes(model, kept),
            f"{run['seconds']:.0f} s, {run['peak_rss_bytes'] / 2**30:.1f} GiB",
        ]
        lines.append(f"| {model['title']} | {' | '.join(cells)} |")
    machines = sorted({machine_in_words(model) for model in models.values()})
    conditions = (
        f"At most {max(model['threads'] for model in models.values())} threads, batch 1; peers on as many, as they come."
        f" Measured on {'; and on '.join(machines)}."
    )
    missing = [task(name).title for name in TASKS if name not in models]
    return "\n".join([*lines, "", conditions, *([f"Not measured yet: {', '.join(missing)}."] if missing else [])])


def _budget(model: dict[str, Any]) -> str:
    """What may be lost; where that is what the best int8 peer loses, also what this was on the samples that fxopt searched with."""
    searched = (model["runs"]["fxopt"].get("quality") or {}).get("budget", model["budget"])
    known = f"{model['metric']}, {_rounded(model['budget'])}"
    return known if searched == model["budget"] else f"{known} here, {_rounded(searched)} in the search"


def _rounded(budget: str) -> str:
    drop = Drop.parse(budget)
    return f"{drop.value:.3g} {drop.unit}".rstrip()


def _without_recipes(model: dict[str, Any], kept: dict[str, dict[str, Any]]) -> str:
    """The ratio, or that none of them shipped, so that it is the same."""
    if "fxopt, no recipes" not in model["runs"]:
        return "not run"
    if model["runs"]["fxopt"] == model["runs"]["fxopt, no recipes"]:
        return "same"
    row = kept.get("fxopt, no recipes")
    return ratio(row) + _alone(model, row)


def _alone(model: dict[str, Any], row: dict[str, Any] | None) -> str:
    """What is left of a ratio where the best peer runs on one thread, if it is faster so; fxopt finds that out by itself."""
    alone = min((found["ratio"]["estimate"] for found in model.get("on_one_thread", {}).values()), default=1.0)
    if row is None or row["ratio"] is None or alone >= 1:
        return ""
    return f"; {row['ratio']['estimate'] / alone:.2f} of the best on one thread"


def _loss(model: dict[str, Any], row: dict[str, Any]) -> str:
    """What a variant loses, and what it reaches by further metrics."""
    drop = row["quality"][model["metric"]]["drop"]
    points = str(model["budget"]).endswith("pt")
    low, estimate, high = ((100 if points else 1) * drop[key] for key in ("low", "estimate", "high"))
    others = [
        f"{spec} {found['candidate']:.4f} ({found['drop']['low']:.4f} to {found['drop']['high']:.4f})"
        for spec, found in row["quality"].items()
        if spec != model["metric"]
    ]
    return ", ".join([f"{estimate:.2f}{' pt' if points else ''} ({low:.2f} to {high:.2f})", *others])


def sizes(report: dict[str, Any]) -> str:
    """The table of `bench_sizes.py`: how many times smaller files become, one row a model and engine."""
    models: dict[str, Any] = report["models"]
    rows = [(model["title"], engine, kinds) for model in models.values() for engine, kinds in model["engines"].items()]
    kinds = list(dict.fromkeys(kind for *_, found in rows for kind in found if kind != "float"))
    lines = [
        f"| times smaller | engine | MB in floats | {' | '.join(f'`{kind}`' for kind in kinds)} |",
        "|---|---|---:|" + "---:|" * len(kinds),
    ]
    for title, engine, found in rows:
        cells = [_times(found.get(kind)) for kind in kinds]
        lines.append(f"| {title} | {ENGINES[engine]} | {found['float']['bytes'] / 1e6:.1f} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "In brackets: the weights that are covered, alone; and the file Huffman-coded."])


def _times(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not offered"
    return f"{found['ratio']:.2f} ({found['payload_ratio']:.2f}; {found['huffman_ratio']:.2f})"


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "exact.json": exact,
    "exact.json#sample": sample,
    "honesty.json": honesty,
    "planner.json": planner,
    "predict_no_vnni.json": predict,
    "predict_vnni.json": predict,
    "regret_no_vnni.json": regret,
    "regret_vnni.json": regret,
    "quantize_amx.json": quantize,
    "quantize_no_vnni.json": quantize,
    "quantize_vnni.json": quantize,
    "rewrites.json": rewrites,
    "gpu.json": gpu,
    "memory.json": memory,
    "sizes.json": sizes,
}


def filled(text: str, results: Path = RESULTS) -> str:
    """The text with each marked block as its JSON gives it.

    Raises:
        KeyError: a marker names a file that nothing here can put in words.
    """

    def block(match: re.Match[str]) -> str:
        make, path = BLOCKS[match[2]], results / match[2].split("#")[0]
        body = make(json.loads(path.read_text())) if path.exists() else NOT_YET
        return f"{match[1]}\n{body}\n\n{match[4]}"

    return _BLOCK.sub(block, text)


def _fastest(model: dict[str, Any], rows: Iterable[dict[str, Any]]) -> str:
    best = min(rows, key=lambda row: row["latency_ms"]["estimate"], default=None)
    return "none" if best is None else f"{ms(best['latency_ms'])} ({best['name']}); {_loss(model, best)}"


def _conditions(results: Iterable[dict[str, Any]]) -> str:
    """How runs were measured, and on which machines."""
    results = list(results)
    machines = sorted({machine_in_words(result) for result in results})
    return (
        f"{results[0]['threads']} threads, batch 1, float32; {results[0]['noise']['confidence']:.1%} intervals. "
        f"Measured on {'; and on '.join(machines)}."
    )


def main() -> None:
    """Write or check the pages."""
    check, stale = "--check" in sys.argv[1:], []
    for page in PAGES:
        before = page.read_text()
        after = filled(before)
        if before != after and check:
            stale.append(str(page.relative_to(ROOT)))
        elif before != after:
            page.write_text(after)
    if stale:
        sys.exit(
            f"{', '.join(stale)}: figures are not those of benchmarks/results; run `make docs` and commit what it writes"
        )


if __name__ == "__main__":
    main()
