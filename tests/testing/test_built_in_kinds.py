"""The built-in target, engines and planner keep to what the kit asks of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fxopt.registry import Registry
from fxopt.testing import engine_checks, planner_checks, target_checks
from fxopt_plugins.engines.eager import Eager
from fxopt_plugins.engines.inductor import Inductor
from fxopt_plugins.engines.inductor_gpu import InductorGpu
from fxopt_plugins.engines.onnxruntime import OnnxRuntime
from fxopt_plugins.engines.onnxruntime_gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from fxopt_plugins.engines.openvino import OpenVino
from fxopt_plugins.engines.tensorrt import TensorRt
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.planners.by_price import Exhaustive, Greedy, Milp
from fxopt_plugins.planners.by_region import ByRegion
from fxopt_plugins.targets.cpu import Cpu
from fxopt_plugins.targets.gpu import Gpu

FOR_GPUS = (TensorRt, OnnxRuntimeCuda, OnnxRuntimeTensorRt, InductorGpu)


@pytest.mark.parametrize("check", target_checks(Cpu(), engines=[OnnxRuntime(), Eager()]))
def test_the_target_cpu(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", target_checks(Gpu("a10"), engines=[TensorRt(), TensorRt(precision="f16"), Eager()]))
def test_the_target_gpu(check: Callable[[], None]) -> None:
    check()


PLANNERS = [Milp(), Greedy(), Exhaustive(), ByRegion(), ByPass(), ByPass(splits=0)]


@pytest.mark.parametrize("check", planner_checks(*PLANNERS))
def test_a_planner(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", engine_checks(Eager(threads=1), OnnxRuntime(threads=1), OpenVino(threads=1)))
def test_an_engine(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", engine_checks(*(engine() for engine in FOR_GPUS)))
def test_an_engine_for_gpus(check: Callable[[], None]) -> None:
    check()


def of_inductor() -> list[Any]:
    """Cases that need no program, and those of two programs: one costs Inductor some 5 s of C++."""
    return [
        case
        for case in engine_checks(Inductor(threads=1))
        if case.id.count(" x ") == 1 or case.id.endswith(("x dynamic batch", "x nested graph"))
    ]


@pytest.mark.parametrize("check", of_inductor())
def test_the_engine_inductor(check: Callable[[], None]) -> None:
    check()


def test_every_built_in_target_engine_and_planner_is_checked() -> None:
    registry = Registry.load()
    built_in = {key for key, owner in registry.owners.items() if owner == "fxopt"}
    assert {name for kind, name in built_in if kind == "targets"} == {"cpu", "gpu"}
    assert {name for kind, name in built_in if kind == "planners"} == {planner.name for planner in PLANNERS}
    for_gpus = {engine.name for engine in FOR_GPUS}
    engines = {name for kind, name in built_in if kind == "engines"}
    assert engines == {"onnxruntime", "openvino", "eager", "inductor", *for_gpus}
