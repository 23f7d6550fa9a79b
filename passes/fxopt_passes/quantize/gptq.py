"""Rounding by a closed-form second-order method: each column's error is made up for by the columns after it.

GPTQ (Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023), the
blocked form of Optimal Brain Quantization (Frantar and Alistarh, 2022): with H = E[x x^T] of a layer's inputs, the rounded
weights Q lessen tr((W - Q) H (W - Q)^T), which is the mean squared error of the layer's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.fx import Node
from torch.nn import functional as F

from fxopt_passes.fusion.linear_maps import LinearMap, linear_map

if TYPE_CHECKING:
    from fxopt import Program, View

ROUNDINGS = ("nearest", "gptq")
_BLOCK = 128  # columns after which those behind are updated, all at once
_DAMPENING = 0.01  # of the diagonal's mean, as in the paper
_MOST_POSITIONS = 128  # of a sample that count: neighbours tell little new


def round_weights(
    weight: torch.Tensor,
    scales: torch.Tensor,
    hessian: torch.Tensor,
    low: int = -127,
    high: int = 127,
    group: int = 0,
) -> torch.Tensor:
    """Round weights so that the error of the layer's outputs is small.

    Args:
        weight: floats, shape (..., rows, columns); leading axes are layers of their own, like the groups of a convolution.
        scales: positive, shape (..., rows, columns / group).
        hessian: E[x x^T], shape (..., columns, columns).
        low: the least integer.
        high: the greatest integer.
        group: columns that share a scale; 0: all.

    Returns:
        int8, shaped like `weight`. A row's error in the norm of the Hessian is never more than that of the nearest
        integers, which are what comes out where the Hessian is diagonal.
    """
    weight, hessian = weight.double(), hessian.double()
    step = scales.double().repeat_interleave(group or weight.shape[-1], dim=-1)
    nearest = (weight / step).round().clamp(low, high)
    left, found = weight.clone(), nearest.clone()
    factor = _factor(hessian)
    for start in range(0, weight.shape[-1], _BLOCK):
        end = min(start + _BLOCK, weight.shape[-1])
        errors = torch.zeros_like(left[..., start:end])
        for column in range(start, end):
            value, unit = left[..., column], step[..., column]
            found[..., column] = (value / unit).round().clamp(low, high)
            error = (value - found[..., column] * unit) / factor[..., column, column, None]
            left[..., column:end] -= error[..., None] * factor[..., column, None, column:end]
            errors[..., column - start] = error
        left[..., end:] -= errors @ factor[..., start:end, end:]
    worse = _loss(weight - found * step, hessian) > _loss(weight - nearest * step, hessian)
    return torch.where(worse[..., None], nearest, found).to(torch.int8)


def _factor(hessian: torch.Tensor) -> torch.Tensor:
    """The upper Cholesky factor of the dampened Hessian's inverse."""
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    damped = diagonal + _DAMPENING * diagonal.mean(-1, keepdim=True)
    damped = torch.where(diagonal > 0, damped, torch.ones_like(damped))  # inputs that are always 0 mix with no others
    lower = torch.linalg.cholesky(hessian - torch.diag_embed(diagonal - damped))
    return torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)


def _loss(error: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    return ((error @ hessian) * error).sum(-1)


def hessians(program: Program, view: View, layers: Sequence[Node]) -> Mapping[str, torch.Tensor] | None:
    """E[x x^T] of the inputs of linear layers and convolutions over the calibration data, at most 512 samples.

    Args:
        program: that holds the layers.
        view: that of the pass.
        layers: calls; those whose weights do not meet rows of inputs (transposed and 3-D convolutions, embeddings) are
            left out.

    Returns:
        By layer's name, float32 of shape (groups, columns, columns), where columns are those of the weight flattened
        behind its first axis. None without calibration data.
    """
    maps = [found for layer in layers if (found := _rows(program, layer)) is not None]
    batches = view.observe({found.input.name for found in maps}) if maps else iter(())
    if batches is None:
        return None
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    for batch in batches:
        for found in maps:
            inputs = columns(found, batch[found.input.name].value.float())
            product = inputs.transpose(1, 2) @ inputs
            name = found.node.name
            sums[name] = sums[name].add_(product) if name in sums else product
            counts[name] = counts.get(name, 0) + inputs.shape[1]
    return {name: total.div_(max(counts[name], 1)) for name, total in sums.items()}


def _rows(program: Program, layer: Node) -> LinearMap | None:
    found = linear_map(program, layer)
    if found is None or found.transposed or found.spatial > 2 or found.padding is None or found.input.op == "get_attr":
        return None
    return found


def columns(layer: LinearMap, inputs: torch.Tensor) -> torch.Tensor:
    """The inputs that each output of a layer sees.

    Args:
        layer: a linear layer, or a convolution over one or two axes with as much padding before as behind.
        inputs: a batch of its inputs.

    Returns:
        Shape (groups, outputs, columns), evenly chosen outputs where a sample has more than 128.
    """
    if not layer.spatial:
        return inputs.reshape(1, -1, inputs.shape[-1])
    if inputs.dim() == layer.spatial + 1:
        inputs = inputs[None]
    one = layer.spatial == 1
    assert layer.padding is not None
    unfolded = F.unfold(
        inputs[:, :, None] if one else inputs,
        ((1,) if one else ()) + layer.kernel,
        ((1,) if one else ()) + layer.dilation,
        ((0,) if one else ()) + layer.padding,
        ((1,) if one else ()) + layer.stride,
    )
    every = -(-unfolded.shape[2] // _MOST_POSITIONS)
    grouped = unfolded[:, :, ::every].unflatten(1, (layer.groups, -1))  # (samples, groups, columns, outputs)
    return grouped.permute(1, 0, 3, 2).flatten(1, 2)
