"""`fold_batch_norm`: a batch norm with fixed statistics is a scale and a shift; a linear map beside it takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from fxopt import Candidate, Pass, Stage
from fxopt_passes.fusion.affine import apply_fold, batch_norm_affine, propose_folds
from fxopt_passes.matching import is_call

if TYPE_CHECKING:
    from fxopt import Edit, Program, View

aten = torch.ops.aten


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold an evaluation-mode batch norm into the convolution, transposed convolution or linear layer next to it.

    Into the one before it where that has no other user; else into all that use it, where zero padding does not see
    the shift.
    """

    name: ClassVar[str] = "fold_batch_norm"
    stage: ClassVar[Stage] = Stage.FUSE

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if not is_call(node, aten.batch_norm.default):
                continue
            affine = batch_norm_affine(program, node)
            if affine is None:
                view.decline(node, "its statistics are not constants")
                continue
            before = len(view.declines)
            found = list(propose_folds(program, view, affine))
            yield from found
            if not found and len(view.declines) == before:
                view.decline(node, f"no linear map is beside it: it comes after {affine.input.name}")

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        apply_fold(edit, batch_norm_affine(edit, edit.node(candidate.site[0])), candidate)
