"""Small networks quantized by hand, as the scheme of an engine says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.ir.samples import sample_inputs
from tests.engines.nets import program

qd = operators()
HIGH = 63  # of weights: sums of 8-bit products saturate on some CPUs, and are the subject of tests of their own
INT32 = (-(2**31), 2**31 - 1, torch.int32)


class Quantized(nn.Module):
    """What the networks share: values are rounded at named places to scales that one float run has measured."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.ranges: dict[str, tuple[float, float]] = {}
        self.measuring = True

    def ready(self, x: Tensor) -> Quantized:
        """The network with its scales measured on `x`, and its weights stored as integers."""
        with torch.no_grad():
            self(x)
            self.measuring = False
            self(x)
        return self

    def rounded(self, place: str, x: Tensor, low: float | None = None, high: float | None = None) -> Any:
        """A value through 8 bits and back; its range is measured where it is not given."""
        if self.measuring:
            self.ranges[place] = (
                min(float(x.min()), 0.0) if low is None else low,
                max(float(x.max()), 0.0) if high is None else high,
            )
            return x
        ends = (0, 255, torch.uint8) if self.scheme.activation == "u8" else (-128, 127, torch.int8)
        numbers = (*self.numbers(place), *ends)
        return qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *numbers), *numbers)

    def numbers(self, place: str) -> tuple[float, int]:
        """Scale and zero-point of a place."""
        low, high = self.ranges[place]
        if self.scheme.activation_symmetric:
            return max(-low, high) / 127, 0
        scale = (high - low) / 255
        return scale, round(-low / scale)

    def integers(self, name: str, place: str) -> tuple[Any, Any]:
        """The weight and bias of the layer of that name as floats of integers, its input rounded at `place`."""
        layer: Any = self.get_submodule(name)
        if self.measuring:
            return layer.weight, layer.bias
        if not hasattr(layer, "integers"):
            scale = layer.weight.flatten(1).abs().amax(1) / HIGH
            fine = scale * self.numbers(place)[0]
            shape = (-1, *[1] * (layer.weight.ndim - 1))
            layer.register_buffer("integers", (layer.weight / scale.reshape(shape)).round().to(torch.int8))
            layer.register_buffer("shift", (layer.bias / fine).round().to(torch.int32))
            layer.register_buffer("scale", scale)
            layer.register_buffer("fine", fine)
        weight = qd.dequantize_per_channel(layer.integers, layer.scale, None, 0, -HIGH, HIGH, torch.int8)
        if self.scheme.bias == "float":
            return weight, layer.bias
        return weight, qd.dequantize_per_channel(layer.shift, layer.fine, None, 0, *INT32)

    def branch(self, place: str, x: Tensor) -> Any:
        """The branch of a residual add, rounded where the scheme wants both inputs of the add rounded."""
        return self.rounded(place, x) if self.scheme.residual == "both" else x


class ResidualStack(Quantized):
    """Three residual blocks: image (N, 16, 12, 12) to (N, 16, 12, 12); both inputs of each addition are rounded."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(6))

    def forward(self, x: Tensor) -> Any:
        x, place = self.rounded("x", x), "x"
        for block in range(3):
            y = F.conv2d(x, *self.integers(f"convs.{2 * block}", place), padding=1).relu()
            y = self.rounded(f"{block}", y)
            y = F.conv2d(y, *self.integers(f"convs.{2 * block + 1}", f"{block}"), padding=1)
            x, place = (x + self.branch(f"{block}+", y)).relu(), f"{block} sum"
            x = self.rounded(place, x)
        return x


class DepthwiseSeparable(Quantized):
    """Expansion, depthwise and projection with ReLU6, as in MobileNetV2: image (N, 8, 12, 12) to (N, 8, 12, 12)."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        self.wide = nn.Conv2d(8, 32, 1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.narrow = nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.rounded("x", x)
        y = self.rounded("wide", F.relu6(F.conv2d(x, *self.integers("wide", "x"))), 0, 6)
        y = F.relu6(F.conv2d(y, *self.integers("depthwise", "wide"), padding=1, groups=32))
        y = self.rounded("deep", y, 0, 6)
        y = F.conv2d(y, *self.integers("narrow", "deep"))
        return self.rounded("sum", x + self.branch("narrow", y))


class Mlp(Quantized):
    """Two linear layers with GELU between: (N, 5, 16) to (N, 5, 16)."""

    def __init__(self, scheme: QuantScheme) -> None:
        super().__init__(scheme)
        self.wide, self.narrow = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Any:
        x = self.rounded("x", x)
        y = F.gelu(F.linear(x, *self.integers("wide", "x")))
        y = F.linear(self.rounded("wide", y), *self.integers("narrow", "wide"))
        return self.rounded("narrow", y)


NETS: dict[str, tuple[type[Quantized], tuple[int, ...]]] = {
    "residual stack": (ResidualStack, (2, 16, 12, 12)),
    "depthwise separable": (DepthwiseSeparable, (2, 8, 12, 12)),
    "mlp": (Mlp, (2, 5, 16)),
}


def quantized(name: str, scheme: QuantScheme) -> tuple[Program, list[Tensor], float]:
    """The named network as a Program with a dynamic batch, inputs, and the step of its output."""
    torch.manual_seed(0)
    make, shape = NETS[name]
    x = torch.randn(shape)
    net = make(scheme).ready(x)
    return program(net, x, dynamic=True), [x], net.numbers(list(net.ranges)[-1])[0]


def weight_only(
    bits: int, group: int, asymmetric: bool = False, size: int = 128, behind_integers: bool = False
) -> tuple[Program, list[Tensor]]:
    """A linear layer (N, 5, size) to (N, 5, size) whose weight is of integers, in groups along its inputs.

    Its input is a float, or with `behind_integers` one that was rounded to a grid; then it has two axes, (N, size).
    """
    torch.manual_seed(0)
    low, high = (0, 2**bits - 1) if asymmetric else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    dtype = torch.uint8 if asymmetric else torch.int8

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(low, high + 1, (size, size)).to(dtype))
            self.register_buffer("scale", torch.rand(size, size // group) / 2**bits + 0.01)
            self.register_buffer("zero", torch.randint(low, high + 1, (size, size // group), dtype=torch.int32))
            self.bias = nn.Parameter(torch.randn(size))

        def forward(self, x: Tensor) -> Any:
            zero = self.zero if asymmetric else None
            if behind_integers:
                grid = (0.05, 117, 0, 255, torch.uint8)
                x = qd.dequantize_per_tensor(qd.quantize_per_tensor(x, *grid), *grid)
            weight = qd.dequantize_per_channel_group(
                self.weight, self.scale, zero, low, high, dtype, group, torch.float32
            )
            return F.linear(x, weight, self.bias)

    found = program(Layer(), torch.randn(2, *([] if behind_integers else [5]), size), dynamic=True)
    return found, sample_inputs(found)


def as_it_comes() -> tuple[Program, list[Tensor]]:
    """A linear layer (N, 5, 128) to (N, 5, 64) whose input is quantized by its own range in each call."""
    torch.manual_seed(0)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(-HIGH, HIGH + 1, (64, 128)).to(torch.int8))
            self.register_buffer("scale", torch.rand(64) / 128 + 0.01)

        def forward(self, x: Tensor) -> Any:
            numbers = (*qd.choose_qparams.tensor(x, 0, 255, 1e-9, torch.uint8), 0, 255, torch.uint8)
            x = qd.dequantize_per_tensor.tensor(qd.quantize_per_tensor.tensor(x, *numbers), *numbers)
            return F.linear(x, qd.dequantize_per_channel(self.weight, self.scale, None, 0, -HIGH, HIGH, torch.int8))

    found = program(Layer(), torch.randn(2, 5, 128), dynamic=True)
    return found, sample_inputs(found)
