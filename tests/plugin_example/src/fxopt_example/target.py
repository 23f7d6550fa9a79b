"""A target: this CPU, priced by two figures that its owner has measured."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fxopt import Cost, Engine, Interval, Program, Target, hookimpl
from fxopt.contracts.target import Capabilities, Machine

ISA = ("avx2", "fma", "avx512f", "avx512_vnni", "asimd", "asimddp")
PACKAGES = ("torch", "ncnn", "pnnx", "onnxruntime", "openvino")
SPREAD = 4.0  # between prediction and measurement, either way


@dataclass(frozen=True)
class RatedCpu(Target):
    """The CPU at hand, by a roofline: each call takes the longer of its arithmetic and its memory traffic."""

    name: ClassVar[str] = "rated_cpu"
    engines: ClassVar[tuple[str, ...]] = ("ncnn", "onnxruntime", "openvino", "inductor", "eager")

    gflops: float = field(default=40.0, metadata={"help": "float32 operations that one core does, in 1e9 a second"})
    bandwidth: float = field(default=20.0, metadata={"help": "memory traffic of all cores, in 1e9 bytes a second"})

    def machine(self) -> Machine:
        """What figures are stamped with. Plans are rebuilt, and checked anew, where it is another."""
        facts = dict(map(str.strip, line.split(":", 1)) for line in _lines("/proc/cpuinfo") if ":" in line)
        flags = facts.get("flags") or facts.get("Features") or ""
        return Machine(
            cpu=facts.get("model name") or platform.machine(),
            isa=tuple(name for name in ISA if name in flags.split()),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            versions={"python": platform.python_version(), **_versions()},
        )

    def capabilities(self) -> Capabilities:
        """What passes may rely on."""
        return Capabilities(frozenset({"float32"}), self.machine().isa, channel_grid=8)

    def predict(self, program: Program, engine: Engine) -> Cost:
        """The price of a program without building it."""
        from fxopt.ir.work import node_bytes, node_flops
        from fxopt.prices.memory import peak_bytes

        cores = self.machine().cores
        speed = self.gflops * 1e9 * min(engine.threads or cores, cores)
        milliseconds = 1e3 * sum(
            max(node_flops(program, node) / speed, node_bytes(program, node) / (self.bandwidth * 1e9))
            for node in program.calls
        )
        return Cost(
            latency_ms=Interval(milliseconds, milliseconds / SPREAD, milliseconds * SPREAD),
            size_bytes=program.weight_bytes,
            peak_bytes=peak_bytes(program),
            source="predicted",
        )


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@hookimpl
def fxopt_targets() -> list[type[Target]]:
    """The targets of this module."""
    return [RatedCpu]
