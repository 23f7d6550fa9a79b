"""Checks of engines: what is emitted and loaded computes what the Program computes, or is refused before emission."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fxopt.compiler.workshop import ARTIFACT_BOUND
from fxopt.contracts.engine import Artifact, Engine, FlatCallable, Unsupported
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.measure.host import bind
from fxopt.testing.apart import Apart, import_path
from fxopt.testing.cases import Fault, case, parameters
from fxopt.testing.options import is_documented, options_round_trip
from fxopt.testing.record import changed, copied
from fxopt.testing.specimen import ProgramLike
from fxopt.testing.zoo import ZOO
from fxopt.user_code import raised
from fxopt.verify.error import relative_error

ULPS = 8  # of the coarsest dtype, that an engine may be off where that is more than `ARTIFACT_BOUND`


def engine_checks(
    *engines: Engine,
    programs: Mapping[str, ProgramLike] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Any]:
    """Make test cases of engines, as the values of `check` in a parametrised test that calls `check()`.

    Engines run in a process beside the tests, so that one that crashes or hangs fails its check and no more. Cases of an
    engine that is not available are skipped, but for those that need none.

    Args:
        engines: what is checked. The class must stand at the top of a module that can be imported.
        programs: what is emitted, by name, beside the zoo.
        expected_failures: why a case fails, by its id; it must then fail.

    Raises:
        ValueError: an expected failure names no case, or a class cannot be imported.
    """
    everywhere: dict[str, ProgramLike] = {**ZOO, **(programs or {})}
    cases = []
    for engine in engines:
        name = engine.spec()
        cases += [case(c, name, engine) for c in ALONE]
        apart = [Apart(check, import_path(engine), FIRST) for check in CHECKS]
        cases += [case(c, name, engine, item, program=where) for where, item in everywhere.items() for c in apart]
    return parameters(cases, expected_failures or {})


class Loaded(NamedTuple):
    """What `emit` returned, what its manifest says, and the callable loaded from that."""

    made: Artifact
    artifact: Artifact
    call: FlatCallable


class Emission:
    """An engine's artifact of a program, made once and looked at by all checks."""

    def __init__(self, engine: Engine, program: Program) -> None:
        self.engine, self.original, self.program = engine, program, copied(program)
        self._folder = tempfile.TemporaryDirectory(prefix="fxopt-kit-")
        self.path = Path(self._folder.name)

    @classmethod
    def of(cls, engine: Engine, program: Program) -> Emission:
        """The one emission of this program by this engine."""
        emission: Emission = program.memo((cls, engine), lambda p: cls(engine, p))
        return emission

    @cached_property
    def refused(self) -> list[Unsupported]:
        """What the engine says that it cannot run."""
        return list(self.engine.unsupported(self.program))

    @cached_property
    def outcome(self) -> Loaded | Exception:
        """What was loaded, or what emitting or loading raised."""
        try:
            made = self.engine.emit(self.program, self.path)
            artifact = Artifact.read(self.path)
            return Loaded(made, artifact, bind(self.engine, artifact))
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is what the checks are about
            return error

    @property
    def loaded(self) -> Loaded | None:
        """What was loaded; None where it was refused, or failed, which one check tells."""
        return None if self.refused or isinstance(self.outcome, Exception) else self.outcome

    @property
    def bound(self) -> float:
        """The relative error that outputs may have."""
        dtypes = [v.dtype for node in self.program.nodes if isinstance(v := node.meta.get("val"), torch.Tensor)]
        coarsest = max((torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point), default=0.0)
        return max(ARTIFACT_BOUND, ULPS * coarsest)


def availability_is_told(engine: Engine) -> None:
    """An engine says in one line what is missing, or else its version."""
    missing = engine.available()
    if missing is not None and (not missing.strip() or "\n" in missing):
        raise Fault(f"what is missing is not one line: {missing!r}")
    if missing is None and not engine.version():
        raise Fault("it is available and has no version")


def failing_calls_are_reported_before_emission(engine: Engine, program: Program) -> None:
    """Whatever emission or loading would fail on is named by `unsupported`, with a reason; nothing else raises."""
    emission = Emission.of(engine, program)
    for item in emission.refused:
        if item.node not in program:
            raise Fault(f"it does not support {item.node!r}, which is no node")
        if not item.reason.strip():
            raise Fault(f"it does not support {item.node} and gives no reason")
    if not emission.refused and isinstance(emission.outcome, Exception):
        raise Fault(f"nothing was unsupported, and then emitting or loading raised {raised(emission.outcome)}")


def outputs_are_those_of_the_program(engine: Engine, program: Program) -> None:
    """What is loaded gives the Program's outputs, in number, shape, dtype and value."""
    emission = Emission.of(engine, program)
    for seed in (0, 1):
        _compare(emission, sample_inputs(program, seed=seed), "")


def other_sizes_are_taken(engine: Engine, program: Program) -> None:
    """At other sizes of dynamic dimensions the outputs are still those of the Program."""
    emission, dims = Emission.of(engine, program), program.interface.dims
    for more in (0, 2) if dims else ():
        sizes = {dim.name: dim.min + more for dim in dims}
        where = "with " + ", ".join(f"{name}={size}" for name, size in sizes.items()) + " "
        _compare(emission, sample_inputs(program, sizes=sizes), where)


def artifact_is_complete(engine: Engine, program: Program) -> None:
    """The manifest reads back to what `emit` returned, and names the engine, files, inputs and outputs."""
    emission = Emission.of(engine, program)
    if emission.loaded is None:
        return
    made, artifact, _ = emission.loaded
    if made != artifact:
        raise Fault("the manifest reads back as another artifact than emit returned")
    for stage in artifact.stages:
        if stage.engine != engine.name:
            raise Fault(f"a stage says that its engine is {stage.engine!r}")
        if not (artifact.path / stage.file).exists():
            raise Fault(f"a stage runs {stage.file!r}, which is not there")
    if len(artifact.stages) == 1:
        (stage,) = artifact.stages
        given = list(stage.inputs), list(stage.outputs)
        if given != ([item.name for item in program.interface.inputs], list(program.interface.outputs)):
            raise Fault(f"inputs and outputs are {given}, not those of the program")
    if not artifact.size_bytes():
        raise Fault("the artifact is empty")


def tunings_change_no_results(engine: Engine, program: Program) -> None:
    """Under each tuning an artifact can be loaded; but for lossy ones it gives what it gives under its own options."""
    emission = Emission.of(engine, program)
    if emission.loaded is None:
        return
    told = emission.loaded.artifact.options
    options = {field.name for field in dataclasses.fields(engine)}
    for changes in engine.tunings(told, {"float32", "bfloat16", "float16", "int8", "uint8"}):
        if unknown := changes.keys() - (told.keys() & options):
            raise Fault(f"the tuning {dict(changes)} has what are no options of engine and artifact: {sorted(unknown)}")
        with tempfile.TemporaryDirectory(prefix="fxopt-kit-") as folder:
            path = Path(folder) / "model"
            shutil.copytree(emission.path, path)
            Artifact.change(path, changes)
            try:
                call = bind(engine, Artifact.read(path))
            except Exception as error:
                raise Fault(f"under {dict(changes)} loading raised {raised(error)}") from error
            if changes.keys().isdisjoint(engine.lossy_options):
                _compare(emission, sample_inputs(program), f"under {dict(changes)} ", call)


def emitting_changes_nothing(engine: Engine, program: Program) -> None:
    """The Program is the same after it was looked at, emitted and loaded."""
    emission = Emission.of(engine, program)
    if emission.loaded is not None:
        fault = changed(emission.program, program)
        if fault:
            raise Fault(f"emission changed the program: {fault}")


def calls_stay_apart(engine: Engine, program: Program) -> None:
    """A call writes into none of its inputs, and its outputs are not written by the next call."""
    emission = Emission.of(engine, program)
    if emission.loaded is None:
        return
    call = emission.loaded.call
    first, second = (_arrays(sample_inputs(program, seed=seed)) for seed in (0, 1))
    kept = [array.copy() for array in first]
    outputs = call(first)
    before = [array.copy() for array in outputs]
    call(second)
    for name, old, new in zip(program.interface.outputs, before, outputs, strict=True):
        if not np.array_equal(old, new, equal_nan=old.dtype.kind in "fc"):
            raise Fault(f"output {name} was written by the next call")
    for item, old, new in zip(program.interface.inputs, kept, first, strict=True):
        if not np.array_equal(old, new):
            raise Fault(f"input {item.name} was written by the call")


def kernels_are_read_back_alike(engine: Engine, program: Program) -> None:
    """Reading back what the engine runs twice gives the same signature and the same kernels."""
    emission = Emission.of(engine, program)
    if emission.loaded is None:
        return
    artifact = emission.loaded.artifact
    first, second = (engine.fused_kernels(artifact) for _ in range(2))
    if first.signature != second.signature:
        raise Fault(f"one artifact has the signatures {first.signature} and {second.signature}")
    # Their order may differ where they do not depend on each other.
    if sorted(kernel.kind for kernel in first.kernels) != sorted(kernel.kind for kernel in second.kernels):
        raise Fault("one artifact has other kernels each time it is read back")


def memory_is_told_in_bytes(engine: Engine, program: Program) -> None:
    """What the engine reports of its memory in a call, if it does, is a whole number of bytes."""
    emission = Emission.of(engine, program)
    if emission.loaded is None:
        return
    found = engine.peak_bytes(emission.loaded.artifact, _arrays(sample_inputs(program, seed=0)))
    if found is not None and (not isinstance(found, int) or found < 0):
        raise Fault(f"it reports a peak of {found!r}, which is no number of bytes")


ALONE: tuple[Callable[[Engine], None], ...] = (options_round_trip, is_documented, availability_is_told)
CHECKS: tuple[Callable[[Engine, Program], None], ...] = (
    failing_calls_are_reported_before_emission,
    outputs_are_those_of_the_program,
    other_sizes_are_taken,
    artifact_is_complete,
    tunings_change_no_results,
    emitting_changes_nothing,
    calls_stay_apart,
    kernels_are_read_back_alike,
    memory_is_told_in_bytes,
)
FIRST = failing_calls_are_reported_before_emission  # where it fails there is nothing that the others could look at


def _compare(emission: Emission, inputs: list[torch.Tensor], where: str, call: FlatCallable | None = None) -> None:
    if emission.loaded is None:
        return
    call = call or emission.loaded.call
    program = emission.original
    expected = _arrays(program.run([value.clone() for value in inputs]))
    try:
        found = call(_arrays(inputs))
    except Exception as error:
        raise Fault(f"{where}the call raised {raised(error)}") from error
    if len(found) != len(expected):
        raise Fault(f"{where}there are {len(found)} outputs, not {len(expected)}")
    for name, ours, theirs in zip(program.interface.outputs, found, expected, strict=True):
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            raise Fault(
                f"{where}output {name} is {ours.dtype}{list(ours.shape)}, not {theirs.dtype}{list(theirs.shape)}"
            )
        apart = relative_error(torch.from_numpy(np.array(ours)), torch.from_numpy(np.array(theirs)))
        if apart > emission.bound:
            raise Fault(f"{where}output {name} differs from the program's by {apart:.1e} (bound {emission.bound:.0e})")


def _arrays(values: list[torch.Tensor]) -> list[np.ndarray[Any, Any]]:
    return [value.detach().contiguous().numpy() for value in values]
