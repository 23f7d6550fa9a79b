"""The CPU that fxopt runs on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.cost import Cost, Interval
from fxopt.contracts.target import Capabilities, Machine, Target

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program

# Instruction sets that engines choose kernels by, as Linux names them on x86 and on Arm.
_ISA = (
    *("sse4_2", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)
_FLOPS_PER_CYCLE = {"avx512f": 32, "avx2": 32, "asimd": 16}  # float32, one core; the least that such cores do
_NOMINAL_GHZ = 2.5
_BYTES_PER_SECOND = 20e9  # all cores together, from memory
_EFFICIENCY = 0.6  # of the peak that dense kernels reach
_SECONDS_PER_NODE = {"eager": 10e-6}  # what starting a kernel costs
_SPREAD = 4.0  # between prediction and measurement, either way


@dataclass(frozen=True)
class Cpu(Target):
    """Prices by a roofline: each node takes the longer of its arithmetic and its memory traffic."""

    name: ClassVar[str] = "cpu"
    engines: ClassVar[tuple[str, ...]] = ("onnxruntime", "openvino", "inductor", "eager")

    def machine(self) -> Machine:
        import psutil

        info = _cpuinfo()
        return Machine(
            cpu=info["model"],
            isa=tuple(flag for flag in _ISA if flag in info["flags"].split()),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=psutil.virtual_memory().total,
            versions=dict(_installed()),
        )

    def capabilities(self) -> Capabilities:
        isa = self.machine().isa
        dtypes = {"float32", "float64", "int8", "uint8"}
        if {"avx512_bf16", "amx_bf16", "bf16"} & set(isa):
            dtypes.add("bfloat16")
        if {"avx512_fp16", "asimdhp"} & set(isa):
            dtypes.add("float16")
        return Capabilities(frozenset(dtypes), isa, channel_grid=16 if "avx512f" in isa else 8)

    def predict(self, program: Program, engine: Engine) -> Cost:
        from fxopt.ir.work import node_bytes, node_flops, peak_bytes

        machine = self.machine()
        threads = min(engine.threads or machine.cores, machine.cores)
        per_cycle = next((rate for flag, rate in _FLOPS_PER_CYCLE.items() if flag in machine.isa), 4)
        speed = _EFFICIENCY * threads * per_cycle * float(_cpuinfo()["ghz"]) * 1e9
        start = _SECONDS_PER_NODE.get(engine.name, 1e-6)
        seconds = sum(
            start + max(node_flops(program, node) / speed, node_bytes(program, node) / _BYTES_PER_SECOND)
            for node in program.calls
        )
        milliseconds = seconds * 1000
        return Cost(
            latency_ms=Interval(milliseconds, milliseconds / _SPREAD, milliseconds * _SPREAD),
            size_bytes=program.weight_bytes,
            peak_bytes=peak_bytes(program),
            source="predicted",
        )


@lru_cache(1)
def _cpuinfo() -> dict[str, str]:
    """Model name, flags, and the nominal clock in GHz of the first core."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    # The clock in cpuinfo moves; the rate of the time-stamp counter, half of the BogoMIPS on x86, does not.
    nominal = re.search(r"^bogomips\s*: ([\d.]+)", text, re.MULTILINE)
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": fields.get("flags") or fields.get("Features") or "",
        "ghz": str(float(nominal[1]) / 2000 if nominal else _NOMINAL_GHZ),
    }


@lru_cache(1)
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "onnxruntime", "openvino"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
