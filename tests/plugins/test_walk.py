"""The walk through writing the plugin shows the very files of the plugin, all of them, and whole; its examples run."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.house.tree import ROOT

WALK = [ROOT / "docs" / name for name in ("write-a-plugin.md", "write-an-engine.md")]
FILE = re.compile(r"^\*\*`([^`]+)`\*\*(?:, continued)?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTS = re.compile(r"^```python\n([^`]*^print\([^`]*)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def parts() -> dict[str, list[str]]:
    """What the walk shows, by the file that it is of."""
    shown = defaultdict(list)
    for page in WALK:
        for name, part in FILE.findall(page.read_text()):
            shown[name].append(part)
    return shown


def without_blank_lines(text: str) -> str:
    """Where a file is shown in parts, the blank lines between them are not."""
    return re.sub(r"\n+", "\n", text)


def merge(settings: dict[str, Any], more: dict[str, Any]) -> None:
    """Add tables to tables; what is there already must not be given again."""
    for key, value in more.items():
        if isinstance(value, dict):
            merge(settings.setdefault(key, {}), value)
        else:
            assert key not in settings, key
            settings[key] = value


def test_the_walk_shows_each_file_of_the_plugin_and_no_other(plugin: Path) -> None:
    files = {str(path.relative_to(plugin)) for path in [*plugin.rglob("*.py"), plugin / "pyproject.toml"]}
    assert parts().keys() == files


def test_modules_are_shown_whole(plugin: Path) -> None:
    for name, shown in parts().items():
        if name.endswith(".py"):
            assert without_blank_lines("".join(shown)) == without_blank_lines((plugin / name).read_text()), name


def test_the_tables_of_pyproject_come_a_step_at_a_time_and_add_up(plugin: Path) -> None:
    settings: dict[str, Any] = {}
    for part in parts()["pyproject.toml"]:
        merge(settings, tomllib.loads(part))
    assert settings == tomllib.loads((plugin / "pyproject.toml").read_text())


def test_a_block_without_a_language_holds_nothing_but_commands() -> None:
    for page in WALK:
        for language, block in OTHER.findall(FILE.sub("", page.read_text())):
            if not language:
                assert re.fullmatch(r"((?:\w+=\S+ )?(?:fxopt|pip|pytest)\b.*\n)+", block), block


@pytest.mark.parametrize("page", ["write-a-plugin.md", "write-a-pass.md", "write-an-engine.md"])
def test_an_example_prints_what_stands_under_it(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = PRINTS.findall((ROOT / "docs" / page).read_text())
    assert examples
    for code, output in examples:
        exec(code, {})  # noqa: S102 - our own page
        assert capsys.readouterr().out.strip() == output.strip()
