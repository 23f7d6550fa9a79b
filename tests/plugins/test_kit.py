"""The outside plugin's own tests pass where it is installed; they run the conformance kit over all that it brings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_plugin_passes_its_own_tests(plugin: Path, environment: dict[str, str]) -> None:
    # In one process, which makes the programs of the kit once for all.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=plugin, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
