"""Does an engine's integer arithmetic hold on this machine? Found out by running it, not from the CPU's name.

Kernels for CPUs without an instruction that adds four products of 8 bits in 32 bits add pairs of them in 16, where
255 * 127 * 2 does not fit: the sum saturates, and nothing tells. With weights of 7 bits, 255 * 64 * 2 fits. Here layers are
built whose sums go as far as they can, and compared with integer arithmetic.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.capture import capture, export
from fxopt.ir.quantized import operators
from fxopt.measure.worker import Worker

BITS = (8, 7)
MATMUL = "aten.matmul"
_STEPS = 120  # the largest sum there can be, in steps of the output
_CHANNELS, _ROWS = 64, 256
_CONV2D = "aten.conv2d"
_SHAPES = {"conv2d": (32, _CHANNELS, 3, 3), "depthwise": (_CHANNELS, 1, 3, 3), "linear": (32, _ROWS)}
_SIGNED, _UNSIGNED = (-128, 127), (0, 255)


def exact_weight_bits(engine: str, scheme: QuantScheme, worker: Worker) -> int | None:
    """The most bits of weights with which an engine's integer layers are exact on this machine.

    A convolution, a depthwise one and a linear layer, those that the engine has integer kernels for, are emitted, loaded and run
    as any artifact; a linear layer whose input is rounded as it comes as well, where there is a kernel for that. An output may be
    one step off, which is how far engines round apart. The answer holds for this engine, its version and options, and this CPU.

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
        if not layers.scales or _exact(engine, layers, layers.steps(), worker):
            return bits
    return None


def exact_between_activations(engine: str, scheme: QuantScheme, worker: Worker) -> bool:
    """Whether an engine's integer products of two activations are exact on this machine; they always have 8 bits.

    The arguments, and what is raised, are those of `exact_weight_bits`.
    """
    products = _Products(scheme)
    return _exact(engine, products, products.steps(), worker)


def _exact(engine: str, layers: _Integers, steps: list[np.ndarray[Any, Any]], worker: Worker) -> bool:
    """Whether an engine gives what integer arithmetic does, but for a step."""
    inputs = layers.inputs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program").mkdir()
        capture(export(layers, tuple(inputs))).save(folder / "program")
        worker.emit(engine, folder / "program", folder / "artifact")
        worker.load(engine, folder / "artifact")
        found = worker.run([value.numpy() for value in inputs])
    return all(map(_within_a_step, found, steps, layers.scales))


def _within_a_step(found: np.ndarray[Any, Any], steps: np.ndarray[Any, Any], scale: float) -> bool:
    return found.shape == steps.shape and bool(np.abs(found / scale - steps).max() < 1.5)


class _Integers(nn.Module):
    """Sums of products of integers, whose inputs are integers in floats and whose outputs are rounded to 8 bits."""

    scales: list[float]  # of the outputs

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__()
        self.signed = scheme.activation == "s8"
        self.ends = _SIGNED if self.signed else _UNSIGNED

    def inputs(self) -> list[Tensor]:
        """What goes in, float32."""
        raise NotImplementedError

    def rounded(self, value: Tensor, scale: float, zero: int, signed: bool | None = None) -> Any:
        """A value through 8 bits and back; by default through those of activations."""
        qd, ends = operators(), self.ends if signed is None else _SIGNED if signed else _UNSIGNED
        numbers = (scale, zero, *ends, torch.int8 if ends is _SIGNED else torch.uint8)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(value, *numbers), *numbers)

    def out(self, sums: Sequence[Tensor]) -> list[Any]:
        """Sums rounded as activations."""
        middle = 0 if self.signed else 128
        return [self.rounded(value, scale, middle) for value, scale in zip(sums, self.scales, strict=False)]


class _Layers(_Integers):
    """Layers with weights that an engine runs on integers: images (1, 64, 6, 6) and rows (4, 256), to one output a layer.

    The last one, if the engine has a kernel for it, gives its sums as they are: its input is rounded as it comes.
    """

    def __init__(self, bits: int, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        random = np.random.default_rng(0)
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        here = {"conv2d": _CONV2D in scheme.integer_ops, "linear": "aten.linear" in scheme.integer_ops}
        here |= {"depthwise": here["conv2d"] and scheme.depthwise}
        self.static = [kind for kind in _SHAPES if here[kind]]
        self.dynamic = "int8_dynamic" in scheme.native
        self.scales = []
        for index, kind in enumerate([*self.static, *(["linear"] if self.dynamic else [])]):
            shape = _SHAPES[kind]
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
        rows[3, 0] = self.ends[0]  # so that their range is all there is, and a step is 1
        return [torch.from_numpy(value.astype(np.float32)) for value in (image, rows)]

    def forward(self, image: Tensor, rows: Tensor) -> tuple[Any, ...]:
        qd = operators()
        weights = [
            qd.dequantize_per_channel(
                getattr(self, f"weight{index}"), getattr(self, f"ones{index}"), None, 0, self.low, self.high, torch.int8
            )
            for index in range(len(self.scales))
        ]
        image, rounded = self.rounded(image, 1.0, 0), self.rounded(rows, 1.0, 0)
        sums = self.out([_sum(kind, image, rounded, weights[index]) for index, kind in enumerate(self.static)])
        if self.dynamic:
            sums.append(F.linear(self.rounded_as_it_comes(rows), weights[-1]))
        return tuple(sums)

    def rounded_as_it_comes(self, value: Tensor) -> Any:
        """A value through unsigned 8 bits over its own range."""
        qd, ends = operators(), (*_UNSIGNED, torch.uint8)
        scale, zero = qd.choose_qparams(value, *_UNSIGNED, 1e-9, torch.uint8)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(value, scale, zero, *ends), scale, zero, *ends)

    def steps(self) -> list[np.ndarray[Any, Any]]:
        """The outputs in steps of their scales, by integer arithmetic: sums in 64 bits, rounded at the end."""
        image, rows = (value.long() for value in self.inputs())
        kinds = [*self.static, *(["linear"] if self.dynamic else [])]
        sums = [_sum(kind, image, rows, getattr(self, f"weight{index}").long()) for index, kind in enumerate(kinds)]
        return [np.round(value.numpy() / scale) for value, scale in zip(sums, self.scales, strict=True)]


def _sum(kind: str, image: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """A layer on values and weights of any dtype."""
    if kind == "linear":
        return F.linear(rows, weight)
    return F.conv2d(image, weight, groups=_CHANNELS if kind == "depthwise" else 1)


class _Products(_Integers):
    """Products of two activations, (2, 8, 256) by (2, 256, 32): one for each pair of dtypes that the engine multiplies."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        symmetric = scheme.activation_symmetric or MATMUL in scheme.symmetric_ops
        self.pairs = [(self.signed, self.signed)]
        if symmetric:  # as behind a softmax, unless all activations are signed
            self.pairs = [(True, True)] if self.signed else [(True, True), (False, True)]
        self.scales = []
        for pair in self.pairs:
            ends = [_SIGNED[0] if signed else _UNSIGNED[1] for signed in pair]
            self.scales.append(float(np.float32(abs(ends[0] * ends[1]) * _ROWS / _STEPS)))

    def inputs(self) -> list[Tensor]:
        """For each pair two factors over the whole range, in part as far up as they go."""
        random, values = np.random.default_rng(2), []
        for pair in self.pairs:
            for signed, shape in zip(pair, ((2, 8, _ROWS), (2, _ROWS, 32)), strict=True):
                low, high = _SIGNED if signed else _UNSIGNED
                value = random.integers(low, high + 1, shape)
                value[0, ...] = high
                values.append(torch.from_numpy(value.astype(np.float32)))
        return values

    def forward(self, *factors: Tensor) -> tuple[Any, ...]:
        sums = []
        for pair, first, second in zip(self.pairs, factors[::2], factors[1::2], strict=True):
            sums.append(self.rounded(first, 1.0, 0, pair[0]) @ self.rounded(second, 1.0, 0, pair[1]))
        return tuple(self.out(sums))

    def steps(self) -> list[np.ndarray[Any, Any]]:
        """As of `_Layers`."""
        factors = [value.long() for value in self.inputs()]
        sums = [first @ second for first, second in zip(factors[::2], factors[1::2], strict=True)]
        return [np.round(value.numpy() / scale) for value, scale in zip(sums, self.scales, strict=True)]
