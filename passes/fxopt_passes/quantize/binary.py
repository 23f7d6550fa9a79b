"""`binary`: layers on signs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Fidelity, Pass, Stage, StaleCandidate
from fxopt.ir.quantized import operators
from fxopt_passes.fusion.linear_maps import LinearMap, linear_map
from fxopt_passes.matching import arguments, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit, Program, View

aten = torch.ops.aten


@dataclass(frozen=True)
class Binary(Pass):
    """Run convolutions and linear layers on the signs of weights and activations; needs recovery by training.

    XNOR-Net (Rastegari et al., ECCV 2016): W is a·sign(W) with the mean magnitude a of an output channel, and x is K·sign(x)
    with the mean magnitude K of what an output sees. The first and the last layer stay as they are. No engine has kernels
    for it; signs are stored in 4 bits and computed on in float, so it is for size only.
    """

    name: ClassVar[str] = "binary"
    stage: ClassVar[Stage] = Stage.PRECISION

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        layers = [found for node in program.calls if (found := linear_map(program, node)) is not None]
        for position, layer in enumerate(layers):
            reason = "it is the first or the last layer" if position in (0, len(layers) - 1) else refusal(layer)
            if reason:
                view.decline(layer.node, reason)
                continue
            site = (layer.node.name,)
            yield Candidate(
                self.name, site, frozenset(site), layer.weight_names, {"kind": self.name}, Fidelity.NEEDS_RECOVERY
            )

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        layer = linear_map(edit, node)
        if layer is None or refusal(layer):
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        call = arguments(layer.node)
        source, dtype = layer.input, layer.weight.dtype
        weight = layer.weight.flatten(1)
        signs = torch.where(layer.weight >= 0, 1, -1).to(torch.int8)
        step = edit.constant(weight.abs().mean(1), "magnitude")
        numbers = (edit.constant(signs, "signs"), step, None, 0, -1, 1, torch.int8)
        floats = edit.call(operators().dequantize_per_channel.default, numbers, {"out_dtype": dtype})
        positive = edit.call(aten.ge.Scalar, (source, 0))
        ones = [edit.constant(torch.tensor(value, dtype=dtype), "one") for value in (1.0, -1.0)]
        call |= {"input": edit.call(aten.where.self, (positive, *ones)), "weight": floats, "bias": None}
        made = edit.call(layer.node.target, without_defaults(layer.node, call))
        made = edit.call(aten.mul.Tensor, (made, _magnitude(edit, layer)))
        if layer.bias_node is not None:
            shape = [-1, *[1] * layer.spatial]
            bias = edit.call(aten.reshape.default, (layer.bias_node, shape)) if layer.spatial else layer.bias_node
            made = edit.call(aten.add.Tensor, (made, bias))
        edit.replace(layer.node, made)


def refusal(layer: LinearMap) -> str | None:
    """Why a layer cannot be run on signs."""
    if layer.transposed:
        return "it is a transposed convolution"
    if layer.groups != 1:
        return "its groups see inputs of other magnitudes"
    if layer.padding is None or any(step != 1 for step in layer.dilation):
        return "its padding is asymmetric" if layer.padding is None else "it is dilated"
    if any(2 * pad > size for pad, size in zip(layer.padding, layer.kernel, strict=True)):
        return "its padding is wider than half its kernel"
    if layer.weight.dtype not in (torch.float32, torch.float64):
        return f"it computes in {layer.weight.dtype}"
    return None


def _magnitude(edit: Edit, layer: LinearMap) -> Node:
    """The mean magnitude of the inputs that each output sees; zeros of the padding count."""
    size = edit.call(aten.abs.default, (layer.input,))
    size = edit.call(aten.mean.dim, (size, [layer.axis], True))
    if not layer.spatial:
        return size
    pool = {1: aten.avg_pool1d.default, 2: aten.avg_pool2d.default, 3: aten.avg_pool3d.default}[layer.spatial]
    return edit.call(pool, (size, list(layer.kernel), list(layer.stride), list(layer.padding or ())))
