"""What benchmarks share that go model by model: their arguments, and the JSON file in which models stay that are not run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxopt.contracts.target import Machine

RESULTS = Path(__file__).parent / "results"
TINY = "tiny"


def result(benchmark: str, machine: Machine) -> Path:
    """The file for machines of a kind: with int8 matrix products, int8 dot products, or neither, figures do not compare."""
    from benchmarks.quantize.peers import has_dot_products

    kind = "amx" if "amx_int8" in machine.isa else "vnni" if has_dot_products(machine) else "no_vnni"
    return RESULTS / f"{benchmark}_{kind}.json"


def parser(doc: str | None, names: Collection[str], out: Path) -> argparse.ArgumentParser:
    """A parser of models, the file to write, and whether it is only to be seen that the benchmark runs."""
    found = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    found.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(names)}; all by default")
    found.add_argument("--out", type=Path, default=out, help="JSON file; models that are not run stay as they are")
    found.add_argument("--smoke", action="store_true", help="only a tiny net, to see that it runs")
    return found


def chosen(found: argparse.ArgumentParser, options: argparse.Namespace, names: Collection[str]) -> Collection[str]:
    """The models to run; a name that is unknown ends the program with a line."""
    if unknown := [name for name in options.models if name not in names]:
        found.error(f"unknown model {unknown[0]!r}; choose from {', '.join(names)}")
    if options.smoke and options.out == found.get_default("out"):
        found.error("--smoke measures nothing that is worth keeping: give it a file with --out")
    return [TINY] if options.smoke else options.models or names


def keep(
    out: Path,
    benchmark: str,
    names: Collection[str],
    measured: dict[str, Any],
    more: Callable[[dict[str, Any]], dict[str, Any]] = lambda models: {},
) -> None:
    """Merge what was measured into a file; `more` is what is to be said of all its models together."""
    report = json.loads(out.read_text()) if out.exists() else {"benchmark": benchmark}
    models = report.get("models", {}) | measured
    report["models"] = {key: models[key] for key in [*names, TINY] if key in models}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report | more(models), indent=1) + "\n")


def read(out: Path) -> dict[str, Any]:
    """What a file holds."""
    found: dict[str, Any] = json.loads(out.read_text())
    return found
