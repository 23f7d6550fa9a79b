"""Engines whose integer arithmetic is wrong in a known way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.ir.program import Program
from fxopt_plugins.engines.eager import Eager

aten = torch.ops.aten


class Sixteen(torch.fx.Interpreter):
    """Adds pairs of products in 16 bits, or products alone in 12, which does not do for 7 bits either."""

    bits = 16

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is aten.linear.default:
            return self.products(args[0], args[1])
        if target is aten.matmul.default:
            return self.products(args[0], args[1].transpose(-1, -2).unsqueeze(-3))
        if target is aten.conv2d.default and len(args) < 7:
            x, weight = args[:2]
            size = x.shape[-1] - weight.shape[-1] + 1
            patches = F.unfold(x, weight.shape[-1]).reshape(1, x.shape[1], -1, size * size)
            rows = patches.permute(0, 3, 2, 1).flatten(2)  # channels last, as kernels pair them
            found = self.products(rows, weight.permute(0, 2, 3, 1).flatten(1))
            return found.transpose(1, 2).reshape(1, -1, size, size)
        return super().call_function(target, args, kwargs)

    def products(self, x: Tensor, weight: Tensor) -> Tensor:
        high = 2 ** (self.bits - 1)
        pairs = (x.unsqueeze(-2) * weight).unflatten(-1, (-1, 2)).sum(-1)
        return pairs.clamp(-high, high - 1).sum(-1)


class Twelve(Sixteen):
    bits = 12


@dataclass(frozen=True)
class Saturates(Eager):
    """PyTorch's kernels, but layers saturate."""

    name: ClassVar[str] = "saturates"
    interpreter: ClassVar[type[Sixteen]] = Sixteen

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        module = Program.load(Path(artifact.path)).module()
        return self.on_arrays(lambda tensors: self.interpreter(module).run(*tensors))


@dataclass(frozen=True)
class SaturatesSoon(Saturates):
    """Wrong with 7 bits as well."""

    interpreter: ClassVar[type[Sixteen]] = Twelve


class AsItComes(Sixteen):
    """Saturates only in linear layers whose input is rounded as it comes."""

    def run_node(self, n: torch.fx.Node) -> Any:
        self.dynamic = any("choose_qparams" in str(node.target) for node in _before(n))
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is aten.linear.default and self.dynamic:
            return self.products(args[0], args[1])
        return torch.fx.Interpreter.call_function(self, target, args, kwargs)


def _before(node: torch.fx.Node, depth: int = 4) -> set[torch.fx.Node]:
    """What a node is computed from, a few calls back."""
    found = {node}
    for _ in range(depth):
        found |= {value for item in found for value in item.all_input_nodes}
    return found


@dataclass(frozen=True)
class SaturatesAsItComes(Saturates):
    """Wrong only where inputs are rounded as they come."""

    interpreter: ClassVar[type[Sixteen]] = AsItComes


class OnlyConvolutions(Sixteen):
    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is aten.linear.default:
            return torch.fx.Interpreter.call_function(self, target, args, kwargs)
        return super().call_function(target, args, kwargs)


@dataclass(frozen=True)
class OnlyConvolutionsSaturate(Saturates):
    """Right in linear layers."""

    interpreter: ClassVar[type[Sixteen]] = OnlyConvolutions
