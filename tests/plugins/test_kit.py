"""The outside plugin's own tests pass where it is installed; they run the conformance kit over all that it brings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUITES = ("test_log_softmax", "test_low_rank", "test_target", "test_engine", "test_events")


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_the_plugin_passes_its_own_tests(suite: str, plugin: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{suite}.py"]
    done = subprocess.run(command, cwd=plugin, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_no_suite_is_forgotten(plugin: Path) -> None:
    assert {path.stem for path in plugin.glob("tests/test_*.py")} == set(SUITES)
