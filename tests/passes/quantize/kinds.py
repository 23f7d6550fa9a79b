"""What tests of quantized kinds share: a view as the compiler gives it, and what engines make of the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxopt.contracts.candidate import Candidate
from fxopt.contracts.engine import EngineGraph
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.quantization import QuantScheme
from fxopt.contracts.target import Capabilities
from fxopt.data import Data
from fxopt.ir.observe import observe
from fxopt.ir.program import Program
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.engines.test_outputs import make
from tests.passes.apply import apply

SCHEMES = {"onnxruntime": ONNX_RUNTIME, "openvino": OPENVINO}
ENGINES = list(SCHEMES)


def view(
    rule: Pass, program: Program, scheme: QuantScheme | None = None, data: Any = None, isa: tuple[str, ...] = ()
) -> View:
    """A view for one engine's scheme, with calibration data where there are some."""
    samples = None if data is None else Data.read(data, program.interface, "calib")
    return View(
        rule.name,
        Capabilities(frozenset(), isa),
        scheme,
        _observe=None if samples is None else partial(observe, program, samples),
    )


def offers(rule: Pass, program: Program, **known: Any) -> list[Candidate]:
    """What the pass offers."""
    return list(rule.propose(program, view(rule, program, **known)))


def reasons(rule: Pass, program: Program, **known: Any) -> list[str]:
    """Why it offers no more."""
    seen = view(rule, program, **known)
    list(rule.propose(program, seen))
    return [decline.reason for decline in seen.declines]


def quantized(rule: Pass, program: Program, **known: Any) -> Program:
    """The Program with all that the pass offers."""
    found = offers(rule, program, **known)
    assert found
    return apply(program, rule, found)


def run(engine: str, program: Program, inputs: Sequence[torch.Tensor], folder: Path) -> tuple[EngineGraph, int, Any]:
    """What the engine runs for a Program, the bytes of its artifact, and its first output."""
    runtime = make(engine)
    folder.mkdir(exist_ok=True)
    assert not list(runtime.unsupported(program))
    artifact = runtime.emit(program, folder)
    (found, *_) = runtime.load(artifact, artifact.stages[0])([value.numpy() for value in inputs])
    return runtime.fused_kernels(artifact), artifact.size_bytes(), found


def assert_agrees(found: Any, program: Program, inputs: Sequence[torch.Tensor], within: float = 1e-5) -> None:
    """An engine's output is the Program's, but for rounding."""
    expected = program.run(inputs)[0].numpy()
    assert np.abs(found - expected).max() <= within * np.abs(expected).max()
