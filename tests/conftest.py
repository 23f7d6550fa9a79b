"""What all tests share: hypothesis profiles, threads, and assets that skip where they cannot be had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read by torch when it is first imported: workers side by side would otherwise fight for the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from examples.assets import AssetUnavailable, fetch

collect_ignore = ["plugin_example"]  # a distribution of its own; tests/plugins runs its tests where it is installed

# Each example traces a graph, whose time says nothing about the code under test. CI repeats the same examples.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def own_prices(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs learn prices: those of tests are not the user's, nor the other way round."""
    os.environ["FXOPT_PRICES"] = str(tmp_path_factory.mktemp("prices"))


@pytest.fixture(scope="module")
def few_rounds() -> Iterator[None]:
    """For tests that assert nothing of times but plain differences: runs measure briefly."""
    from benchmarks.smoke import few_rounds  # here, as it imports torch

    with few_rounds():
        yield


@pytest.fixture(scope="session")
def asset() -> Callable[[str], Path]:
    """`asset("mobilenet_v2")` is the path of that asset; the test is skipped where it cannot be had."""

    def fetch_or_skip(name: str) -> Path:
        try:
            return fetch(name)
        except AssetUnavailable as error:
            pytest.skip(str(error))

    return fetch_or_skip
