"""The walk through writing the plugin shows the very files of the plugin, all of them, and whole."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.house.tree import ROOT

WALK = ROOT / "docs" / "write-a-plugin.md"
BLOCK = re.compile(r"^\*\*`([^`]+)`\*\*(?:, continued)?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def without_blank_lines(text: str) -> str:
    """Where a file is shown in parts, the blank lines between them are not."""
    return re.sub(r"\n+", "\n", text)


def test_the_walk_shows_each_file_of_the_plugin_whole(plugin: Path) -> None:
    shown: dict[str, str] = defaultdict(str)
    for name, block in BLOCK.findall(WALK.read_text()):
        shown[name] += block
    files = {str(path.relative_to(plugin)): path for path in [*plugin.rglob("*.py"), plugin / "pyproject.toml"]}
    assert shown.keys() == files.keys()
    for name, path in files.items():
        assert without_blank_lines(shown[name]) == without_blank_lines(path.read_text()), name


def test_nothing_but_commands_stands_in_other_blocks() -> None:
    rest = BLOCK.sub("", WALK.read_text())
    for block in re.findall(r"^```.*?^```$", rest, re.MULTILINE | re.DOTALL):
        command = r"(?:\w+=\S+ )?(?:fxopt|pip|pytest)\b.*"
        assert re.fullmatch(rf"```\n(?:{command}\n)+```", block), block
