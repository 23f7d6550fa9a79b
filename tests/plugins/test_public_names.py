"""What an outsider may use is enough: the plugin imports public names of fxopt, and nothing of its compiler."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.bench_outside import PLUGIN
from tests.house.tree import imports

PRIVATE = (
    "fxopt.compiler",
    "fxopt.measure",
    "fxopt.verify",
    "fxopt.worker",
    "fxopt.cli",
    "fxopt_passes",
    "fxopt_plugins",
)
FILES = sorted(PLUGIN.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_the_plugin_imports_public_names_only(path: Path) -> None:
    for name in imports(path):
        assert not name.startswith(PRIVATE), name
        assert not any(part.startswith("_") for part in name.split(".")), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_the_plugin_reads_no_private_attributes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # `self._rank` is its own; of anything else an underscore says that it is not for outsiders.
    private = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) != "self"
    ]
    assert not private


def test_nobody_imports_the_plugin() -> None:
    root = PLUGIN.parents[1]
    others = [
        path
        for folder in ("fxopt", "passes", "plugins", "examples", "benchmarks")
        for path in (root / folder).rglob("*.py")
    ]
    assert not [path for path in others for name in imports(path) if name.split(".")[0] == "fxopt_example"]
