"""`fxopt.load` on artifacts of several stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxopt.compiler.load import load
from fxopt.contracts.engine import Artifact, Stage
from fxopt.errors import InputError
from fxopt.ir.interface import Input, Interface
from fxopt.registry import Registry
from tests.measure.engines import Honest


def registry() -> Registry:
    found = Registry()
    plugin = type("Plugin", (), {"fxopt_engines": lambda self: [Honest]})()
    found.register(plugin, "test", "test")
    return found


def interface() -> Interface:
    inputs = (Input("a", (2,), "float32"), Input("b", (2,), "float32"))
    arguments = {"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]}
    results = {"dict": {"late": {"leaf": 1}, "early": {"leaf": 0}}}
    return Interface(inputs, ("middle", "end"), (), ("a", "b"), arguments, results)


def test_stages_pass_values_on_by_name_and_results_are_nested_as_the_model_had_them(tmp_path: Path) -> None:
    stages = (Stage("honest", "", ("b",), ("middle",)), Stage("honest", "", ("middle", "a"), ("end", "unused")))
    Artifact(tmp_path, stages).write_manifest(interface().to_json())
    loaded = load(tmp_path, registry())
    found = loaded(np.zeros(2, np.float32), np.full(2, 5, np.float32))
    assert found["early"].tolist() == [6, 6]
    assert found["late"].tolist() == [7, 7]


def test_a_publication_that_was_cut_short_is_finished_first(tmp_path: Path) -> None:
    model = tmp_path / "journal" / "result" / "model"
    model.mkdir(parents=True)
    Artifact(model, (Stage("honest", "", ("a",), ("middle", "end")),)).write_manifest(interface().to_json())
    (tmp_path / "journal" / "commit").write_text('["model"]')
    assert load(tmp_path, registry()).artifact.path == tmp_path / "model"
    assert not (tmp_path / "journal").exists()


def test_a_damaged_manifest_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged") as caught:
        load(tmp_path, registry())
    assert "\n" not in str(caught.value)
