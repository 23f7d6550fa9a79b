"""`smooth`: outliers in the channels of a normalization's output go over into the weights of the layers after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.affine import Affine, Place, find_users, fold_into_users
from fxopt_passes.matching import arguments, constant_of, dtype_of, is_call, is_float, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source

aten = torch.ops.aten

_NORMALIZATIONS = (aten.layer_norm.default, aten.rms_norm.default)


@dataclass(frozen=True)
class Smooth(Pass):
    """Divide the channels of a layer or RMS norm by scales, and multiply the weights of all that takes them by the same.

    A channel j gets the scale `max|x_j| ** alpha / max|w_j| ** (1 - alpha)`, over calibration data and over the weights of
    all layers after the norm, relative to the mean over channels. So activations with a few large channels, as in
    transformers, lose less on integers that all channels share the range of. Scales are powers of two, so that nothing
    is rounded. A norm whose users are not all linear layers or convolutions stays as it is.

    No engine runs it faster; the norm takes the scales as its weight, at no cost. It is tried under lower precision alone.

    Source: Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
    ICML 2023.
    """

    name: ClassVar[str] = "smooth"
    stage: ClassVar[Stage] = Stage.FUSE
    prepares: ClassVar[bool] = True

    alpha: float = field(
        default=0.5, metadata={"help": "how much of a channel's range goes into the weights, from 0 to 1"}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is a number from 0 to 1, not {self.alpha!r}")

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        places = []
        for node in program.calls:
            place = _place(program, node)
            if isinstance(place, str):
                view.decline(node, place)
            elif place is not None:
                places.append(place)
        ranges = _Ranges(view, [place.affine.node.name for place in places])
        for place in places:
            layers = [linear.node for linear in place.linear]
            reads = {item.name for node in (place.affine.node, *layers) for item in node.all_input_nodes}
            candidate = Candidate(self.name, place.site, frozenset(place.site), frozenset(reads.difference(place.site)))
            found = view.fit(candidate, partial(self._fit, place, ranges))
            if found is None:
                view.decline(place.affine.node, "it needs calibration data (--calib)")
            elif found.fitted:
                yield found

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node, scale = edit.node(candidate.site[0]), candidate.fitted.get("scale")
        place = _place(edit, node, scale)
        if scale is None or not isinstance(place, Place) or place.site != candidate.site:
            raise StaleCandidate(f"{candidate.id}: {node.name} no longer leads to the same layers")
        fold_into_users(edit, place)

    def _fit(self, place: Place, ranges: _Ranges) -> dict[str, torch.Tensor] | None:
        """The scales, shape (channels,); nothing where all are near 1; None without data."""
        values = ranges.of(place.affine.node.name)
        if values is None:
            return None
        rows = [
            linear.blocks.abs().flatten(3).amax((1, 3)) if linear.spatial else linear.blocks.abs().amax(1)
            for linear in place.linear
        ]
        weights = torch.stack([item.reshape(-1) for item in rows]).amax(0)
        logs = self.alpha * values.log2() - (1 - self.alpha) * weights.log2()
        live = logs.isfinite() & (values > 0) & (weights > 0)
        logs = torch.where(live, logs - logs[live].mean(), 0.0)
        return {"scale": logs.round().exp2()} if bool((logs.abs() >= 1).any()) else {}


class _Ranges:
    """The largest magnitude in each channel, the last axis, of some values; the data are run over once for all."""

    def __init__(self, view: View, names: list[str]) -> None:
        self.view, self.names = view, names
        self.found: dict[str, torch.Tensor] | None = None

    def of(self, name: str) -> torch.Tensor | None:
        """Of one value, float64, shape (channels,); None without data."""
        if self.found is None:
            self.found = {}
            for batch in self.view.observe(self.names) or ():
                for key, item in batch.items():
                    largest = item.value.abs().reshape(-1, item.value.shape[-1]).amax(0).double()
                    self.found[key] = largest.maximum(self.found.get(key, largest))
        return self.found.get(name)


@dataclass(frozen=True)
class _Divided(Affine):
    """A norm as its own quotient by `divisor` times that, which is what layers after it take over.

    Attributes:
        divisor: float64, shape (channels,).
    """

    divisor: torch.Tensor = field(default_factory=lambda: torch.ones(()))

    def without(self, edit: Edit) -> Node:
        """The norm with its weight and bias divided; it gets a weight where it has none."""
        call, dtype = arguments(self.node), self.node.meta["val"].dtype
        for name in ("weight", "bias"):
            old = constant_of(edit, call.get(name))
            if old is not None or name == "weight":
                quotient = (1 if old is None else old) / self.divisor
                call[name] = edit.constant(quotient.to(dtype), name)
        return edit.call(self.node.target, without_defaults(self.node, call))


def _place(source: Source, node: Node, scale: torch.Tensor | None = None) -> Place | str | None:
    """A norm over the last axis and the linear maps after it, if nothing else is; a reason against it; None for neither."""
    if not is_call(node, *_NORMALIZATIONS) or not is_float(node) or dtype_of(node.args[0]) != dtype_of(node):
        return None
    call = arguments(node)
    channels = node.meta["val"].shape[-1]
    if len(call["normalized_shape"]) != 1 or not isinstance(channels, int):
        return None
    if scale is None:
        scale = torch.ones(channels, dtype=torch.float64)
    if scale.shape != (channels,):
        return None
    if any(call.get(name) is not None and constant_of(source, call[name]) is None for name in ("weight", "bias")):
        return "its weight or bias is not a constant"
    place = find_users(source, _Divided(node, node, scale, torch.zeros((), dtype=torch.float64), scale))
    if isinstance(place, Place):
        layers = {linear.node for linear in place.linear}
        shared = next((linear for linear in place.linear if not layers.issuperset(linear.weight_node.users)), None)
        if shared is not None:
            return f"the weight of {shared.node.name} is used elsewhere"
    return place
