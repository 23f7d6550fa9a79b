"""The example of an outside plugin, installed for the tests that want it and for no others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.bench_outside import PLUGIN, install_plugin

Fxopt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the plugin in it, as pip leaves it."""
    folder = tmp_path_factory.mktemp("site")
    install_plugin(folder)
    return folder


@pytest.fixture(scope="session")
def environment(site: Path) -> dict[str, str]:
    """The environment of processes that see the plugin."""
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def fxopt(environment: dict[str, str], tmp_path: Path) -> Fxopt:
    """`fxopt("list", "plugins")` is that command in a folder with the plugin's `net.py`, with the plugin installed."""
    shutil.copy(PLUGIN / "net.py", tmp_path)

    def run(*arguments: str, status: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "fxopt", *arguments],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def plugin() -> Path:
    """The folder of the plugin's distribution."""
    return PLUGIN
