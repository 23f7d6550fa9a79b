"""`fold_affine`: multiplications and additions of constants, which a linear map beside them takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fxopt import Candidate, Pass, Stage
from fxopt_passes.fusion.affine import apply_fold, elementwise_affine, normalization_affine, propose_folds
from fxopt_passes.matching import is_call

if TYPE_CHECKING:
    from torch.fx import Node

    from fxopt import Edit, Program, View
    from fxopt_passes.fusion.affine import Affine
    from fxopt_passes.matching import Source


@dataclass(frozen=True)
class FoldAffine(Pass):
    """Fold scales and shifts by constants into the convolution or linear layer before them, else into all after them.

    These are input normalisation, LayerScale, the scale of attention queries (through views and transpositions), and
    the weight and bias of a layer, group or RMS norm whose users are all linear.
    """

    name: ClassVar[str] = "fold_affine"
    stage: ClassVar[Stage] = Stage.FUSE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            affine = _affine(program, node)
            if affine is not None:
                yield from propose_folds(program, view, affine)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        apply_fold(edit, _affine(edit, edit.node(candidate.site[0])), candidate)


def _affine(source: Source, node: Node) -> Affine | None:
    return elementwise_affine(source, node) or normalization_affine(source, node) if is_call(node) else None
