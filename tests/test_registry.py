"""The registry takes what hooks bring, by name, and leaves out whole what is at fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from fxopt import Candidate, Metric, Pass, Planner, Stage, hookimpl
from fxopt.contracts.metric import Direction
from fxopt.contracts.planner import Build, Problem
from fxopt.errors import InputError, PluginError
from fxopt.registry import Registry


class Nothing(Planner):
    """Plans nothing."""

    name: ClassVar[str] = "nothing"

    def plan(self, problem: Problem) -> Sequence[Build]:
        return []


class Length(Metric):
    """Length of the output."""

    name: ClassVar[str] = "length"
    needs = "reference"
    direction: ClassVar[Direction] = "lower"

    def collect(self, outputs: Any, labels: Any, reference: Any) -> Any:
        return outputs.norm(dim=1, keepdim=True)


def plugin(**hooks: Callable[..., object]) -> SimpleNamespace:
    """An object with these hooks implemented."""
    return SimpleNamespace(**{name: hookimpl(hook) for name, hook in hooks.items()})


def test_a_planner_comes_in_by_its_hook() -> None:
    registry = Registry()
    registry.register(plugin(fxopt_planners=lambda: [Nothing]), "mine", "mine")
    assert isinstance(registry.make_planner("nothing"), Nothing)
    assert registry.owners["planners", "nothing"] == "mine"


def test_a_metric_comes_in_by_its_hook() -> None:
    registry = Registry()
    registry.register(plugin(fxopt_metrics=lambda: [Length]), "mine", "mine")
    assert isinstance(registry.make_metric("length{output=y}"), Length)
    assert registry.owners["metrics", "length"] == "mine"
    with pytest.raises(InputError, match="unknown metric 'lenght'; did you mean 'length'?"):
        registry.make_metric("lenght")


def test_a_name_that_is_taken_names_its_owner() -> None:
    registry = Registry()
    registry.register(plugin(fxopt_planners=lambda: [Nothing]), "first", "first")
    with pytest.raises(PluginError, match="already registered by first"):
        registry.register(plugin(fxopt_planners=lambda: [Nothing]), "second", "second")


def test_a_misspelled_hook_is_refused() -> None:
    with pytest.raises(PluginError, match="fxopt_planer"):
        Registry().register(plugin(fxopt_planer=lambda: [Nothing]), "mine", "mine")


def test_an_unknown_name_suggests_the_nearest() -> None:
    registry = Registry()
    registry.register(plugin(fxopt_planners=lambda: [Nothing]), "mine", "mine")
    with pytest.raises(InputError, match="nothing"):
        registry.make_planner("nothin")


def test_leaving_out_a_plugin_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="there is no such plugin"):
        Registry.load(without=["fusoin"])


def test_a_listener_that_raises_is_left_out_from_then_on_and_named() -> None:
    told: list[str] = []

    class Raises:
        @hookimpl
        def fxopt_event(self, kind: str) -> None:
            told.append(kind)
            raise ZeroDivisionError("by design")

        @hookimpl
        def fxopt_veto(self, candidate: object) -> str:
            return "never asked"

    registry = Registry()
    registry.register(Raises(), "raises", "somebody")
    registry.event("first")
    registry.event("second")
    assert told == ["first"]
    assert registry.veto(None, None) is None
    assert [plugin.fault for plugin in registry.plugins] == ["unknown: fxopt_event raised ZeroDivisionError: by design"]


class Half(Planner):
    """Leaves its one method undone."""

    name: ClassVar[str] = "half"


class Staged(Pass):
    """Has a stage that is none."""

    name: ClassVar[str] = "staged"
    stage: ClassVar[Any] = "fuse"

    def propose(self, program: Any, view: Any) -> Iterator[Candidate]:
        yield from ()

    def apply(self, edit: Any, candidate: Candidate) -> None:
        pass


class Named(Staged):
    """Has a name that no spec can hold."""

    name: ClassVar[Any] = 5
    stage: ClassVar[Any] = Stage.FUSE


@dataclass(frozen=True)
class Demanding(Planner):
    """Cannot be made with its defaults."""

    name: ClassVar[str] = "demanding"

    size: int = 0

    def __post_init__(self) -> None:
        if not self.size:
            raise ValueError("give a size")

    def plan(self, problem: Problem) -> Sequence[Build]:
        return []


def stops() -> list[type]:
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ({"fxopt_planners": stops}, "SystemExit"),
        ({"fxopt_planners": lambda: 5}, "not iterable"),
        ({"fxopt_planners": lambda: [Nothing()]}, "it is no class of a planner"),
        ({"fxopt_passes": lambda: [Nothing, 5]}, "its stage is no Stage"),
        ({"fxopt_planners": lambda: [Half]}, "it leaves undone: plan"),
        ({"fxopt_passes": lambda: [Staged]}, "its stage is no Stage"),
        ({"fxopt_passes": lambda: [Named]}, "its name has to be letters"),
        ({"fxopt_planners": lambda: [Nothing, Nothing]}, "returns two of the name 'nothing'"),
        (
            {"fxopt_planners": lambda: [Demanding]},
            "cannot be made with its defaults: InputError: demanding: give a size",
        ),
    ],
)
def test_a_plugin_whose_hooks_return_something_else_is_left_out_whole(hooks: dict[str, Any], says: str) -> None:
    registry = Registry()
    both = hooks | {"fxopt_event": lambda kind, data: pytest.fail("it is not out")}
    with pytest.raises(PluginError, match=says):
        registry.register(plugin(**both), "mine", "mine")
    registry.event("finished")
    assert not registry.planners
    assert not registry.passes


def test_none_from_a_hook_is_nothing() -> None:
    assert Registry().register(plugin(fxopt_planners=lambda: None), "mine", "mine") == ()


INSTALLED = """
import sys
from fxopt import Candidate, Pass, Planner, Stage, hookimpl
from fxopt.contracts.planner import Build

class Mine(Planner):
    "Of NAME."
    name = "by_pass" if "NAME" == "engine_thief" else "shared"
    def plan(self, problem):
        return []

@hookimpl
def fxopt_planners():
    return [Mine]
"""


def install(folder: Path, name: str, code: str) -> None:
    (folder / f"{name}.py").write_text(code.replace("NAME", name))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fxopt]\n{name} = {name}\n")


def test_what_a_worker_finds_is_what_the_registry_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("zzz_planner", "aaa", "engine_thief"):
        install(tmp_path, name, INSTALLED)
    registry = Registry.load()
    assert registry.owners["planners", "shared"] == "aaa"
    assert registry.owners["planners", "by_pass"] == "fxopt"
    faults = {item.name: item.fault or "" for item in registry.plugins}
    assert "already registered by aaa" in faults["zzz_planner"]
    assert "already registered by fxopt" in faults["engine_thief"]
    assert type(Registry.find("planners", "by_pass")) is registry.planners["by_pass"]
    assert type(Registry.find("planners", "shared")) is registry.planners["shared"]
    assert registry.plugin_of("planners", "shared") == "aaa:aaa"
    assert type(Registry.of("aaa:aaa").make_planner("shared")) is registry.planners["shared"]
    assert ("planners", "shared") in registry.outside
    assert ("planners", "by_pass") not in registry.outside


def test_a_plugin_that_ends_the_process_at_import_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "leaves", "import sys\nsys.exit(0)\n")
    registry = Registry.load()
    (fault,) = [item.fault for item in registry.plugins if item.name == "leaves"]
    assert "failed to import: SystemExit" in (fault or "")
    with pytest.raises(InputError, match="plugin leaves: leaves failed to import"):
        registry.make_pass("what_it_brings")


def test_a_name_that_is_unknown_comes_with_what_was_left_out() -> None:
    with pytest.raises(InputError, match="-p no:fusion was given"):
        Registry.load(without=["fusion"]).make_pass("fold_batch_norm")
