"""What a kernel takes on a GPU: its start, and the longer of its memory traffic and its arithmetic.

A kernel's arithmetic runs at a share of the device's peak that depends on its kind, on how far its columns and terms fill the
tiles that tensor cores work on, and on whether there are tiles enough for all multiprocessors; its traffic at a share of the
bandwidth, or of the cache's where the cache holds it (Williams, Waterman and Patterson, "Roofline", CACM 2009; that the shares
have to be those of tiles and waves is the finding of Lee et al., "NeuSight", ASPLOS 2025). The shares are fitted to published
latencies of whole models by `benchmarks/bench_gpu.py`, which also states how far off models are that were not fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fxopt_plugins.targets.gpu_kernels import KINDS, TENSOR, Kernel

Array = NDArray[np.float64]

_SERIAL, _HUGE, _ATTENTION, _LINEAR = map(KINDS.index, ("serial", "depthwise_huge", "attention", "linear"))
DEVICES, COEFFICIENTS = (Path(__file__).with_name(f"gpu_{name}.json") for name in ("devices", "coefficients"))
_TILE = 64  # rows and columns of a product that a multiprocessor works on, where there are few
_DIVIDED = 512  # terms of two bytes that a block sums up at least, where a linear layer's sums are divided among blocks
_ATTENDED = 384  # rows of a head that are one block's in fused attention
_ITEM = {"int8": 1, "uint8": 1, "float32": 4, "tf32": 4}  # bytes, where they are not two
_TRIP_US = 0.3  # from a thread to memory and back: about 500 clocks, on the cards here
SHARPNESS = 4.0  # of the maximum: where traffic and arithmetic take as long, they disturb each other a little


@dataclass(frozen=True)
class Device:
    """A GPU as its data sheet has it.

    Attributes:
        label: as people call it.
        tflops: dense peak of tensor cores in 1e12 operations a second, by dtype; `"float32"`: without tensor cores.
        gbps: bandwidth of its memory, 1e9 bytes a second.
        l2_mb: its second-level cache, 1e6 bytes.
        sms: multiprocessors.
        memory_gb: its memory, 1e9 bytes.
        capability: NVIDIA's compute capability, like `8.6`.
        sustained: share of the clock, which the peaks are for, that is kept under load: less than 1 for cards of 70 W.
    """

    label: str
    tflops: Mapping[str, float]
    gbps: float
    l2_mb: float
    sms: int
    memory_gb: float
    capability: float
    sustained: float = 1.0

    def __hash__(self) -> int:
        return hash(self.label)


@dataclass(frozen=True)
class Coefficients:
    """What is fitted, for one way to run models.

    Attributes:
        compute: share of the peak that arithmetic reaches, by kind.
        memory: share of the bandwidth that traffic reaches, by kind.
        floor_us: what a kernel takes beside its work, in microseconds: its start, and the end of the one before.
        columns, terms: of a product so many fill half of the tiles; terms of two bytes.
        waves: as many tiles as this times the multiprocessors keep half of them busy.
        cache: how many times memory's bandwidth the cache reaches.
        spread: standard deviation of the logarithm of measured over predicted, of models of families that were not fitted.
        common: correlation of the errors of two builds of one model, as in `Prediction.common`.
        single: share of the peak that products in float32 reach, which run without tensor cores.
        launch_us: what the host takes to launch a kernel, where calls are not recorded as a graph.
    """

    compute: Mapping[str, float]
    memory: Mapping[str, float]
    floor_us: float
    columns: float
    terms: float
    waves: float
    cache: float = 3.0
    spread: float = 0.3
    common: float = 0.0
    single: float = 0.9
    launch_us: float = 5.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From a part of the data file."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Table:
    """Kernels as columns of numbers, an entry a kernel.

    Attributes:
        kind: number in `KINDS`.
        dtype: names.
        numbers: by name of a `Kernel`'s attribute.
    """

    kind: NDArray[np.int64]
    dtype: NDArray[np.str_]
    numbers: Mapping[str, Array]

    NUMBERS = ("flops", "read", "weights", "written", "rows", "columns", "terms", "groups")

    @classmethod
    def of(cls, kernels: Sequence[Kernel]) -> Self:
        """A table of kernels."""
        return cls(
            np.array([KINDS.index(kernel.kind) for kernel in kernels], dtype=np.int64),
            np.array([kernel.dtype for kernel in kernels], dtype=np.str_),
            {name: np.array([getattr(k, name) for k in kernels], dtype=np.float64) for name in cls.NUMBERS},
        )


def milliseconds(table: Table, device: Device, by: Coefficients) -> Array:
    """What each kernel takes."""
    return by.floor_us / 1e3 + longer(*parts(table, device, by))


def longer(one: Array | float, other: Array | float) -> Array:
    """The longer of two things that go on at once, like arithmetic and traffic, and a little more where they are alike."""
    return np.asarray((one**SHARPNESS + other**SHARPNESS) ** (1 / SHARPNESS))


def parts(table: Table, device: Device, by: Coefficients) -> tuple[Array, Array]:
    """Milliseconds of each kernel's arithmetic and of its traffic, were it alone."""
    arithmetic = table.numbers["flops"] * _padded(table) / (device.sustained * _peaks(table, device, by) * 1e9)
    compute, memory = (np.array([min(of[kind], 1.0) for kind in KINDS])[table.kind] for of in (by.compute, by.memory))
    single = (table.dtype == "float32") & (table.kind < len(TENSOR))
    arithmetic /= np.where(single, min(by.single, 1.0), compute) * _filled(table, device, by, single)
    arithmetic = np.where(table.kind == _SERIAL, table.numbers["flops"] * _TRIP_US / 1e3 / compute, arithmetic)
    return arithmetic, _traffic(table, device, by) / memory


def _peaks(table: Table, device: Device, by: Coefficients) -> Array:
    """1e12 operations a second: of tensor cores for what runs on them, of the others for what does not.

    Depthwise convolutions without a kernel of their own fill one column of a tile of tensor cores: theirs is a share of that peak.
    """
    half, whole = device.tflops["float16"], device.tflops["float32"]
    eight, rounded = device.tflops.get("int8", half), device.tflops.get("tf32", half / 2)
    tensor = {"float16": half, "bfloat16": half, "int8": eight, "uint8": eight, "float32": whole}  # TF32 rounds,
    tensor["tf32"] = rounded  # which is meant where it is named
    found = np.full(len(table.kind), whole)
    for dtype in np.unique(table.dtype):
        runs = (table.dtype == dtype) & (table.kind < len(TENSOR))
        found[runs] = tensor.get(str(dtype), whole)
    return np.where(table.kind == _HUGE, half, found)  # a share of it, in whatever dtype


def _filled(table: Table, device: Device, by: Coefficients, single: NDArray[np.bool_]) -> Array:
    """Share of the multiprocessors' tiles that a product keeps busy; 1 for what is none.

    Columns and terms are few only for tensor cores, which are too fast to be fed. Terms count by their bytes, as what is waited
    for is memory: integers halve the bytes as they halve the arithmetic.
    """
    rows, columns, terms, groups = (np.maximum(table.numbers[n], 1) for n in ("rows", "columns", "terms", "groups"))
    terms *= np.array([_ITEM.get(str(dtype), 2) for dtype in table.dtype]) / 2
    tiles = _tiles(table.kind, rows, columns, terms, groups)
    fed = np.where(single, 1.0, columns / (columns + by.columns) * terms / (terms + by.terms))
    found = fed * tiles / (tiles + by.waves * device.sms)
    return np.where((table.numbers["rows"] > 0) & (table.kind < len(TENSOR)), found, 1.0)


def _padded(table: Table) -> Array:
    """How many times more fused attention computes than is asked for, as it works on whole tiles of a head."""
    found = np.ones(len(table.kind))
    for side in ("rows", "columns"):
        size = np.maximum(table.numbers[side], 1)
        found *= np.ceil(size / _TILE) * _TILE / size
    return np.where(table.kind == _ATTENTION, found, 1.0)


def _tiles(kind: NDArray[np.int64], rows: Array, columns: Array, terms: Array, groups: Array) -> Array:
    """Parts of products that multiprocessors can work on at once.

    Libraries divide long sums of linear layers among blocks ("split-K"), those of convolutions they do not. Fused attention walks
    through all columns in one block: TensorRT's does that for a whole head, up to 384 rows.
    """
    found = np.ceil(rows / _TILE) * np.ceil(columns / _TILE) * groups
    found = np.where(kind == _LINEAR, found * np.maximum(terms / _DIVIDED, 1), found)
    return np.where(kind == _ATTENTION, np.ceil(rows / _ATTENDED) * groups, found)


def _traffic(table: Table, device: Device, by: Coefficients) -> Array:
    """Milliseconds that reading and writing takes at the full bandwidth, of memory or of the cache."""
    read, weights, written = (table.numbers[name] for name in ("read", "weights", "written"))
    held = device.l2_mb * 1e6
    everything = float(weights.sum())  # of a call, until each weight is read again
    moved = read + written
    of_cache = np.where(moved <= held / 2, moved / by.cache, moved)
    again = weights / by.cache if everything <= held / 2 else weights
    return np.asarray((of_cache + again) / (device.gbps * 1e6))


@lru_cache(1)
def devices() -> dict[str, Device]:
    """The known devices, by name."""
    return {name: Device(**data) for name, data in json.loads(DEVICES.read_text()).items()}


@lru_cache(1)
def coefficients() -> dict[str, Coefficients]:
    """What was fitted, by the way to run models."""
    return {name: Coefficients.from_json(data) for name, data in json.loads(COEFFICIENTS.read_text())["fits"].items()}
