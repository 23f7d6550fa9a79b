"""`fxopt check`: does the artifact still keep, on this machine, what its ledger says?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxopt.compiler.datasets import Datasets, make_quality
from fxopt.compiler.load import engine_spec, load
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.optimize import load_program
from fxopt.compiler.progress import NULL, Progress, Timed
from fxopt.compiler.replay import planned
from fxopt.compiler.request import Request
from fxopt.compiler.stamp import Stamp
from fxopt.compiler.workshop import ARTIFACT_BOUND
from fxopt.contracts.engine import Artifact
from fxopt.errors import InputError, MetricError
from fxopt.measure import Plan, Variant, measure
from fxopt.registry import Registry
from fxopt.report.figures import drop as interval
from fxopt.report.read import read
from fxopt.verify.error import worst
from fxopt.verify.score import Scores


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

    Absolute times never fail a check: only the ratio does, where its new interval lies outside the ledger's. On another
    machine, or with another version of the engine, the calls are made again that the artifact was stamped with.

    Args:
        out: the output folder.
        progress: told what is going on.
        evaluation: data that quality is measured on; what the ledger names by default.

    Raises:
        InputError: OUT holds no finished model, or no baseline to measure against; or the data cannot be read.
    """
    registry = Registry.load()
    model = load(out, registry, recheck=False)  # finishes a publication cut short, and says in one line what is missing
    ledger = read(out)
    if not (out / "baseline" / Artifact.MANIFEST).exists():
        raise InputError(f"{out}: there is no baseline to measure against; optimize without --no-source")
    load(out / "baseline", registry, recheck=False)
    artifacts = {name: Artifact.read(out / name) for name in ("baseline", "model")}
    inputs = example_arrays(artifacts["model"])
    target = registry.make_target(ledger["target"])
    if ledger["result"].get("source") == "predicted" or not target.here:
        return _check_elsewhere(out, ledger, registry, evaluation, artifacts, inputs)
    variants = [Variant(n, engine_spec(a.stages[0].engine, a), a.path) for n, a in artifacts.items()]
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
    quality = None
    notes: list[str] = []
    error: float | None
    faithful, error = _outputs(comparison.outputs)
    if ledger["result"]["quality"] is not None:
        error = None
        with progress.phase("measure the quality"):
            faithful, quality = _quality(out, ledger, registry, evaluation, notes.append)
    checks = [
        Check(
            "latency",
            ratio.interval.low <= recorded["high"] * (1 + noise),
            f"{ratio.interval.estimate:.3f} of the baseline's ({ratio.interval.low:.3f} to {ratio.interval.high:.3f}); "
            f"the ledger says {recorded['estimate']:.3f} ({recorded['low']:.3f} to {recorded['high']:.3f})",
        ),
        _size(size, recorded_size),
        faithful,
    ]
    probe = None
    if (stamp := Stamp.read(out / "model")) is not None and (differences := stamp.differences(registry)):
        again = stamp.recheck(model.run)
        checks.append(Check("machine", again.ok, f"{', '.join(differences)}: {again.text}"))
        probe = again.error
    data = {"ratio": ratio.interval.to_json(), "recorded_ratio": recorded, "size_bytes": size}
    return CheckResult(tuple(checks), tuple(notes), {**data, "error": error, "quality": quality, "probe": probe})


def _check_elsewhere(
    out: Path,
    ledger: dict[str, Any],
    registry: Registry,
    evaluation: str | None,
    artifacts: Mapping[str, Artifact],
    inputs: Sequence[np.ndarray[Any, Any]],
) -> CheckResult:
    """What can be checked of a result whose latencies are of hardware that is not here: its size, and what it gives here."""
    source = ledger["result"].get("source", "measured")
    notes = [f"latency was {source} for {ledger['machine']['cpu']}, and is not checked here"]
    quality = None
    if ledger["result"]["quality"] is None:
        outputs = {name: load(out / name, registry, recheck=False).run(inputs) for name in artifacts}
        faithful, _ = _outputs(outputs)
    else:
        faithful, quality = _quality(out, ledger, registry, evaluation, notes.append)
    size = artifacts["model"].size_bytes()
    return CheckResult(
        (_size(size, ledger["result"]["size_bytes"]), faithful), tuple(notes), {"size_bytes": size, "quality": quality}
    )


def _size(size: int, recorded: int) -> Check:
    return Check("size", size <= recorded, f"{size} bytes; the ledger says {recorded}")


def _outputs(outputs: Mapping[str, list[np.ndarray[Any, Any]]]) -> tuple[Check, float]:
    """Whether the model gives what the baseline gives."""
    error = worst(_tensors(outputs["model"]), _tensors(outputs["baseline"]))
    text = f"differ from the baseline's by {error:.1e} (bound {ARTIFACT_BOUND:.0e})"
    return Check("outputs", error <= ARTIFACT_BOUND, text), error


def _quality(
    out: Path, ledger: dict[str, Any], registry: Registry, evaluation: str | None, note: Callable[[str], None]
) -> tuple[Check, dict[str, Any] | None]:
    """Whether the artifact is as good as the ledger says, and the figures.

    On the recorded data it has to keep the budget as it did; on others, all of which no search has seen, it must not
    be shown to break it. On either its drop must not be shown to lie above the ledger's interval.
    """
    recorded, lock = ledger["result"]["quality"], Lockfile.read(out)
    request = planned(Request(str(out / "source.pt2"), out, eval=evaluation), lock)
    program, _, _ = load_program(request, registry)
    listener = Timed(NULL)
    data = Datasets.read(request, program.interface, listener)
    if data.evaluation is None and recorded["data"] is not None:
        raise InputError(
            f"{out}: what its quality was judged on ({recorded['data']['path']}) is not here: give --eval DATA"
        )
    quality = make_quality(request, registry, program, data.evaluation)
    fresh = data.evaluation is not None and data.evaluation.digest != (recorded["data"] or {}).get("digest")
    if fresh:
        assert data.evaluation is not None
        quality = dataclasses.replace(quality, rest=Scores(quality.metric, data.evaluation, program.run))
        note("the evaluation data are others than the ledger's")
    for line in listener.notes:
        note(line)
    quality.begin()
    model = load(out, registry, recheck=False)
    try:
        drop = quality.report(lambda inputs: _tensors(model.run([value.numpy() for value in inputs])))
    except MetricError as error:
        return Check("quality", False, str(error)), None
    figures = quality.figures(drop)
    now, then = figures["drop"], recorded["report"]["drop"]
    fault = None if fresh else quality.fault(drop)
    if fault is None and None not in (now["low"], then["high"]) and now["low"] > then["high"]:
        fault = "it left the ledger's interval"
    if fault is None and fresh and now["low"] is not None and now["low"] > figures["limit"]:
        fault = f"it is worse than --max-drop {quality.budget} allows"
    text = (
        f"{recorded['metric']} worse by {interval(now)} {quality.rest.where}; the ledger says {interval(then)}"
        f" (--max-drop {quality.budget})"
    )
    return Check("quality", fault is None, f"{fault}: {text}" if fault else text), figures


def example_arrays(artifact: Artifact) -> list[np.ndarray[Any, Any]]:
    """Seeded inputs of the measured sizes, from the manifest alone; integers are 0 and 1, valid in any table."""
    interface = artifact.interface()
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
