"""plan.json: what is read, what is refused as damaged, and which versions it is compared by."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt import __version__
from fxopt.compiler import lockfile
from fxopt.compiler.lockfile import Lockfile
from fxopt.contracts.candidate import Candidate, Step
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.passes import Pass
from fxopt.contracts.target import Machine
from fxopt.errors import InputError
from fxopt.registry import Plugin, Registry
from tests.compiler.plain_data import JSON, Place, like, places, replaced, value_at
from tests.report.ledgers import judged

MACHINE = Machine("A CPU", ("avx2",), 2, 1000, {"python": "3.11"})


def step(site: str, round_: int, spec: str = "fold{max=4}", **fields: Any) -> dict[str, Any]:
    candidate = Candidate("fold", (site, "x"), frozenset({site}), frozenset({"x"}), {"axis": [0, {"keep": True}]})
    return Step(candidate, spec, round_, **fields).to_json()


FIRST = step("conv", 0, tensors={"weight": "0" * 16})
SECOND = step("conv_1", 1, needs=(Step.from_json(FIRST).id,))
PLAN: dict[str, Any] = {
    "version": 1,
    "fxopt": __version__,
    "plugins": {"outside": "1.0"},
    "graph": "0" * 16,
    "model": "1" * 16,
    "target": "cpu",
    "engine": "eager{threads=1}",
    "engine_version": "9",
    "machine": {**MACHINE.__dict__, "isa": list(MACHINE.isa)},
    "budget": Budget(max_drop=Drop(1e-7, "%"), max_latency_ms=1.5, max_size_bytes=9).to_json(),
    "data": {"calib": {"path": "calib.npz", "digest": "2" * 16}, "eval": {"path": None, "digest": ""}, "train": None},
    "metric": "top1{output=logits}",
    "quality": judged(),
    "recipe": None,
    "tunings": {"threads": 1},
    "seed": 0,
    "inputs": ["x=2x3"],
    "text": ["input x : float32[2, 3]", "return [x]"],
    "steps": [FIRST, SECOND],
    "result": "3" * 16,
}


def read(folder: Path, plan: Any) -> Lockfile:
    (folder / "plan.json").write_text(json.dumps(plan))
    return Lockfile.read(folder)


def changed(plan: dict[str, Any], path: str, value: Any) -> Any:
    return replaced(plan, tuple(int(key) if key.isdigit() else key for key in path.split(".")), value)


# -- what is read ----------------------------------------------------------------------------------------------------


def test_a_plan_of_old_names_neither_metric_nor_quality_nor_recipe_nor_tunings(tmp_path: Path) -> None:
    old = {key: value for key, value in PLAN.items() if key not in ("metric", "quality", "recipe", "tunings")}
    assert read(tmp_path, old).data == {**PLAN, "metric": None, "quality": None, "recipe": None, "tunings": {}}


def test_a_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    lock = read(tmp_path, PLAN)
    assert lock.data == PLAN
    assert [item.to_json() for item in lock.steps] == PLAN["steps"]
    assert lock.steps[0].spec == "fold{max=4}"
    assert (lock.budget.to_json(), lock.machine) == (PLAN["budget"], MACHINE)
    assert lock.sources.calib is not None
    assert (lock.sources.calib.path, lock.sources.train) == ("calib.npz", None)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no plan.json"),
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin1"), "damaged"),
        ("[]", "schema version None"),
        ('{"version": 99}', "schema version 99"),
        ('{"version": 1, "steps": []}', "damaged (there is no 'fxopt'); optimize the model again"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(tmp_path: Path, text: str | bytes | None, says: str) -> None:
    if text is not None:
        (tmp_path / "plan.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        Lockfile.read(tmp_path)
    assert "\n" not in str(caught.value)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("version", True, "version: an integer is needed, not True"),
        ("engine", 1, "engine: a string is needed, not 1"),
        ("engine", "auto", "engine: one engine is needed"),
        ("seed", "0", "seed: an integer is needed, not '0'"),
        ("text", None, "text: a list is needed, not None"),
        ("text", "input x", "text: a list is needed"),
        ("plugins.outside", 1, "plugins.outside: a string is needed"),
        ("machine.isa", 1, "machine.isa: a list is needed"),
        ("machine.versions", {"a\nb": 1}, r"machine.versions.'a\nb': a string is needed"),
        ("machine", {}, "machine: there is no 'cpu'"),
        ("budget.max_latency_ms", "10", "budget.max_latency_ms: a finite number is needed"),
        ("budget.max_latency_ms", float("nan"), "budget.max_latency_ms: a finite number is needed"),
        ("budget.max_latency_ms", 10**400, "budget.max_latency_ms: a finite number is needed"),
        ("budget.max_size_bytes", 1.5, "budget.max_size_bytes: an integer is needed"),
        ("budget.max_drop", "much", "budget: --max-drop 'much': give"),
        ("budget.minimize", "joy", "budget.minimize: one of latency, size, energy, memory is needed, not 'joy'"),
        ("budget.max_joy", 1, "budget: unknown 'max_joy'"),
        ("data", {"calib": None, "train": None}, "data: there is no 'eval'"),
        ("data.calib", "calib.npz", "data.calib: an object is needed, not 'calib.npz'"),
        ("steps.0.round", "0", "steps.0.round: an integer is needed"),
        ("steps.1.needs", "conv", "steps.1.needs: a list is needed"),
        ("steps.0.candidate.site", [], "steps.0.candidate.site: it is empty"),
        ("steps.0.candidate.parameters", None, "steps.0.candidate.parameters: an object is needed"),
        ("steps.0.candidate.parameters.axis", nested(99), "more than 64 lists and objects inside one another"),
        ("steps.0.candidate.fidelity", "so so", "fidelity: one of exact, approximate, needs_recovery is needed"),
        ("steps.0.pass", "other", "is of another pass than 'other'"),
        ("steps.0.pass", "fold{", "is not of the form"),
        ("steps.1.round", 0, "which is no step of an earlier round"),
        ("steps.1.needs", ["nothing"], "needs 'nothing', which is no step of an earlier round"),
        ("steps.0.needs", [Step.from_json(SECOND).id], "which is no step of an earlier round"),
        ("steps", [FIRST, FIRST], "is there twice"),
        ("steps", [FIRST, step("relu", 0, "fold")], "round 0 has two passes"),
    ],
)
def test_whatever_is_not_of_the_form_is_refused_and_named(tmp_path: Path, path: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read(tmp_path, changed(PLAN, path, value))
    assert str(caught.value).startswith(f"{tmp_path / 'plan.json'}: damaged (")
    assert "\n" not in str(caught.value)


@given(st.sampled_from(list(places(PLAN))), JSON)
def test_any_value_in_place_of_another_is_read_as_such_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: Place, value: Any
) -> None:
    (folder := tmp_path_factory.getbasetemp()).joinpath("plan.json").write_text(
        json.dumps(replaced(PLAN, place, value))
    )
    damage, lock = "", None
    try:
        lock = Lockfile.read(folder)
    except InputError as error:
        damage = str(error)
    if lock is None:
        assert re.search(r"damaged \(|schema version", damage)
        assert len(damage.splitlines()) == 1
    else:
        assert like(value_at(PLAN, place), value) or {"parameters", "tunings"} & set(place)
        assert [Step.from_json(item.to_json()) for item in lock.steps] == list(lock.steps)
        assert Budget.from_json(lock.budget.to_json()) == lock.budget


# -- versions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """As much of a target and of an engine as versions need."""

    name: ClassVar[str] = "tool"
    here: Machine = MACHINE
    is_version: str = "9"

    def machine(self) -> Machine:
        return self.here

    def version(self) -> str:
        return self.is_version


class Fold(Pass):
    """Nothing."""

    name = "fold"

    def propose(self, program: Any, view: Any) -> Any:
        return ()

    def apply(self, edit: Any, candidate: Any) -> None:
        raise NotImplementedError


def registry(version: str) -> Registry:
    found = Registry()
    found.register(type("Plugin", (), {"fxopt_passes": lambda self: [Fold]})(), "folds", "outside")
    found.plugins += [Plugin("folds", "outside", version), Plugin("unused", "elsewhere", version)]
    return found


def moved(lock: Lockfile, version: str = "1.0", **changes: Any) -> list[str]:
    tool: Any = Tool(**changes)
    return lock.moved(registry(version), tool, tool)


def test_distributions_are_recorded_that_bring_what_the_plan_uses() -> None:
    tool: Any = Tool()
    steps = [Step.from_json(FIRST)]
    assert lockfile.plugins(registry("1.0"), tool, tool, steps) == {"outside": "1.0"}
    assert lockfile.plugins(registry("1.0"), tool, tool, []) == {}
    own = Registry.load()
    assert lockfile.plugins(own, own.make_target("cpu"), own.make_engine("eager"), []) == {}


def test_another_version_of_a_plugin_or_of_the_engine_is_another_version(tmp_path: Path) -> None:
    lock = read(tmp_path, PLAN)
    assert moved(lock) == []
    assert moved(lock, version="2.0") == ["other versions: outside 1.0 is now 2.0"]
    assert moved(lock, is_version="10") == ["other versions: tool 9 is now 10"]
    (text,) = moved(lock, here=replace(MACHINE, isa=()))
    assert text.startswith("another machine: ")


def test_an_engine_that_does_not_tell_its_version_stops_nothing() -> None:
    class Broken(Tool):
        def version(self) -> str:
            raise ZeroDivisionError

    tool: Any = Broken()
    assert lockfile.version(tool) == "unknown"
