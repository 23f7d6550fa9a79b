"""Builds of the networks, profiled and timed; what was measured before is read back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.predict.models import FAMILIES, FAMILY_OF

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program
    from fxopt.prices import Place
    from fxopt.prices.builds import Builder
    from fxopt.registry import Registry

ENGINES, THREADS, FLOAT = ("onnxruntime", "openvino"), (1, 2), "float32"


@dataclass(frozen=True)
class Case:
    """A build, measured.

    Attributes:
        model: name.
        copy: full, or narrow.
        kind: what it computes in.
        engine: as configured, with threads.
        place: where it ran.
        folder: of the program.
        kernels: as `Build.kernels` gives them.
        milliseconds: of a call.
        again: once more, of another build of it in another process, after all others; 0 until then.
    """

    model: str
    copy: str
    kind: str
    engine: Engine
    place: Place
    folder: Path
    kernels: list[dict[str, Any]]
    milliseconds: float
    again: float = 0.0

    @property
    def family(self) -> str:
        """Of the model."""
        return FAMILY_OF[self.model]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.build} {self.place.threads}"

    @property
    def build(self) -> str:
        """Of what it is one number of threads."""
        return f"{self.model} {self.copy} {self.kind} {self.engine.name}"

    @property
    def program(self) -> Program:
        """What was built; the same object for all builds of it."""
        from fxopt.ir.program import Program

        if self.folder not in _programs:
            _programs[self.folder] = Program.load(self.folder)
        return _programs[self.folder]


_programs: dict[Path, Program] = {}


def cache() -> Path:
    """The folder of what was measured; what another version of the kernel table was filled with is not to be mixed with it."""
    import platformdirs

    from fxopt.prices.table import VERSION

    return platformdirs.user_cache_path("fxopt") / "benchmarks" / "predict" / str(VERSION)


def measured(model: str, registry: Registry, keep: Path) -> Iterator[Case]:
    """All builds of a model: in floats, in bfloat16 where the CPU has it, and with all the int8 that it is offered."""
    from fxopt.prices.builds import Builder

    for copy in FAMILIES[FAMILY_OF[model]][model]:
        files = Files(model, copy, registry, keep)
        with Builder() as builder:
            for spec in ENGINES:
                engine = registry.make_engine(spec)
                yield from files.cases(engine, FLOAT, FLOAT, {}, builder)
                if spec == "openvino" and "bfloat16" in files.dtypes:
                    yield from files.cases(engine, "bfloat16", FLOAT, {"precision": "bf16"}, builder)
                yield from files.cases(engine, "int8", _on_integers(engine), {}, builder)


def measured_again(cases: Sequence[Case], keep: Path) -> list[Case]:
    """The same builds, built and timed once more: what is foretold is no nearer to a measurement than another one is."""
    from fxopt.prices.builds import Builder

    found: dict[str, dict[str, float]] = {}
    with Builder() as builder:
        for name, same in groupby(cases, key=lambda case: case.build):
            file = keep / f"{name} again.json"
            if not file.exists():
                first, *others = same
                with builder.build(first.engine, first.program) as build:
                    there = {case.name: asdict(case.engine) for case in (first, *others)}
                    times = {case: build.milliseconds(build.under(options)) for case, options in there.items()}
                file.write_text(json.dumps(times))
            found[name] = json.loads(file.read_text())
    return [replace(case, again=found[case.build][case.name]) for case in cases]


@dataclass(frozen=True)
class Files:
    """What is kept of one copy of a model."""

    model: str
    copy: str
    registry: Registry
    keep: Path

    @property
    def dtypes(self) -> frozenset[str]:
        """That the CPU computes in."""
        return self.registry.make_target("cpu").capabilities().dtypes

    def cases(
        self,
        engine: Engine,
        kind: str,
        program: str,
        options: Mapping[str, Any],
        builder: Builder,
    ) -> Iterator[Case]:
        """A build under options with each number of threads.

        Args:
            engine: that builds.
            kind: of the build.
            program: name of the program.
            options: of the engine.
            builder: that builds, and runs it.
        """
        from fxopt.errors import FxoptError
        from fxopt.prices import Place

        file = self.keep / f"{self.model} {self.copy} {kind} {engine.name}.json"
        if not file.exists():
            try:
                found = self._measure(engine, self.program(program), options, builder)
            except FxoptError as error:
                print(f"{self.model} {self.copy} {kind} on {engine.name}: {error}", file=sys.stderr)
                return
            file.write_text(json.dumps(found))
        machine = self.registry.make_target("cpu").machine()
        folder = self.keep / f"{self.model} {self.copy} {program}"
        for threads, kernels, milliseconds in json.loads(file.read_text()):
            there = replace(engine, **options, threads=threads)
            place = Place.of(there, machine)
            yield Case(self.model, self.copy, kind, there, place, folder, kernels, milliseconds)

    def _measure(self, engine: Engine, program: Program, options: Mapping[str, Any], builder: Builder) -> list[Any]:
        found = []
        with builder.build(engine, program) as build:
            for threads in THREADS:
                there = build.under({**options, "threads": threads})
                found.append([threads, build.kernels(there), build.milliseconds(there)])
        return found

    def program(self, name: str) -> Program:
        """The program as it is kept, else made."""
        from fxopt.errors import InputError
        from fxopt.ir.program import Program

        folder = self.keep / f"{self.model} {self.copy} {name}"
        if not folder.exists():
            for kind, program in self._floats() if name == FLOAT else self._integers():
                whole = folder.with_name(f"{self.model} {self.copy} {kind}")
                whole.mkdir(parents=True, exist_ok=True)
                program.save(whole)
        if not folder.exists():
            raise InputError(f"{name} is offered nowhere")
        return Program.load(folder)

    def _floats(self) -> Iterator[tuple[str, Program]]:
        from fxopt.ir.capture import capture, export, positional_names

        torch.manual_seed(0)
        module, inputs = FAMILIES[FAMILY_OF[self.model]][self.model][self.copy]()
        yield FLOAT, capture(export(module, inputs), names=positional_names(module))

    def _integers(self) -> Iterator[tuple[str, Program]]:
        from fxopt.compiler.lowered import Lowering, of_made_up_data

        target, engines = self.registry.make_target("cpu"), [self.registry.make_engine(spec) for spec in ENGINES]
        wanted = [Lowering("int8", engine) for engine in engines]
        for lowering, lower in of_made_up_data(self.program(FLOAT), wanted, self.registry, target):
            yield _on_integers(lowering.engine), lower


def _on_integers(engine: Engine) -> str:
    """The program for an engine: each wants its integers its own way."""
    return f"int8 {engine.name}"
