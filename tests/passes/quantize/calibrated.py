"""What tests of `int8` share: an engine's scheme and calibration data for a pass, and a residual network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import View
from fxopt.contracts.quantization import QuantScheme
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.ir.observe import observe
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.testing import Specimen, captured
from fxopt_passes.quantize.int8 import Int8
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
from tests.engines.nets import program


class Residual(nn.Module):
    """Stem, two residual blocks, average, head: image (N, 3, 16, 16) to scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Any:
        x = F.max_pool2d(self.stem(x).relu(), 2)
        for first, second in (self.convs[:2], self.convs[2:]):
            x = (x + second(first(x).relu())).relu()
        return self.head(x.mean((2, 3)))


@Specimen
def residual_network() -> Program:
    """Regions are the stem, each block, and the head."""
    torch.manual_seed(0)
    return program(Residual(), torch.randn(2, 3, 16, 16), dynamic=True)


@Specimen
def vector_times_matrix() -> Program:
    """A product of two activations of which one has a single axis."""
    return captured(lambda _, x, y: x @ y.sum(0), torch.randn(4, 8), torch.randn(4, 8))


def calibration(found: Program, seeds: int = 4) -> Data | None:
    """Made-up samples; None where inputs do not begin with one number of samples."""
    try:
        return Data.read([tuple(sample_inputs(found, seed=seed)) for seed in range(seeds)], found.interface, "calib")
    except InputError:
        return None


def view_of(found: Program, scheme: QuantScheme | None, data: Data | None = None) -> View:
    """What `int8` sees of an engine and of calibration data."""
    return View("int8", scheme=scheme, _observe=data and partial(observe, found, data))


def offered(found: Program, scheme: QuantScheme, rule: Int8 | None = None) -> list[Candidate]:
    """What `int8` proposes, calibrated on made-up samples."""
    return list((rule or Int8()).propose(found, view_of(found, scheme, calibration(found))))


@dataclass(frozen=True)
class Calibrated(Int8):
    """`int8` with ONNX Runtime's scheme and made-up samples wherever it looks."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        data = calibration(program)
        known = dataclasses.replace(view, scheme=ONNX_RUNTIME, _observe=data and partial(observe, program, data))
        yield from super().propose(program, known)
