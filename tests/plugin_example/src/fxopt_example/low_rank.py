"""An approximate pass: a linear layer whose weight is nearly of low rank becomes two narrow ones.

The factors are those of the truncated singular value decomposition, which is the best approximation of its rank
(Eckart and Young, 1936), found as the principal axes of the weight's rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from fxopt import Candidate, Edit, Fidelity, Pass, Program, Stage, StaleCandidate, View, hookimpl

aten = torch.ops.aten


@dataclass(frozen=True)
class LowRank(Pass):
    """Compute a linear layer as two of a fraction of its rank, where these keep nearly all of its weight's energy."""

    name: ClassVar[str] = "low_rank"
    stage: ClassVar[Stage] = Stage.SHAPE

    rank: float = field(default=0.25, metadata={"help": "rank of the factors, as a share of the weight's smaller side"})
    energy: float = field(default=0.99, metadata={"help": "least share of the sum of squared weights that they keep"})

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        """Find linear layers that two narrow ones come near to with fewer multiplications."""
        for node in program.calls:
            if node.target != aten.linear.default:
                continue
            weight, constant = program.tensor(node.args[1]), node.args[1]
            if weight is None or not weight.is_floating_point() or min(weight.shape) < 2:
                continue
            if node.args[0].target == aten.linear.default:
                view.decline(node, "its input comes straight from a linear layer: the two are factors already")
            elif len(constant.users) > 1:
                view.decline(node, f"its weight has {len(constant.users)} users, so that it would stay")
            elif self._rank(weight) * sum(weight.shape) >= weight.numel():
                view.decline(node, f"two layers of rank {self._rank(weight)} multiply no less")
            elif not (kept := _kept_energy(weight, self._rank(weight))) >= self.energy:
                view.decline(
                    node, f"rank {self._rank(weight)} keeps {kept:.3f} of the energy, {self.energy} is asked for"
                )
            else:
                yield Candidate(
                    self.name,
                    site=(node.name,),
                    reads=frozenset({constant.name}),
                    writes=frozenset({node.name}),
                    fidelity=Fidelity.APPROXIMATE,
                )

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        """Put the factors in its place. They are computed here, so that a replay with new weights fits them anew."""
        (node,) = edit.nodes(candidate)
        weight = edit.tensor(node.args[1]) if node.target == aten.linear.default else None
        if weight is None:
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        axes = _principal_axes(weight)[1][:, -self._rank(weight) :]
        first = edit.constant(axes.T.to(weight.dtype).contiguous(), "axes")
        second = edit.constant((weight.double() @ axes).to(weight.dtype), "weights")
        narrow = edit.call(aten.linear.default, (node.args[0], first))
        edit.replace(node, edit.call(aten.linear.default, (narrow, second, *node.args[2:])))

    def _rank(self, weight: torch.Tensor) -> int:
        """The rank of the factors, which depends on the shape alone."""
        return max(1, int(self.rank * min(weight.shape)))


def _principal_axes(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies, ascending, and orthonormal axes in columns, of the rows of a weight of shape (out, in); in float64."""
    wide = weight.double()
    return torch.linalg.eigh(wide.T @ wide)


def _kept_energy(weight: torch.Tensor, rank: int) -> float:
    """The share of the sum of squares that the best approximation of this rank keeps; nan where there is none."""
    if not weight.isfinite().all():
        return float("nan")
    energies = _principal_axes(weight)[0].clamp(min=0)
    return float(energies[-rank:].sum() / energies.sum())


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this module."""
    return [LowRank]
