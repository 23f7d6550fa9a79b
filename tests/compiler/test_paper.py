"""Plans on paper: what a planner would choose by what is foretold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt.compiler import paper
from fxopt.compiler.context import Context
from fxopt.compiler.search import Search, search
from fxopt.contracts.cost import Budget
from fxopt.contracts.planner import Planner
from fxopt.contracts.target import Target
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry


class Net(nn.Module):
    """Convolutions that are large enough for integers to pay on a GPU, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 256, 3, padding=1)
        self.body = nn.Sequential(*(nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(self.stem(x).relu()).mean((2, 3))
        return y


@pytest.fixture(scope="module")
def found() -> tuple[Search, Registry, Target]:
    registry = Registry.load()
    target = registry.make_target("gpu{device=a10}")
    program = capture(export(Net(), (torch.randn(1, 3, 64, 64),)))
    return search(program, registry.make_passes(None), registry, Context(target.capabilities())), registry, target


def plans(found: tuple[Search, Registry, Target], planner: str, seconds: float = 60.0) -> list[dict[str, object]]:
    rewrites, registry, target = found
    chooses: Planner = registry.make_planner(planner)
    begun = paper.on_paper(
        rewrites,
        registry.make_passes(None),
        registry.make_engine("tensorrt"),
        registry,
        target,
        Context(target.capabilities()),
        Budget(),
        seconds,
    )
    return [] if begun is None else paper.plans_on_paper(*begun, chooses)


@pytest.mark.parametrize("planner", ["milp", "by_region"])
def test_a_frontier_is_foretold_the_fastest_first(found: tuple[Search, Registry, Target], planner: str) -> None:
    points = plans(found, planner)
    assert "int8 x" in str(points[0]["what"])
    latencies = [point["latency_ms"]["estimate"] for point in points]  # type: ignore[index]
    weights = [point["weight_bytes"] for point in points]
    assert latencies == sorted(latencies)
    assert weights == sorted(weights, reverse=True)  # type: ignore[type-var]
    first = points[0]["latency_ms"]
    assert first["low"] < first["estimate"] < first["high"]  # type: ignore[index]
    before = found[2].price(found[0].source, found[1].make_engine("tensorrt"))
    assert before is not None
    assert latencies[0] < before.milliseconds


def test_out_of_time_the_exact_rewrites_are_there(found: tuple[Search, Registry, Target]) -> None:
    assert plans(found, "milp", seconds=0.0)


def test_where_the_target_cannot_tell_nothing_is(
    found: tuple[Search, Registry, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(found[2]), "price", lambda *_: None)
    program = capture(export(nn.ReLU(), (torch.ones(2),)))
    fresh = search(program, found[1].make_passes(None), found[1], Context())
    assert plans((fresh, *found[1:]), "milp") == []
