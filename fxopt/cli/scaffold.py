"""`fxopt new-plugin`."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
from importlib import metadata
from pathlib import Path

import click

from fxopt import __version__
from fxopt.cli.console import say
from fxopt.errors import InputError

TEMPLATES = Path(__file__).parent / "new_plugin"
_NAME = re.compile(
    r"[A-Za-z](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
)  # as PyPI has them, but for names that begin with a digit


@click.command("new-plugin", short_help="Write a distribution with a pass and its tests, to start a plugin from.")
@click.argument("name")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to; a folder called NAME by default."
)
def new_plugin(name: str, out: Path | None) -> None:
    """Write a distribution called NAME: one pass, its tests, and what pip needs to install it."""
    out = out or Path(name)
    write_plugin(name, out)
    say(f"{out}: next, pip install -e '{out}[test]', then pytest {out}")


def write_plugin(name: str, out: Path) -> None:
    """Write the distribution, whole or not at all.

    Raises:
        InputError: the name is none that pip and Python take, or the folder is there already or cannot be written.
    """
    import jinja2

    module = re.sub(r"[._-]+", "_", name).lower()
    if not _NAME.fullmatch(name):
        raise InputError(f"new-plugin {name!r}: a name is letters, digits, '-', '_' and '.', and begins with a letter")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise InputError(f"new-plugin {name!r}: a module {module!r} is there already; take another name")
    from fxopt.registry import GROUP

    if module in {entry.name for entry in metadata.entry_points(group=GROUP)}:
        raise InputError(f"new-plugin {name!r}: a plugin {module!r} is installed already; take another name")
    if out.exists():
        raise InputError(f"{out}: is there already; give another folder with -o")
    files = {
        "pyproject.toml": out / "pyproject.toml",
        "README.md": out / "README.md",
        "__init__.py": out / "src" / module / "__init__.py",
        "passes.py": out / "src" / module / "passes.py",
        "test_passes.py": out / "tests" / "test_passes.py",
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for template, file in files.items():
            place = draft / file.relative_to(out)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = environment.get_template(f"{template}.jinja")
            place.write_text(text.render(distribution=name, module=module, version=__version__))
        os.replace(draft, out)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
