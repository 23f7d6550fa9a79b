"""The example of a pass that lowers precision keeps to the kit, is fitted to data, runs on integers, and stands in the docs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx import Node

from examples import int8_linear
from examples.int8_linear import Int8Linear
from fxopt import Candidate, Program, QuantScheme, View
from fxopt.registry import Registry
from fxopt.testing import captured, pass_checks
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.engines.test_outputs import make
from tests.house.tree import ROOT
from tests.passes.apply import apply

PAGE = (ROOT / "docs" / "write-a-pass.md").read_text()


class Seen(View):
    """What the compiler tells of an engine, and of data between -4 and 4."""

    def statistics(self, node: Node, kind: str) -> torch.Tensor:
        return torch.tensor([-4.0 if kind == "min" else 4.0], dtype=torch.float64)


class Calibrated(Int8Linear):
    """The pass where it has an engine and data; the kit has neither."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        yield from super().propose(program, Seen(view.rule, scheme=OPENVINO, declines=view.declines))


def layer() -> Program:
    torch.manual_seed(0)
    return captured(lambda self, x: self.head(x), torch.randn(3, 64), head=torch.nn.Linear(64, 32))


def on_the_layer() -> list[Any]:
    """Cases of the program that has a site, and of none: to look for a site in the whole zoo takes half a minute."""
    cases = pass_checks(Calibrated(), programs={"layer": layer})
    return [case for case in cases if case.id.endswith(("x layer", "x options round trip", "x is documented"))]


@pytest.mark.parametrize("check", on_the_layer())
def test_int8_linear(check: Callable[[], None]) -> None:
    check()


def test_it_is_fitted_to_data_and_declines_without() -> None:
    (candidate,) = Int8Linear().propose(layer(), Seen("int8_linear", scheme=OPENVINO))
    assert candidate.fitted["ends"].tolist() == [-4, 4]
    blind = View("int8_linear", scheme=OPENVINO)
    assert not list(Int8Linear().propose(layer(), blind))
    assert [decline.reason for decline in blind.declines] == ["it needs calibration data (--calib)"]
    assert not list(Int8Linear().propose(layer(), View("int8_linear")))


@pytest.mark.parametrize(("engine", "scheme"), [("onnxruntime", ONNX_RUNTIME), ("openvino", OPENVINO)])
def test_the_engine_runs_it_on_integers(engine: str, scheme: QuantScheme, tmp_path: Path) -> None:
    rule, program = Int8Linear(), layer()
    rewritten = apply(program, rule, list(rule.propose(program, Seen(rule.name, scheme=scheme))))
    runtime = make(engine)
    artifact = runtime.emit(rewritten, tmp_path)
    (computed,) = (node for node in rewritten.calls if node.target == torch.ops.aten.linear.default)
    assert runtime.fused_kernels(artifact).dtypes()[computed.name] == {"uint8"}


def test_registers_by_its_hook() -> None:
    registry = Registry()
    registry.register(int8_linear, "example", "example")
    assert registry.make_pass("int8_linear") == Int8Linear()


def test_stands_in_the_docs_as_it_is() -> None:
    source = (ROOT / "examples" / "int8_linear.py").read_text().split("\n\n", 1)[1]
    assert f"```python\n{source}```" in PAGE
