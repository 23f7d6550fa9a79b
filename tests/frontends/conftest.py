"""A sound file to plant tricks in, and the trace that they would leave."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.frontends.archives import Members
from tests.frontends.models import save_net


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file that a planted payload would create."""
    return tmp_path / "trace"


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    path = save_net(tmp_path_factory.mktemp("sound"), dynamic=True)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}
