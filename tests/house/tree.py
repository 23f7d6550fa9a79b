"""The tree under test, as the house tests see it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("fxopt", "passes", "plugins", "tests", "examples", "benchmarks", "docs", ".ci", "changelog.d")


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    """All files of that suffix below the folders, sorted; there must be some."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob(f"*{suffix}") if path.is_file())
    assert found, folders
    return found


def identity(path: Path) -> str:
    """The name of a case: the path from the root."""
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Dotted name of everything that a file imports, wherever in it: `from a.b import c` gives `a.b.c`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{identity(path)}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)
