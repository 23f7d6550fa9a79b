"""Where an artifact was checked, and a probe that tells on another machine whether it still gives the same there.

Integer kernels for CPUs without an instruction that adds products of 8 bits in 32 bits saturate (`fxopt.verify.saturation`), and
nothing tells. So an artifact carries a few calls with the outputs that it gave where it was checked.

Their inputs are made up, and larger from call to call: a Q clips what is beyond its range, so large inputs drive integers
to the ends of their ranges, where sums are largest, and need none of the user's data. On convolutional nets of 3 to 17
layers, with weights of 8 bits, OpenVINO limited to AVX2 moved outputs by 2% to 90% of the largest that way, by as little as
0.2% with inputs of the usual size, and with weights of 7 bits by nothing at all.

What else may differ is rounding: another version may fuse otherwise, and then rounds elsewhere. How much that moves outputs is
known from the machine at hand: by as much as the artifact's differ from those of its Program in PyTorch, which computes on the
same integers and rounds otherwise. The bound is twice that, and at least one step of 8 bits.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fxopt.compiler.lockfile import version
from fxopt.compiler.output import read_json, write_json
from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError, InputError

if TYPE_CHECKING:
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.registry import Registry
    from fxopt.verify.score import Run

    Arrays = Sequence[np.ndarray[Any, Any]]

VERSION = 1
SCALES = (1.0, 4.0, 16.0)  # of the inputs, call by call
STEP = 1 / 255
_GRID, _KEPT = 32, 4096  # floats of inputs are multiples of 1/32, a byte each; so many numbers of an output are kept


@dataclass(frozen=True)
class Finding:
    """What the probe gave here: how far outputs are from those that were checked, and what says so in words.

    Attributes:
        ok: whether they are within the bound.
        error: relative to the largest output, of the call that is furthest beyond its bound; None where the call failed.
        text: a clause.
    """

    ok: bool
    error: float | None
    text: str


@dataclass(frozen=True)
class Stamp:
    """The stamp of the artifact in `folder`: `checked.json`, and the probe's arrays in `checked.npz`."""

    folder: Path
    data: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Stamp | None:
        """The stamp of an artifact; None where it has none.

        Raises:
            InputError: it is damaged, or of another version.
        """
        file = folder / Artifact.CHECKED[0]
        if not file.exists():
            return None
        data = read_json(file, VERSION, "")
        forms = {"target": str, "cpu": str, "isa": list, "engines": dict, "bounds": list}
        for key, form in forms.items():
            if not isinstance(data.get(key), form):
                raise InputError(f"{file}: damaged ({key} is missing or wrong); optimize the model again")
        return cls(folder, data)

    def differences(self, registry: Registry) -> list[str]:
        """What is not as it was where the artifact was checked, in words: instruction sets, versions of the engines."""
        found = []
        try:
            target = registry.make_target(self.data["target"])
        except InputError as error:
            found.append(f"the machine cannot be told ({error})")
        else:
            here, there = set(target.machine().isa), set(self.data["isa"])
            if target.here != self.data.get("here", True):  # what it gave was computed by other hardware
                now = "is here, and was not where it was checked" if target.here else "is not here"
                found.append(f"{target.machine().cpu} {now}")
            if there - here:
                found.append(f"this machine has no {', '.join(sorted(there - here))}")
            if here - there:
                found.append(f"this machine has {', '.join(sorted(here - there))} besides")
        for spec, was in self.data["engines"].items():
            engine = registry.make_engine(spec)
            if (now := version(engine)) != was:
                found.append(f"{engine.name} is {now}, and was {was}")
        return found

    def recheck(self, run: Callable[[Arrays], Arrays]) -> Finding:
        """Call the artifact on the probe, and compare with what it gave where it was checked.

        Args:
            run: flat inputs to flat outputs.

        Raises:
            InputError: the stamp is damaged.
        """
        file = self.folder / Artifact.CHECKED[1]
        try:
            inputs, outputs = self._arrays(file)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as fault:
            raise InputError(f"{file}: damaged ({fault}); optimize the model again") from fault
        if not outputs:
            return Finding(False, None, "it has no probe that could be called here")
        errors, bounds = [], [float(bound) for _, bound in self.data["bounds"]]
        for values, expected in zip(inputs, outputs, strict=True):
            try:
                errors.append(_error(run(values), expected))
            except Exception as fault:  # noqa: BLE001 - an engine of others may raise anything
                return Finding(False, None, f"it FAILS here ({type(fault).__name__}: {' '.join(str(fault).split())})")
        worst = max(range(len(errors)), key=lambda index: errors[index] / bounds[index])
        error, bound, ok = errors[worst], bounds[worst], errors[worst] <= bounds[worst]
        what = "gives on made-up inputs what it gave there" if ok else "gives OTHER OUTPUTS here on the same inputs"
        return Finding(ok, error, f"it {what} (off by {error:.1e} of the largest, bound {bound:.1e})")

    def _arrays(self, file: Path) -> tuple[list[Arrays], list[Arrays]]:
        """The probe's inputs and outputs, call by call."""
        interface = Artifact.read(self.folder).interface()
        with np.load(file, allow_pickle=False) as arrays:
            stored = [arrays[f"input.{index}"] for index in range(len(interface.inputs))]
            outputs: list[Arrays] = [
                [arrays[f"output.{call}.{index}"] for index in range(len(interface.outputs))]
                for call in range(len(self.data["bounds"]))
            ]
        dtypes = [item.dtype for item in interface.inputs]
        return [_inputs(stored, dtypes, float(scale)) for scale, _ in self.data["bounds"]], outputs


def write(
    folder: Path,
    target: Target,
    engines: Mapping[str, str],
    inputs: Arrays,
    run: Run,
    program: Program,
    unlike: bool,
) -> None:
    """Stamp the artifact in `folder` with the machine at hand.

    Args:
        folder: of the artifact.
        target: names the machine.
        engines: versions of the artifact's engines by spec.
        inputs: made-up flat inputs of the measured sizes.
        run: the artifact.
        program: what it was emitted from.
        unlike: its engine rounds what `program` does not: then it is the rounding itself that the
            bound comes from, on inputs of the usual size, where nothing is clipped.
    """
    import torch

    stored = [np.rint(v * _GRID).clip(-127, 127).astype(np.int8) if v.dtype.kind == "f" else v for v in inputs]
    arrays: dict[str, np.ndarray[Any, Any]] = {f"input.{index}": value for index, value in enumerate(stored)}
    bounds: list[tuple[float, float]] = []
    rounding = math.inf
    for scale in SCALES:
        values = [torch.from_numpy(v) for v in _inputs(stored, [str(v.dtype) for v in inputs], scale)]
        try:
            found = [_some(value.numpy()) for value in run(values)]
        except EngineError:
            continue  # nobody calls it on such inputs
        if not unlike:
            rounding = 2 * _error(found, [_some(value.detach().numpy()) for value in program.run(values)])
        elif scale == SCALES[0]:
            rounding = _error(found, [_some(value.detach().numpy()) for value in program.run(values)])
        if math.isfinite(rounding):
            arrays |= {f"output.{len(bounds)}.{index}": value for index, value in enumerate(found)}
            bounds.append((scale, max(STEP, rounding)))
    machine = target.machine()
    data = {
        "version": VERSION,
        "target": target.spec(),
        "cpu": machine.cpu,
        "isa": list(machine.isa),
        "here": target.here,
        "engines": dict(engines),
        "bounds": bounds,
    }
    np.savez_compressed(folder / Artifact.CHECKED[1], allow_pickle=False, **arrays)
    write_json(folder / Artifact.CHECKED[0], data)


def _inputs(stored: Arrays, dtypes: Sequence[str], scale: float) -> list[np.ndarray[Any, Any]]:
    """The inputs of one call, from the numbers that are kept."""
    return [
        (value.astype(np.float32) * np.float32(scale / _GRID)).astype(dtype) if dtype.startswith("float") else value
        for value, dtype in zip(stored, dtypes, strict=True)
    ]


def _some(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """At most `_KEPT` numbers of an output, spread evenly over it."""
    return value.reshape(-1)[:: -(-value.size // _KEPT) or 1]


def _error(found: Arrays, expected: Arrays) -> float:
    """The relative error of outputs, those found being whole or reduced already."""
    import torch

    from fxopt.verify.error import worst

    return worst([torch.from_numpy(np.array(_some(f))) for f in found], [torch.from_numpy(e) for e in expected])
