"""Plans of 30 steps, and passes and an engine that go wrong after the plan was made, as after an update."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from fxopt.compiler import lockfile
from fxopt.compiler.progress import NULL
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.capture import capture
from fxopt.ir.edit import Edit
from fxopt.registry import Registry
from tests.compiler.engines import Misbehaves

aten = torch.ops.aten
STEPS = 30
_load = Registry.load  # as it is where nothing is patched
ON_TOP = "relu_7"  # where a second step rests on the first


@dataclass
class Fault:
    """What is wrong: rewrites at these relus each, or where all of a group are rewritten; and by what.

    `scheme`: rewrites are offered only to an engine that says how it wants its integers.
    """

    alone: set[str] = field(default_factory=set)
    together: set[str] = field(default_factory=set)
    on_top: bool = False
    slow: bool = False
    scheme: bool = False

    def at(self, site: str, edit: Edit) -> bool:
        if site in self.alone:
            return True
        if site not in self.together:
            return False
        return all(other == site or not edit._by_name[other].users for other in self.together)


fault = Fault()


@dataclass(frozen=True)
class ToClamp(Pass):
    """One step for each relu."""

    name: ClassVar[str] = "to_clamp"

    def propose(self, program: Any, view: View) -> Iterator[Candidate]:
        for node in program.calls if view.scheme or not fault.scheme else ():
            if node.target == aten.relu.default:
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        bad = fault.at(node.name, edit)
        new = edit.call(aten.clamp_min.default, (node.args[0], 0.5 if bad and not fault.slow else 0.0))
        for _ in range(400 if bad and fault.slow else 0):
            new = edit.call(aten.neg.default, (new,))
        edit.replace(node, new)


@dataclass(frozen=True)
class ToMaximum(Pass):
    """A step that needs another."""

    name: ClassVar[str] = "to_maximum"

    def propose(self, program: Any, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.clamp_min.default and node.name.startswith(f"{ON_TOP}__"):
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        zero = edit.call(aten.mul.Scalar, (node.args[0], 0.0))
        edit.replace(node, edit.call(aten.sub.Tensor if fault.on_top else aten.maximum.default, (node.args[0], zero)))


class Miscompiles(Misbehaves):
    """Is wrong where it sees what was made of one relu, or of any at all."""

    name: ClassVar[str] = "miscompiles"
    where: ClassVar[str] = "relu_11__"

    def spec(self) -> str:
        return f"{__name__}:{type(self).__name__}{{threads={self.threads}}}"

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        call = super().load(artifact, stage)
        wrong = self.where in (artifact.path / "program.fx").read_text()

        def answer(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            return [output * np.float32(1.05) if wrong else output for output in call(inputs)]

        return answer


class Quantizes(Miscompiles):
    """Is right, and wants its integers in some way."""

    name: ClassVar[str] = "quantizes"
    where: ClassVar[str] = "nothing"
    quant_scheme: ClassVar[QuantScheme | None] = QuantScheme("u8", False, "channel", "int32", "both")


class MiscompilesAll(Miscompiles):
    name: ClassVar[str] = "miscompiles_all"
    where: ClassVar[str] = "relu"


class Chain(nn.Module):
    """30 relus, whose values stay of one size."""

    def __init__(self, steps: int = STEPS, size: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.factors = nn.Parameter(torch.randn(steps, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for factor in self.factors:
            x = x - 0.3 * (x * factor).relu()
        return x


def registry() -> Registry:
    found = _load()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [ToClamp, ToMaximum]})()
    found.register(plugin, "bisecting", "fxopt")
    for engine in (Miscompiles, MiscompilesAll, Quantizes):
        found.engines[engine.name] = engine
    return found


@contextlib.contextmanager
def installed(monkeypatch: Any) -> Iterator[None]:
    """The passes and engines above are installed, and in order."""
    plugins = registry()
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, without=(): plugins))
    reset()
    yield
    reset()


def reset(**changes: Any) -> None:
    for item in dataclasses.fields(Fault):
        setattr(fault, item.name, changes.get(item.name, getattr(Fault(), item.name)))


def write_out(out: Path, model: nn.Module, example: torch.Tensor, engine: str = "eager") -> Path:
    """An output folder whose plan is all that the two passes find."""
    out.mkdir()
    exported = torch.export.export(model.eval(), (example,))
    torch.export.save(exported, str(out / "source.pt2"))
    request = Request("net", out, engine=engine, threads=1, passes="to_clamp,to_maximum")
    run = Run(request, Registry.load(), capture(exported), exported, "net", NULL)
    found = run.search()
    (maker,) = run.engines.values()
    build = types.SimpleNamespace(steps={step.id for step in found.steps}, recipe=None, tunings={})
    ship: Any = types.SimpleNamespace(engine=f"{maker.name}{{threads=1}}", build=build, program=found.program)
    run.engines[ship.engine] = maker
    plan = run.plan({"machine": dataclasses.asdict(run.target.machine()), "result": {"quality": None}}, ship, found)
    lockfile.write(out, json.loads(json.dumps(plan)), found.tensors)
    (out / "baseline").mkdir()
    maker.emit(run.program, out / "baseline")
    run.close()
    return out
