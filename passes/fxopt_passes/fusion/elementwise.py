"""Functions of one value that treat every element alike."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxopt_passes.matching import is_call

aten = torch.ops.aten

# These never decrease, so that they map an interval's ends to the ends of its image.
MONOTONE = (
    aten.relu.default, aten.hardtanh.default, aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default,
    aten.relu6.default, aten.sigmoid.default, aten.hardsigmoid.default, aten.tanh.default, aten.exp.default,
)  # fmt: skip
ELEMENTWISE = (
    *MONOTONE, aten.gelu.default, aten.silu.default, aten.hardswish.default, aten.mish.default, aten.leaky_relu.default,
    aten.elu.default, aten.softplus.default, aten.neg.default, aten.abs.default, aten.clone.default,
)  # fmt: skip


def is_elementwise(node: object) -> bool:
    """Whether it calls such a function with literal parameters only."""
    return is_call(node, *ELEMENTWISE) and isinstance(node, Node) and len(node.all_input_nodes) == 1


def same_function(left: Node, right: Node) -> bool:
    """Whether two such calls differ in nothing but the value that they take."""
    return left.target == right.target and left.args[1:] == right.args[1:] and left.kwargs == right.kwargs
