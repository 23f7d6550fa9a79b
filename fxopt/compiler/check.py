"""`fxopt check`: does the artifact still keep, on this machine, what its ledger says?"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxopt.compiler.load import engine_spec, load
from fxopt.compiler.optimize import load_program
from fxopt.compiler.progress import NULL, Progress
from fxopt.compiler.request import Request
from fxopt.compiler.workshop import ARTIFACT_BOUND
from fxopt.contracts.engine import Artifact
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.ir.interface import Interface
from fxopt.measure import Plan, Variant, measure
from fxopt.registry import Registry
from fxopt.report.read import read
from fxopt.verify.error import worst
from fxopt.verify.quality import Quality


@dataclass(frozen=True)
class Check:
    """One thing that the ledger promises: its name, whether it is kept here, and the figures in words."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class CheckResult:
    """What `fxopt check` found.

    Attributes:
        checks: one for each promise.
        notes: lines for people beside them.
        data: the figures for programs.
    """

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything is within the ledger's intervals."""
        return all(check.ok for check in self.checks)

    @property
    def lines(self) -> list[str]:
        """One line a check, then the notes."""
        checks = [f"{check.name}: {'ok' if check.ok else 'FAILED'}: {check.text}" for check in self.checks]
        return [*checks, *(f"note: {note}" for note in self.notes)]


def check(out: Path, progress: Progress = NULL, evaluation: str | None = None) -> CheckResult:
    """Measure the artifact against the stored baseline again, interleaved, and compare size and quality.

    Absolute times never fail a check: only the ratio does, where its new interval lies outside the ledger's.

    Args:
        out: the output folder.
        progress: told what is going on.
        evaluation: data that quality is measured on; what the ledger names by default.

    Raises:
        InputError: OUT holds no finished model, or no baseline to measure against; or the data cannot be read.
    """
    registry = Registry.load()
    load(out, registry)  # finishes a publication that was cut short, and says in one line what is missing here
    ledger = read(out)
    if not (out / "baseline" / Artifact.MANIFEST).exists():
        raise InputError(f"{out}: there is no baseline to measure against; optimize without --no-source")
    load(out / "baseline", registry)
    artifacts = {name: Artifact.read(out / name) for name in ("baseline", "model")}
    variants = [Variant(n, engine_spec(a.stages[0].engine, a), a.path) for n, a in artifacts.items()]
    inputs = example_arrays(artifacts["model"])
    with progress.phase("measure the model against its baseline", 80):
        done = 0

        def tell(now: int, total: int) -> None:
            nonlocal done
            for _ in range(done, now):
                progress.advance()
            done = now

        comparison = measure(variants, inputs, plan=Plan(), progress=tell)
    if "model" in comparison.failures:
        failed = Check("model", False, comparison.failures["model"])
        return CheckResult((failed,), data={"failures": dict(comparison.failures)})
    ratio = comparison.timings["model"].ratio
    assert ratio is not None
    recorded = ledger["result"]["ratio"] or {"estimate": 1.0, "low": 1.0, "high": 1.0}
    floor = comparison.floor.interval
    noise = max(abs(floor.low - 1), abs(floor.high - 1))
    size, recorded_size = artifacts["model"].size_bytes(), ledger["result"]["size_bytes"]
    if ledger["result"]["quality"] is None:
        found, expected = (_tensors(comparison.outputs[name]) for name in ("model", "baseline"))
        error = worst(found, expected)
        text = f"differ from the baseline's by {error:.1e} (bound {ARTIFACT_BOUND:.0e})"
        faithful = Check("outputs", error <= ARTIFACT_BOUND, text)
    else:
        with progress.phase("measure the quality"):
            faithful, error = _quality(out, ledger, registry, evaluation)
    checks = (
        Check(
            "latency",
            ratio.interval.low <= recorded["high"] * (1 + noise),
            f"{ratio.interval.estimate:.3f} of the baseline's ({ratio.interval.low:.3f} to {ratio.interval.high:.3f}); "
            f"the ledger says {recorded['estimate']:.3f} ({recorded['low']:.3f} to {recorded['high']:.3f})",
        ),
        Check("size", size <= recorded_size, f"{size} bytes; the ledger says {recorded_size}"),
        faithful,
    )
    same = tuple(ledger["machine"]["isa"]) == tuple(registry.make_target(ledger["target"]).machine().isa)
    notes = () if same else ("the ledger was written on a machine with another instruction set",)
    data = {"ratio": ratio.interval.to_json(), "recorded_ratio": recorded, "size_bytes": size, "error": error}
    return CheckResult(checks, notes, data)


def _quality(out: Path, ledger: dict[str, Any], registry: Registry, evaluation: str | None) -> tuple[Check, float]:
    """Whether the artifact's outputs are as near to the unmodified Program's as was allowed, and how near they are."""
    recorded = ledger["result"]["quality"]
    plan = json.loads((out / "plan.json").read_text())
    program, _, _ = load_program(Request(str(out / "source.pt2"), out, inputs=tuple(plan["inputs"])), registry)
    path = evaluation or (recorded["data"] or {}).get("path")
    quality = Quality(program, recorded["limit"], None if path is None else Data.read(path, program.interface, "eval"))
    model = load(out, registry)
    error = quality.error(lambda inputs: _tensors(model.run([value.numpy() for value in inputs])))
    # The limit is on the Program; its artifact may round otherwise, by as much as the ledger says.
    fault = quality.fault(error, slack=2 * (ledger["checks"]["artifact_error"] or 0.0))
    return Check(
        "quality", fault is None, fault or f"error {error:.1e} {quality.where} (limit {quality.limit:g})"
    ), error


def example_arrays(artifact: Artifact) -> list[np.ndarray[Any, Any]]:
    """Seeded inputs of the measured sizes, from the manifest alone; integers are 0 and 1, valid in any table."""
    interface = Interface.from_json(json.loads((artifact.path / Artifact.MANIFEST).read_text())["interface"])
    random = np.random.default_rng(0)
    arrays = []
    for item, shape in zip(interface.inputs, interface.measured_shapes(), strict=True):
        if item.dtype.startswith(("float", "bfloat")):
            arrays.append(random.standard_normal(shape).astype(item.dtype))
        else:
            arrays.append(random.integers(0, 2, shape).astype(item.dtype))
    return arrays


def _tensors(arrays: list[np.ndarray[Any, Any]]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)) for array in arrays]
