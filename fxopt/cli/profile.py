"""`fxopt profile`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fxopt.cli import units
from fxopt.cli.console import say, write_text
from fxopt.cli.units import Quantity


@click.command(short_help="Measure this machine, so that prices are known before anything is built.")
@click.option("--target", default="cpu", show_default=True, metavar="SPEC", help="What to measure for.")
@click.option("--engine", default="auto", show_default=True, metavar="SPEC", help="One engine; auto: all that can.")
@click.option(
    "--time-limit",
    "limit_s",
    type=Quantity(units.seconds, "TIME"),
    default="5m",
    show_default=True,
    help="Begin no new probe after this. Another call goes on from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the profile as one JSON object and nothing else.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where the profile goes; beside the prices."
)
def profile(target: str, engine: str, limit_s: float, as_json: bool, out: Path | None) -> None:
    """Time the kernels of this machine's engines at many sizes, and write what it does to a readable profile (TOML).

    What is measured is kept in the user's cache folder, or in the folder that FXOPT_PRICES names, for this machine and these
    versions of the engines alone.
    """
    from fxopt.cli.progress import make_progress
    from fxopt.compiler.profile import profile_machine
    from fxopt.prices.machine import to_toml

    found, file, left = profile_machine(target, engine, limit_s, make_progress(quiet=as_json), out)
    write_text(file, to_toml(found))
    if as_json:
        say(json.dumps({**found, "file": str(file), "probes_left": left}))
        return
    say(to_toml(found).rstrip())
    say()
    say(f"profile: {file}")
    if left:
        say(f"{left} probes are left: --time-limit was reached; fxopt profile goes on from here")
