"""Built-ins come in by the same door as third parties, and every hook is tested and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator

import pytest

from docs.generate import hooks
from fxopt.contracts.options import Configurable
from fxopt.registry import KINDS, Registry
from tests.house.tree import ROOT, files


def built_in_classes() -> Iterator[type[Configurable]]:
    """Every concrete plugin class that the two packages define."""
    for package in ("fxopt_passes", "fxopt_plugins"):
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            for _, member in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if (
                    issubclass(member, Configurable)
                    and not inspect.isabstract(member)
                    and member.__module__ == info.name
                ):
                    yield member


def test_each_built_in_is_registered() -> None:
    registry = Registry.load()
    registered = {plugin for kind in KINDS for plugin in getattr(registry, kind).values()}
    assert registered >= {plugin for plugin in built_in_classes() if not plugin.__name__.startswith("_")}


def test_each_package_of_built_ins_is_an_entry_point() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["fxopt"]
    folders = [ROOT / "passes" / "fxopt_passes", ROOT / "plugins" / "fxopt_plugins"]
    packages = {f"{folder.name}.{path.parent.name}" for folder in folders for path in folder.glob("*/__init__.py")}
    assert packages == set(entries.values())


@pytest.mark.parametrize("hook", hooks())
def test_each_hook_has_a_test(hook: str) -> None:
    tests = [path for path in files("tests") if "house" not in path.parts]
    assert any(hook in path.read_text() for path in tests)


@pytest.mark.parametrize("hook", hooks())
def test_each_hook_has_a_doc_section(hook: str) -> None:
    assert f"\n## {hook}\n" in (ROOT / "docs" / "reference" / "hooks.md").read_text()
