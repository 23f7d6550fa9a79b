"""`fxopt profile`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fxopt.cli import units
from fxopt.cli.console import say, write_text
from fxopt.cli.units import Quantity
from fxopt.errors import InputError

PATH = click.Path(path_type=Path)


@click.command(short_help="Measure this machine, so that prices are known before anything is built.")
@click.argument("model", required=False)
@click.option("--weights", type=PATH, metavar="FILE", help="Weights for a factory's module, as for optimize.")
@click.option("--input", "inputs", multiple=True, metavar="SPEC", help="An input's shape and dtype, as for optimize.")
@click.option("--trust-pickle", is_flag=True, help="Load files that can run code when loaded.")
@click.option("--target", default="cpu", show_default=True, metavar="SPEC", help="What to measure for.")
@click.option("--engine", default="auto", show_default=True, metavar="SPEC", help="One engine; auto: all that can.")
@click.option(
    "--time-limit",
    "limit_s",
    type=Quantity(units.seconds, "TIME"),
    default="5m",
    show_default=True,
    help="Begin nothing new after this. Another call goes on from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the profile as one JSON object and nothing else.")
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Where the profile goes; beside the prices.")
def profile(
    model: str | None,
    weights: Path | None,
    inputs: tuple[str, ...],
    trust_pickle: bool,
    target: str,
    engine: str,
    limit_s: float,
    as_json: bool,
    out: Path | None,
) -> None:
    """Time the kernels of this machine's engines at many sizes, and write what it does to a readable profile (TOML).

    With MODEL, its own kernels that are not known then are timed as well, in small parts of it. What is measured is kept in
    the user's cache folder, or in the folder that FXOPT_PRICES names, for this machine and these versions of the engines alone.
    """
    from fxopt.cli.progress import make_progress
    from fxopt.compiler.profile import profile_machine
    from fxopt.compiler.request import Request
    from fxopt.prices.machine import to_toml

    given = {"--weights": weights, "--input": inputs, "--trust-pickle": trust_pickle}
    if model is None and (flags := [flag for flag, value in given.items() if value]):
        raise InputError(f"{flags[0]}: it belongs to a model; name one, or leave it out")
    request = None
    if model is not None:
        request = Request(model, Path(), weights=weights, inputs=inputs, trust_pickle=trust_pickle)
    found = profile_machine(target, engine, limit_s, make_progress(quiet=as_json), out, request)
    write_text(found.file, to_toml(found.profile))
    of_model = {}
    if found.misses is not None:
        of_model["model"] = {"timed": len(found.misses.timed), "left": len(found.misses.left)}
    if as_json:
        say(json.dumps({**found.profile, "file": str(found.file), "probes_left": found.probes_left, **of_model}))
        return
    say(to_toml(found.profile).rstrip())
    say()
    say(f"profile: {found.file}")
    for counts in of_model.values():
        say(f"{model}: {counts['timed']} kernels were timed in parts of it, {counts['left']} are only estimated")
    if found.probes_left:
        say(f"{found.probes_left} probes are left: --time-limit was reached; fxopt profile goes on from here")
