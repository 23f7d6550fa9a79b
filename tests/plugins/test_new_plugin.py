"""`fxopt new-plugin` writes a distribution whose tests pass untouched, and which fxopt finds once it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fxopt.cli import main


@pytest.mark.slow
def test_what_is_written_passes_its_own_tests_and_can_be_installed_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "My-Rewrites"]) == 0
    assert capsys.readouterr().out.startswith("My-Rewrites: next, pip install")

    def python(*arguments: str, **more: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        return done.stdout

    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "My-Rewrites")
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    python(*pip, "--target", "site", "./My-Rewrites")
    listed = python("-m", "fxopt", "list", "plugins", PYTHONPATH=str(tmp_path / "site"))
    assert "my_rewrites My-Rewrites 0.1.0" in " ".join(listed.split())
    assert "passes: my_rewrites_repeated_relu" in listed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no spaces", "a name is letters, digits"),
        ("-p", "new-plugin"),
        ("9lives", "begins with a letter"),
        ("json", "a module 'json' is there already"),
        ("Fxopt", "a module 'fxopt' is there already"),
        ("cleanup", "a plugin 'cleanup' is installed already"),
        ("class", "a module 'class' is there already"),
        ("taken", "taken: is there already"),
    ],
)
def test_a_name_that_will_not_do_is_one_line_and_nothing_is_written(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    assert main(["new-plugin", name]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
