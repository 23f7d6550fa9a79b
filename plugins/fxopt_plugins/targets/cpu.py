"""The CPU that fxopt runs on."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.cost import Cost, Interval
from fxopt.contracts.target import Capabilities, Machine, Probe, Target
from fxopt_plugins.cpuinfo import cpuinfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fxopt.contracts.engine import Engine
    from fxopt.contracts.price import Prediction
    from fxopt.ir.program import Program
    from fxopt.prices import Place
    from fxopt.prices.estimate import Roofline
    from fxopt.prices.predict import Predictor

# Instruction sets that engines choose kernels by, as Linux names them on x86 and on Arm.
_ISA = (
    *("sse4_2", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)
_FLOPS_PER_CYCLE = {"avx512f": 32, "avx2": 32, "asimd": 16}  # float32, one core; the least that such cores do
_BYTES_PER_SECOND = 20e9  # all cores together, from memory
_EFFICIENCY = 0.6  # of the peak that dense kernels reach
_SECONDS_PER_NODE = {"eager": 10e-6}  # what starting a kernel costs
_SPREAD = 4.0  # between prediction and measurement, either way, by the roofline alone
_ENOUGH = 30  # pieces that are known of an engine before prices rest on them
# How many times float32's peak other dtypes reach, by what the CPU has.
_FASTER = {
    "bfloat16": (("amx_bf16", 16.0), ("avx512_bf16", 2.0)),
    **dict.fromkeys(("uint8", "int8"), (("amx_int8", 32.0), ("avx512_vnni", 4.0), ("avx_vnni", 4.0), ("avx2", 2.0))),
}


@dataclass(frozen=True)
class Cpu(Target):
    """Prices by what the kernel table knows of the machine; without, by a roofline alone.

    The roofline: each node takes the longer of its arithmetic and its memory traffic.
    """

    name: ClassVar[str] = "cpu"
    engines: ClassVar[tuple[str, ...]] = ("onnxruntime", "openvino", "inductor", "eager")

    def machine(self) -> Machine:
        import psutil

        info = cpuinfo()
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

    def probes(self) -> Iterable[Probe]:
        from fxopt_plugins.targets.probes import probes

        return probes()

    def refresh(self) -> None:
        _predictor.cache_clear()

    def price(self, program: Program, engine: Engine) -> Prediction | None:
        from fxopt.prices import Place

        predictor = _predictor(self, Place.of(engine, self.machine()))
        return predictor.predict(program) if predictor.known >= _ENOUGH else None

    def predict(self, program: Program, engine: Engine) -> Cost:
        from fxopt.prices.energy import calls_apart, energy
        from fxopt.prices.memory import peak_bytes

        found = self.price(program, engine)
        milliseconds = self.by_roofline(program, engine) if found is None else found.milliseconds
        factor = _SPREAD if found is None else math.exp(2 * found.spread)
        # Of activations only those count that the engine writes, as far as it is known which calls it runs together.
        together = () if found is None else [item.piece.nodes for item in found.pieces]
        return Cost(
            latency_ms=Interval(milliseconds, milliseconds / factor, milliseconds * factor),
            size_bytes=program.weight_bytes,
            peak_bytes=peak_bytes(program, together, engine.memory),
            energy=energy(calls_apart(program) if found is None else [item.piece for item in found.pieces]),
            source="predicted",
        )

    def roofline(self, place: Place) -> Roofline:
        """The most that the CPU does by its clock and its instruction sets."""
        from fxopt.prices.estimate import Roofline

        per_cycle = max((rate for flag, rate in _FLOPS_PER_CYCLE.items() if flag in place.isa), default=4)
        peak = place.threads * per_cycle * float(cpuinfo()["ghz"]) * 1e9
        faster = {
            dtype: next((rate for flag, rate in rates if flag in place.isa), 1.0) for dtype, rates in _FASTER.items()
        }
        return Roofline({"float32": peak, **{dtype: peak * rate for dtype, rate in faster.items()}}, _BYTES_PER_SECOND)

    def by_roofline(self, program: Program, engine: Engine) -> float:
        """Milliseconds where nothing is known but the CPU."""
        from fxopt.ir.work import node_bytes, node_flops
        from fxopt.prices import Place

        most = self.roofline(Place.of(engine, self.machine()))
        speed, start = _EFFICIENCY * most.flops["float32"], _SECONDS_PER_NODE.get(engine.name, most.start_s)
        seconds = sum(
            start + max(node_flops(program, node) / speed, node_bytes(program, node) / most.bytes)
            for node in program.calls
        )
        return seconds * 1000


@lru_cache
def _predictor(target: Cpu, place: Place) -> Predictor:
    """What the table knows of a place when it is first asked: a price stays the same while a run lasts."""
    from fxopt.prices import KernelTable
    from fxopt.prices.predict import Predictor

    table = KernelTable()
    try:
        return Predictor(table, place, target.roofline(place))
    finally:
        table.close()


@lru_cache(1)
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "onnxruntime", "openvino"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
