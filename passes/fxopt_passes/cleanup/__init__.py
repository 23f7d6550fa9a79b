"""Rewrites that make a graph smaller and plainer; all are exact."""

from __future__ import annotations

from fxopt import Pass, hookimpl
from fxopt_passes.cleanup.cancel_inverses import CancelInverses
from fxopt_passes.cleanup.common_subexpressions import CommonSubexpressions
from fxopt_passes.cleanup.fold_constants import FoldConstants, FoldSizes
from fxopt_passes.cleanup.remove_identities import RemoveIdentities


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this family, in the order in which they are tried."""
    return [RemoveIdentities, FoldSizes, FoldConstants, CommonSubexpressions, CancelInverses]
