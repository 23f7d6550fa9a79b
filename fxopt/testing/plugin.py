"""The pytest plugin: it collects `.fx` snapshots. Loaded in every run of pytest, so it imports nothing that is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HEADER = "fxopt snapshot 1"
UPDATE = "--update-fx-snapshots"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that writes snapshots anew."""
    parser.getgroup("fxopt").addoption(
        UPDATE,
        action="store_true",
        help="write into .fx snapshots what the passes give now; what computes something else is still an error",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take `.fx` files that begin as snapshots do."""
    if file_path.suffix == ".fx" and file_path.read_bytes().startswith(HEADER.encode()):
        return _File.from_parent(parent, path=file_path)
    return None


class _File(pytest.File):
    """A `.fx` file with one snapshot."""

    def collect(self) -> Iterator[pytest.Item]:
        yield _Item.from_parent(self, name=self.path.stem)


class _Item(pytest.Item):
    """A snapshot as a test."""

    def runtest(self) -> None:
        from fxopt.testing.snapshots import check_snapshot

        check_snapshot(self.path, update=bool(self.config.getoption(UPDATE)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from fxopt.errors import InputError

        if isinstance(excinfo.value, (AssertionError, InputError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"snapshot {self.name}"
