"""Does an engine's integer arithmetic hold on this machine? Found out by running it, not from the CPU's name.

Kernels for CPUs without an instruction that adds four products of 8 bits in 32 bits add pairs of them in 16, where
255 * 127 * 2 does not fit: the sum saturates, and nothing tells. With weights of 7 bits, 255 * 64 * 2 fits. Here layers are
built whose sums go as far as they can, and compared with integer arithmetic.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.engine import QuantScheme
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.measure.worker import Worker

BITS = (8, 7)
_STEPS = 120  # the largest sum there can be, in steps of the output
_CHANNELS, _ROWS = 64, 256


def exact_weight_bits(engine: str, scheme: QuantScheme, worker: Worker) -> int | None:
    """The most bits of weights with which an engine's integer layers are exact on this machine.

    A convolution, a depthwise one and a linear layer are emitted, loaded and run as any artifact. An output may be one step
    off, which is how far engines round apart. The answer holds for this engine, its version and options, and this CPU.

    Args:
        engine: the engine's spec, like `"onnxruntime{threads=2}"`.
        scheme: the engine's own; it says what activations are.
        worker: where the engine runs; what it had loaded is lost.

    Returns:
        8 or 7; None where sums are wrong with 7 bits as well.

    Raises:
        EngineError: the engine cannot emit or run the layers.
    """
    for bits in BITS:
        layers = _Layers(bits, scheme)
        inputs = layers.inputs()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "program").mkdir()
            layers.program(inputs).save(folder / "program")
            worker.emit(engine, folder / "program", folder / "artifact")
            worker.load(engine, folder / "artifact")
            found = worker.run([value.numpy() for value in inputs])
        if all(map(_within_a_step, found, layers.steps(inputs), layers.scales)):
            return bits
    return None


def _within_a_step(found: np.ndarray[Any, Any], steps: np.ndarray[Any, Any], scale: float) -> bool:
    return bool(np.abs(found / scale - steps).max() < 1.5)


class _Layers(nn.Module):
    """The layers: images (1, 64, 6, 6) and rows (4, 256), whose values are integers already, to one output a layer."""

    def __init__(self, bits: int, scheme: QuantScheme) -> None:
        super().__init__()
        random = np.random.default_rng(0)
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        self.signed = scheme.activation == "s8"
        self.ends = (-128, 127) if self.signed else (0, 255)
        shapes = [(32, _CHANNELS, 3, 3), (_CHANNELS, 1, 3, 3), (32, _ROWS)]
        self.scales = []
        for index, shape in enumerate(shapes):
            weight = random.choice(np.array([self.low, self.high]), shape)
            weight[0], weight[1] = self.high, self.low  # every pair of products saturates
            weight[2::3] = random.integers(self.low, self.high + 1, weight[2::3].shape)
            self.register_buffer(f"weight{index}", torch.from_numpy(weight.astype(np.int8)))
            self.register_buffer(f"ones{index}", torch.ones(shape[0]))
            self.scales.append(float(np.float32(max(map(abs, self.ends)) * -self.low * np.prod(shape[1:]) / _STEPS)))

    def inputs(self) -> list[Tensor]:
        """Values over the whole range, in half of them as far up as they go."""
        random = np.random.default_rng(1)
        image, rows = (
            random.integers(self.ends[0], self.ends[1] + 1, size) for size in ((1, _CHANNELS, 6, 6), (4, _ROWS))
        )
        image[..., :3] = rows[:2] = self.ends[1]
        return [torch.from_numpy(value.astype(np.float32)) for value in (image, rows)]

    def apply_all(self, image: Any, rows: Any, weights: list[Any]) -> list[Any]:
        """The three layers on values and weights of any dtype."""
        return [
            F.conv2d(image, weights[0]),
            F.conv2d(image, weights[1], groups=_CHANNELS),
            F.linear(rows, weights[2]),
        ]

    def forward(self, image: Tensor, rows: Tensor) -> tuple[Any, ...]:
        qd = operators()
        weights = [
            qd.dequantize_per_channel(
                getattr(self, f"weight{index}"), getattr(self, f"ones{index}"), None, 0, self.low, self.high, torch.int8
            )
            for index in range(3)
        ]
        sums = self.apply_all(self.rounded(image, 1.0, 0), self.rounded(rows, 1.0, 0), weights)
        middle = 0 if self.signed else 128
        return tuple(self.rounded(value, scale, middle) for value, scale in zip(sums, self.scales, strict=True))

    def rounded(self, value: Tensor, scale: float, zero: int) -> Any:
        """A value through 8 bits and back."""
        qd = operators()
        numbers = (scale, zero, *self.ends, torch.int8 if self.signed else torch.uint8)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(value, *numbers), *numbers)

    def program(self, inputs: list[Tensor]) -> Program:
        """The layers as a Program."""
        return capture(export(self, inputs))

    def steps(self, inputs: list[Tensor]) -> list[np.ndarray[Any, Any]]:
        """The outputs in steps of their scales, by integer arithmetic: sums in 64 bits, rounded at the end."""
        weights = [getattr(self, f"weight{index}").long() for index in range(3)]
        sums = self.apply_all(inputs[0].long(), inputs[1].long(), weights)
        return [np.round(value.numpy() / scale) for value, scale in zip(sums, self.scales, strict=True)]
