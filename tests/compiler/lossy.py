"""An engine with integers and recipes of its own, and passes of lower precision, for whole runs that take seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from fxopt.contracts.candidate import Candidate, Fidelity, Stage
from fxopt.contracts.engine import Artifact
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.quantization import QuantScheme
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.registry import Registry
from tests.compiler.engines import Misbehaves

aten = torch.ops.aten
RANK, SIZE = 8, 1024


@dataclass(frozen=True)
class LowRank(Pass):
    """Splits a linear in two by its singular values: fast, and near where its weight was copied."""

    name: ClassVar[str] = "low_rank"
    stage: ClassVar[Stage] = Stage.PRECISION
    rank: int = RANK
    noise: float = 1.0  # on the factors of a weight that was not copied, over their own deviation

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls if view.scheme is not None else ():
            if node.target == aten.linear.default and "mean" not in node.name:
                noise = 0.0 if "copied" in str(node.args[1]) else self.noise
                value = program.tensor(node.args[1])
                assert value is not None
                candidate = Candidate(
                    self.name,
                    (node.name,),
                    frozenset({node.name}),
                    parameters={"kind": "int8", "rank": self.rank},
                    fidelity=Fidelity.APPROXIMATE,
                )
                fitted = view.fit(candidate, lambda value=value, noise=noise: factors(value, self.rank, noise))
                assert fitted is not None
                yield fitted

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        dtype = node.meta["val"].dtype  # float64 in the twin
        inner, outer = (edit.constant(candidate.fitted[name].to(dtype), name) for name in ("inner", "outer"))
        inside = edit.call(aten.linear.default, (node.args[0], inner))
        edit.replace(node, edit.call(aten.linear.default, (inside, outer)))


def factors(value: torch.Tensor, rank: int, noise: float) -> dict[str, torch.Tensor]:
    u, s, v = torch.linalg.svd(value, full_matrices=False)
    outer = u[:, :rank]
    outer = outer + noise * outer.std() * torch.randn(outer.shape, generator=torch.Generator().manual_seed(0))
    return {"inner": (s[:rank, None] * v[:rank]).contiguous(), "outer": outer.contiguous()}


@dataclass(frozen=True)
class Copy(Pass):
    """Gives each linear a weight of its own."""

    name: ClassVar[str] = "copy"
    prepares: ClassVar[bool] = True

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.linear.default and "copied" not in str(node.args[1]):
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        value = edit.tensor(node.args[1])
        assert value is not None
        edit.replace(node, edit.call(aten.linear.default, (node.args[0], edit.constant(value.clone(), "copied"))))


class Rounds(Misbehaves):
    """Is right, wants its integers in some way, and has four recipes: one splits linears, the others do nothing or have no luck."""

    name: ClassVar[str] = "rounds"
    quant_scheme: ClassVar[QuantScheme | None] = QuantScheme(
        "u8", False, "channel", "int32", "both", native={"int8": ()}
    )
    recipes: ClassVar[dict[str, str]] = {
        "split": "splits",
        "fails": "raises",
        "same": "gives what it was given",
        "narrow": "would help were sums to saturate, which here they do not",
    }
    remedies: ClassVar[tuple[str, ...]] = ("narrow",)

    def spec(self) -> str:
        return f"{__name__}:{type(self).__name__}{{threads={self.threads}}}"

    def quantize(self, recipe: str, program: Program, samples: Any, out: Any) -> Artifact:
        if recipe == "fails":
            raise ValueError("no luck")
        if recipe == "split":
            rule = LowRank(16 * RANK, noise=0.0)  # faster than the model, slower than the plan on copied weights
            scheme = View(rule.name, scheme=self.quant_scheme)
            candidates = list(rule.propose(program, scheme))
            with program.edit() as edit:
                for candidate in candidates:
                    with edit.step(candidate):
                        rule.apply(edit, candidate)
            program = edit.program
        return self.emit(program, out)


def registry() -> Registry:
    found = Registry.load()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [LowRank, Copy]})()
    found.register(plugin, "lossy", "fxopt")
    found.engines[Rounds.name] = Rounds
    make, path = found.make_engine, f"{__name__}:{Rounds.__name__}"
    found.make_engine = lambda spec: make(spec.replace(path, Rounds.name))  # type: ignore[method-assign]
    return found


def net() -> nn.Module:
    """Two linears that are nearly of rank 8."""
    torch.manual_seed(0)
    layers = [nn.Linear(SIZE, SIZE, bias=False) for _ in range(2)]
    for layer in layers:
        low = torch.randn(SIZE, RANK) @ torch.randn(RANK, SIZE) / SIZE
        layer.weight = nn.Parameter(low + 0.001 * torch.randn(SIZE, SIZE) / SIZE)
    return nn.Sequential(*layers)
