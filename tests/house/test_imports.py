"""Who may import whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.tree import files, identity, imports


@pytest.mark.parametrize("path", files("fxopt"), ids=identity)
def test_the_core_imports_no_plugin(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] in ("fxopt_passes", "fxopt_plugins")]


@pytest.mark.parametrize("path", files("passes", "plugins"), ids=identity)
def test_plugins_use_only_public_names_of_the_core(path: Path) -> None:
    parts = [name.split(".") for name in imports(path)]
    assert not [
        ".".join(name) for name in parts if name[0] == "fxopt" and any(part.startswith("_") for part in name[1:])
    ]


@pytest.mark.parametrize(
    "path", files("fxopt", "passes", "plugins", "tests", "examples", "benchmarks", "docs"), ids=identity
)
def test_nobody_imports_through_the_folders(path: Path) -> None:
    # Lint bans this as well; it cannot see importlib.import_module.
    assert not [name for name in imports(path) if name.split(".")[0] in ("passes", "plugins")]


@pytest.mark.parametrize("path", files("fxopt", "passes", "plugins"), ids=identity)
def test_what_is_shipped_imports_no_test_side_package(path: Path) -> None:
    banned = {"timm", "torchvision", "transformers", "PIL", "pytest", "hypothesis", "examples", "benchmarks", "tests"}
    found = banned & {name.split(".")[0] for name in imports(path)}
    if identity(path).startswith("fxopt/testing"):  # the conformance kit is a pytest plugin
        found -= {"pytest", "hypothesis"}
    assert not found
