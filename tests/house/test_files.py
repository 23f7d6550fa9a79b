"""What files may look like, and what is shipped."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import FOLDERS, ROOT, files, identity


@pytest.mark.parametrize(
    "path", files("fxopt", "passes", "plugins", "tests", "examples", "benchmarks", "docs"), ids=identity
)
def test_no_file_is_longer_than_500_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 500, f"{identity(path)} has {lines} lines: is it still one subject?"


def test_no_path_of_a_developers_machine_is_in_the_tree() -> None:
    marks = [f"/{folder}/" for folder in ("work", "root", "home")]
    suspects = [*files(*FOLDERS, suffix=""), *ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
    texts = [
        path
        for path in suspects
        if path.suffix in ("", ".py", ".md", ".toml", ".json", ".html", ".jinja", ".yml", ".txt")
    ]
    assert not [f"{identity(path)}: {mark}" for path in texts for mark in marks if mark in path.read_text()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_ships_every_source_file_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        str(path.relative_to(ROOT / base))
        for folder, base in (("fxopt", "."), ("passes/fxopt_passes", "passes"), ("plugins/fxopt_plugins", "plugins"))
        for path in files(folder, suffix="")
        if "__pycache__" not in path.parts
    }
    assert shipped == sources


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "fxopt/py.typed" in wheel.namelist()


def test_the_wheel_registers_the_built_ins_and_the_command(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    text = wheel.read(name).decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for entry, module in (project["entry-points"]["fxopt"] | project["scripts"]).items():
        assert f"{entry} = {module}\n" in text


def test_the_constraints_hold_torch() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()
