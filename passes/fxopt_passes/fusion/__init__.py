"""Rewrites that let fewer operators do the same arithmetic."""

from __future__ import annotations

from fxopt import Pass, hookimpl
from fxopt_passes.fusion.compose_linear import ComposeLinear
from fxopt_passes.fusion.fold_affine import FoldAffine
from fxopt_passes.fusion.fold_batch_norm import FoldBatchNorm
from fxopt_passes.fusion.fold_padding import FoldPadding
from fxopt_passes.fusion.merge_branches import MergeBranches
from fxopt_passes.fusion.merge_parallel import MergeParallel
from fxopt_passes.fusion.recognise_activation import RecogniseActivation
from fxopt_passes.fusion.recognise_attention import RecogniseAttention
from fxopt_passes.fusion.recognise_normalization import RecogniseNormalization
from fxopt_passes.fusion.remove_constant_channels import RemoveConstantChannels


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this folder."""
    return [
        RecogniseActivation,
        RecogniseNormalization,
        RecogniseAttention,
        FoldBatchNorm,
        FoldAffine,
        FoldPadding,
        ComposeLinear,
        RemoveConstantChannels,
        MergeParallel,
        MergeBranches,
    ]
