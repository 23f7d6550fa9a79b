"""The registry takes what hooks bring, by name, and leaves out whole what is at fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from fxopt import Metric, Planner, hookimpl
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
