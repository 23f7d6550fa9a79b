"""Rewrites that let fewer operators do the same arithmetic."""

from __future__ import annotations

from fxopt import Pass, hookimpl
from fxopt_passes.fusion.compose_linear import ComposeLinear
from fxopt_passes.fusion.fold_affine import FoldAffine
from fxopt_passes.fusion.fold_batch_norm import FoldBatchNorm
from fxopt_passes.fusion.fold_padding import FoldPadding


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this folder."""
    return [FoldBatchNorm, FoldAffine, FoldPadding, ComposeLinear]
