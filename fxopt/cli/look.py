"""The commands that look at what is there: `fxopt explain`, `fxopt check`, `fxopt diff`, `fxopt list`."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxopt.cli.console import say, write_text
from fxopt.errors import InputError

if TYPE_CHECKING:
    from fxopt.contracts.options import Configurable
    from fxopt.registry import Registry

PATH = click.Path(path_type=Path)
KINDS = ("passes", "targets", "engines", "planners", "frontends", "metrics", "executors", "plugins")
CHECK_FAILED = 3


@click.command(short_help="Say why each rewrite was applied, refused, declined or reverted.")
@click.argument("out", type=PATH)
@click.argument("node", required=False)
def explain(out: Path, node: str | None) -> None:
    """Say why each rewrite in OUT was applied, refused, declined or reverted: at NODE, or everywhere."""
    from fxopt.compiler.output import roll_forward
    from fxopt.report import explain as lines
    from fxopt.report import read

    roll_forward(out)
    for line in lines(read(out), node):
        say(line)


@click.command(short_help="Measure an output again, against its ledger.")
@click.argument("out", type=PATH)
@click.option("--eval", "eval_", metavar="DATA", help="Measure quality on this data again.")
@click.option("--junit", type=PATH, metavar="FILE", help="Write the checks as JUnit XML, a test case each.")
@click.option("--sarif", type=PATH, metavar="FILE", help="Write the failed checks as SARIF 2.1.0, a result each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output and nothing else.")
def check(out: Path, eval_: str | None, junit: Path | None, sarif: Path | None, as_json: bool) -> int:
    """Load the artifact in OUT here and compare latency ratio, size and outputs with the ledger."""
    from fxopt.cli.progress import make_progress
    from fxopt.compiler.output import roll_forward
    from fxopt.report import ci, read

    roll_forward(out)
    if read(out)["result"]["quality"] is None and eval_ is not None:
        raise InputError(f"--eval {eval_}: the ledger of {out} holds no quality to compare with; leave --eval out")
    for flag, file in (("--junit", junit), ("--sarif", sarif)):
        if file is not None and not (file.absolute().parent.is_dir() and not file.is_dir()):
            raise InputError(f"{flag} {file}: cannot be written: give a file in a folder that is there")
    from fxopt.compiler.check import check as measure_again

    result = measure_again(out, make_progress(quiet=as_json), eval_)
    for file, form in ((junit, ci.junit), (sarif, ci.sarif)):
        if file is not None:
            write_text(file, form(result.checks, out))
    if as_json:
        say(json.dumps({"ok": result.ok, **result.data}))
    else:
        for line in result.lines:
            say(line)
    return 0 if result.ok else CHECK_FAILED


@click.command(short_help="Say what differs between two outputs.")
@click.argument("out1", type=PATH)
@click.argument("out2", type=PATH)
@click.option("--markdown", is_flag=True, help="Write Markdown, for a comment on a pull request.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output and nothing else.")
def diff(out1: Path, out2: Path, markdown: bool, as_json: bool) -> None:
    """Say what OUT2 has other than OUT1: rewrites, latency, size, errors, layers. Nothing is measured."""
    from fxopt.compiler.output import roll_forward
    from fxopt.report import diff as compare
    from fxopt.report import diff_markdown, diff_text, read

    if markdown and as_json:
        raise InputError("--markdown and --json exclude one another; give one")
    for out in (out1, out2):
        roll_forward(out)
    found = compare(read(out1), read(out2))
    say(json.dumps(found) if as_json else diff_markdown(found) if markdown else diff_text(found))


@click.command("list", short_help="Say what is installed.")
@click.argument("kind", required=False, metavar="[" + "|".join(KINDS) + "]")
def list_(kind: str | None) -> None:
    """List what is installed with options and, for engines, whether they can run here; all kinds by default."""
    from fxopt.contracts.options import suggest
    from fxopt.registry import Registry

    if kind is not None and kind not in KINDS:
        raise InputError(f"list {kind}: there is no such kind{suggest(kind, KINDS)}")
    registry = Registry.load()
    for name in (kind,) if kind else KINDS:
        if kind is None:
            say(f"{name}:")
        for line in _plugins(registry) if name == "plugins" else _entries(registry, name):
            say(line if kind else f"  {line}")
    if kind is None:
        return
    for plugin in registry.plugins:
        if plugin.fault and kind != "plugins":
            say(f"left out: {plugin.fault}")


def _entries(registry: Registry, kind: str) -> list[str]:
    from fxopt.contracts.options import print_value

    found: dict[str, type[Configurable]] = getattr(registry, kind)
    width = max(map(len, found), default=0)
    lines = []
    for name, item in sorted(found.items()):
        about = (inspect.getdoc(item) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"{name:{width}}  {about}".rstrip())
        if kind == "engines":
            engine: Any = item
            reason = engine.available()
            state = f"not available: {reason}" if reason else f"available, version {engine.version()}"
            lines.append(f"{'':{width}}  {state}")
        for option in dataclasses.fields(item):
            help_ = option.metadata.get("help", "")
            lines.append(f"{'':{width}}    {option.name}={print_value(option.default)}  {help_}".rstrip())
    return lines or ["none"]


def _plugins(registry: Registry) -> list[str]:
    width = max((len(plugin.name) for plugin in registry.plugins), default=0)
    lines = []
    for plugin in registry.plugins:
        fault = f"  left out: {plugin.fault}" if plugin.fault else ""
        lines.append(f"{plugin.name:{width}}  {plugin.distribution} {plugin.version}{fault}")
        for kind in dict.fromkeys(kind for kind, _ in plugin.brings):
            names = ", ".join(name for other, name in plugin.brings if other == kind)
            lines.append(f"{'':{width}}  {kind}: {names}")
    return lines or ["none"]
