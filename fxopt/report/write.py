"""report.html and report.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from fxopt.report import charts, digest, figures


def write(ledger: Mapping[str, Any], out: Path) -> None:
    """Write report.html (self-contained) and report.md into the folder `out`."""
    brought, kinds = digest.contributions(ledger), digest.by_kind(ledger["layers"])
    facts: dict[str, Any] = {
        "ledger": ledger,
        "f": figures,
        "counts": digest.counts(ledger),
        "contributions": brought,
        "reasons": {verdict: digest.reasons(ledger, verdict) for verdict in digest.ORDER},
        "tried": digest.tried(ledger),
        "kinds": kinds,
        "percent": f"{ledger['noise']['confidence'] * 100:g}%",
    }
    drawings = {
        "latency": charts.latency(ledger),
        "waterfall": charts.waterfall(ledger, brought),
        "layers": charts.layers(kinds),
    }
    for name, extra in (("report.html", {"charts": drawings}), ("report.md", {})):
        text = _environment().get_template(f"{name}.jinja").render(**facts, **extra)
        (out / name).write_text(text, encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fxopt.report", "templates"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment
