"""Rewrites that let a model compute with, or be stored in, fewer bits."""

from __future__ import annotations

from fxopt import Pass, hookimpl
from fxopt_passes.quantize.batch_norm import ReestimateBatchNorm
from fxopt_passes.quantize.binary import Binary
from fxopt_passes.quantize.dynamic import Int8Dynamic
from fxopt_passes.quantize.equalize import Equalize
from fxopt_passes.quantize.fixed16 import Fixed16
from fxopt_passes.quantize.half import Bfloat16, Float16
from fxopt_passes.quantize.int8 import Int8
from fxopt_passes.quantize.sharing import Hash, KMeans
from fxopt_passes.quantize.smooth import Smooth
from fxopt_passes.quantize.weights import Int4Weight, Int8Weight


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this folder."""
    return [
        ReestimateBatchNorm,
        Equalize,
        Smooth,
        Int8,
        Int8Dynamic,
        Int8Weight,
        Int4Weight,
        Bfloat16,
        Float16,
        Fixed16,
        KMeans,
        Hash,
        Binary,
    ]
