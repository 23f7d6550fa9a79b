"""NVIDIA GPUs, whether there is one here or not."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.cost import Cost, Interval
from fxopt.contracts.price import Estimate, Prediction, Priced
from fxopt.contracts.target import Capabilities, Machine, Target

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program
    from fxopt_plugins.targets.gpu_kernels import Style
    from fxopt_plugins.targets.gpu_times import Device

CALL_US = 10.0  # what a call costs beside its kernels
_CHANNEL_GRID = {"int8": 32, "float16": 8}  # channels that fill the fragments of tensor cores, by dtype
# Which calls an engine runs together, and whose efficiencies its kernels have; another has those of PyTorch, call by call.
_STYLES: dict[str, tuple[Style, str]] = {
    "tensorrt": ("epilogue", "tensorrt"),
    "onnxruntime_tensorrt": ("epilogue", "tensorrt"),
    "onnxruntime_cuda": ("pointwise", "inductor"),
    "inductor_gpu": ("pointwise", "inductor"),
}


@dataclass(frozen=True)
class Gpu(Target):
    """An NVIDIA GPU: the one named, or the one that is here.

    Prices are those of the kernels that an engine would run: of each its start and the longer of its traffic and its arithmetic,
    at shares of the data sheet's peaks that were fitted to published latencies. They say how far off they are expected to be.
    Where the device is not here, nothing is measured: plans, and every figure, rest on prices, and outputs are computed on
    the CPU from what was emitted.
    """

    name: ClassVar[str] = "gpu"
    engines: ClassVar[tuple[str, ...]] = ("tensorrt", "onnxruntime_cuda", "inductor_gpu")

    device: str = field(
        default="auto",
        metadata={
            "help": "t4, a10, l4, a100, a100_pcie, h100, rtx3090, rtx4090 or orin; auto: the one here, or else a100"
        },
    )
    graphs: bool = field(
        default=True,
        metadata={"help": "calls are recorded once as a CUDA graph, which saves launching kernel by kernel"},
    )

    def __post_init__(self) -> None:
        from fxopt_plugins.targets.gpu_times import devices

        if self.device not in ("auto", *devices()):
            raise ValueError(f"unknown device {self.device!r}; there is auto, {', '.join(devices())}")

    @property
    def here(self) -> bool:
        return _found() is not None and self.device in ("auto", _found())

    def machine(self) -> Machine:
        device = self._device
        return Machine(
            cpu=device.label,
            isa=(f"sm_{device.capability * 10:.0f}",),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=int(device.memory_gb * 1e9),
            versions=dict(_installed()),
        )

    def capabilities(self) -> Capabilities:
        dtypes = {"float32", "float64", *self._device.tflops} - {"tf32"}
        grid = _CHANNEL_GRID["int8" if "int8" in dtypes else "float16"]
        return Capabilities(frozenset(dtypes), self.machine().isa, channel_grid=grid)

    def price(self, program: Program, engine: Engine) -> Prediction:
        from fxopt.prices.pieces import cut_calls, piece
        from fxopt_plugins.targets.gpu_kernels import calls_of, kernels
        from fxopt_plugins.targets.gpu_times import Table, coefficients, longer, milliseconds

        style, fit = _STYLES.get(engine.name, ("apart", "eager"))
        by, nodes = coefficients()[fit], cut_calls(program)
        found = kernels(calls_of(program, getattr(engine, "precision", "") == "f16"), style)
        times = milliseconds(Table.of(found), self._device, by).tolist() if found else []
        priced = tuple(
            Priced(
                piece(program, [nodes[number].name for number in sorted(kernel.calls)]),
                Estimate(time, by.spread, "roofline"),
            )
            for kernel, time in zip(found, times, strict=True)
        )
        whole = sum(times) + CALL_US / 1e3
        if not self.graphs:  # the host launches while the device computes
            whole = float(longer(whole, by.launch_us * len(found) / 1e3))
        return Prediction(whole, by.spread, priced, by.common)

    def predict(self, program: Program, engine: Engine) -> Cost:
        from fxopt.prices.energy import energy
        from fxopt.prices.memory import peak_bytes

        found = self.price(program, engine)
        low, high = (found.milliseconds * math.exp(sign * 2 * found.spread) for sign in (-1, 1))
        return Cost(
            latency_ms=Interval(found.milliseconds, low, high),
            size_bytes=program.weight_bytes,
            peak_bytes=peak_bytes(program, [item.piece.nodes for item in found.pieces], engine.memory),
            energy=energy([item.piece for item in found.pieces]),
            source="predicted",
        )

    @property
    def _device(self) -> Device:
        from fxopt_plugins.targets.gpu_times import devices

        return devices()[(_found() or "a100") if self.device == "auto" else self.device]


@lru_cache(1)
def _found() -> str | None:
    """The known device that is here; None without one."""
    files = [*Path("/proc/driver/nvidia/gpus").glob("*/information"), Path("/proc/device-tree/model")]
    return device_named(" ".join(file.read_text() for file in files if file.exists()))


def device_named(said: str) -> str | None:
    """The known device that a driver's text names; None if it is none of them."""
    from fxopt_plugins.targets.gpu_times import devices

    words = set(re.findall(r"[a-z0-9]+", said.lower().replace("rtx ", "rtx")))
    found = [name for name in devices() if set(name.split("_")) <= words]
    return max(found, key=len, default=None)  # a100_pcie is an a100 as well


@lru_cache(1)
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "onnxruntime", "onnxruntime-gpu", "tensorrt"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
