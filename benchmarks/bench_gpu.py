"""How well the target `gpu` foretells published latencies, of model families that its coefficients never saw.

Run: `python -m benchmarks.bench_gpu [--out FILE] [--write] [--smoke]`. Fits the efficiencies of kernels to the published rows of
each card, once with all models and once for each family without it, and holds both against a fit of two coefficients (GMACs and
activations) on the same rows with the same split. Then the single figures that vendors and projects publish are foretold by
coefficients that were fitted to the figures of all other models. Prints tables and writes `benchmarks/results/gpu.json`;
with `--write` the coefficients go into the target as well. Kernels of models come from `benchmarks.gpu.describe`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.describe import CARDS, DATA, KERNELS, read
from benchmarks.gpu.fit import Rows, coefficients, figures, fit, held_out, kept
from benchmarks.gpu.published import Figures
from fxopt_plugins.targets.gpu_times import COEFFICIENTS, Coefficients

RESULT = Path(__file__).parent / "results" / "gpu.json"
FITS = {"rtx3090": "eager", "rtx4090": "inductor"}
WITHIN = 0.25
SMOKE_MODELS = 12


def of_card(card: str, described: dict[str, Any]) -> tuple[Coefficients, dict[str, Any]]:
    """Coefficients for the way a card's models were run, and how well they do where a family is held out."""
    given = Rows.of(card, FITS[card], described)
    values = fit(given)
    mine, simple = held_out(given)
    report = {
        "fit": FITS[card],
        "families": len(set(given.families)),
        "held out": figures(mine, given.milliseconds),
        "two coefficients": figures(simple, given.milliseconds),
        "fitted": figures(given.predict(coefficients(values)), given.milliseconds),
        "models": {
            name: {"ms": true, "predicted": predicted, "two coefficients": other}
            for name, true, predicted, other in zip(
                given.names, kept(given.milliseconds), kept(mine), kept(simple), strict=True
            )
        },
    }
    return coefficients(values, report["held out"]["spread"]), report


def gains(by: Coefficients, described: dict[str, Any]) -> list[dict[str, Any]]:
    """By how much TensorRT is foretold to be faster on integers than in float16 where nothing is published of it."""
    model, batches = "vit_base_patch16_224", (1, 8, 32)
    wanted: list[dict[str, Any]] = [
        {"model": model, "device": device, "stack": "TensorRT", "precision": precision, "batch": batch}
        for device in ("a100", "t4")
        for batch in batches
        for precision in ("fp16", "int8")
    ]
    times = Figures.of(wanted, described).predict(by).tolist()
    return [
        {
            "model": model,
            "device": row["device"],
            "stack": "TensorRT",
            "batch": row["batch"],
            "gain": kept([one / other])[0],
        }
        for row, one, other in zip(wanted[::2], times[::2], times[1::2], strict=True)
    ]


def table(cards: dict[str, Any], single: Sequence[dict[str, Any]]) -> str:
    """The figures as text."""
    lines = [f"{'card':<10}{'method':<20}{'models':>7}{'MAPE':>8}{'median':>8}{'tau':>7}"]
    for card, found in cards.items():
        for method in ("held out", "two coefficients", "fitted"):
            row = found[method]
            lines.append(
                f"{card:<10}{method:<20}{row['models']:>7}{row['mape']:>8.1%}{row['median']:>8.1%}{row['tau']:>7.3f}"
            )
    lines += [
        "",
        f"{'published':<22}{'device':<11}{'stack':<18}{'':<5}{'batch':>5}{'ms':>8}{'predicted':>10}{'error':>8}",
    ]
    for row in single:
        lines.append(
            f"{row['model']:<22}{row['device']:<11}{row['stack']:<18}{row['precision']:<5}{row['batch']:>5}"
            f"{row['ms']:>8.3g}{row['predicted']:>10.3g}{row['predicted'] / row['ms'] - 1:>8.0%}"
        )
    for which in ("predicted", "without it", "fitted"):
        within = sum(abs(row[which] / row["ms"] - 1) <= WITHIN for row in single)
        lines.append(f"{which}: {within} of {len(single)} within {WITHIN:.0%}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--write", action="store_true", help=f"write {COEFFICIENTS.name} into the target")
    parser.add_argument("--smoke", action="store_true", help="a few models alone, to see that it runs")
    options = parser.parse_args(arguments)
    described = read()
    if not described:
        parser.error(f"{KERNELS} is not there: run python -m benchmarks.gpu.describe")
    if options.smoke:
        rows = [name for name, item in described.items() if "eager" in item][:SMOKE_MODELS]
        described = {name: item for name, item in described.items() if name in rows or "eager" not in item}
    fits, cards = {}, {}
    for card in CARDS:
        print(f"{card} ...", file=sys.stderr, flush=True)
        fits[FITS[card]], cards[card] = of_card(card, described)
    single = Figures.read(DATA / "published.json", described)
    fits["tensorrt"], rows_of_single = single.fit(fits["inductor"])
    print(table(cards, rows_of_single))
    report = {
        "benchmark": "gpu",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cards": cards,
        "published": rows_of_single,
        "integers over float16": gains(fits["tensorrt"], described),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    if options.write:
        COEFFICIENTS.write_text(
            json.dumps({"fits": {name: _rounded(by) for name, by in fits.items()}}, indent=1) + "\n"
        )


def _rounded(by: Coefficients) -> dict[str, Any]:
    """Coefficients as they are written."""
    return {
        name: dict(zip(value, kept([*value.values()]), strict=True)) if isinstance(value, dict) else kept([value])[0]
        for name, value in asdict(by).items()
    }


if __name__ == "__main__":
    main()
