"""`int8`: layers and what stands between them on 8-bit integers, with ranges from calibration data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Fidelity, Pass, Stage
from fxopt.ir.quantized import is_dequantize
from fxopt_passes.quantize.gptq import ROUNDINGS, hessians, round_weights
from fxopt_passes.quantize.observers import OBSERVERS, Kind, Range, choose, observe
from fxopt_passes.quantize.placement import Placement, Writer, grid, nearest, padded_from, place, weight_scales
from fxopt_passes.quantize.regions import Islands, Region, activations, averages, bare, is_anchor, is_part
from fxopt_passes.quantize.weights import absmax_scales, least_squares_scales

if TYPE_CHECKING:
    from fxopt import Edit, Program, QuantScheme, View
    from fxopt_passes.fusion.linear_maps import LinearMap


@dataclass(frozen=True)
class Int8(Pass):
    """Run a region on 8-bit integers: layers with weights, and what the engine can do on integers between them.

    A region is what lies between two tensors through which everything must pass: a residual block, or a single layer. Any
    of them can be left in float. Q and DQ stand where the engine's `QuantScheme` wants them. Ranges of activations come
    from calibration data, for each tensor by the observer that costs the model least there; weights have a scale each
    output channel; the mean error that their rounding brings is taken out of the bias (Nagel et al., "Data-Free
    Quantization Through Weight Equalization and Bias Correction", ICCV 2019).

    ONNX Runtime and OpenVINO run it on any CPU, fast where it has VNNI-like instructions. Without them weights have as
    many bits as a test on the machine found exact.
    """

    name: ClassVar[str] = "int8"
    stage: ClassVar[Stage] = Stage.PRECISION
    hasty: ClassVar[Mapping[str, Any]] = {"observer": "minmax", "weights": "minmax"}

    observer: str = field(
        default="measured", metadata={"help": f"where ranges come from: measured, or always {', '.join(OBSERVERS)}"}
    )
    weights: str = field(
        default="mse", metadata={"help": "scales of weights: minmax, or mse: those with the least squared error"}
    )
    rounding: str = field(
        default="nearest",
        metadata={"help": "of weights: nearest, or gptq: so that outputs on calibration data are off least"},
    )
    correction: bool = field(default=True, metadata={"help": "whether mean errors are taken out of biases"})

    def __post_init__(self) -> None:
        if self.observer != "measured" and self.observer not in OBSERVERS:
            raise ValueError(f"observer is measured or one of {', '.join(OBSERVERS)}, not {self.observer!r}")
        if self.weights not in ("minmax", "mse"):
            raise ValueError(f"weights is minmax or mse, not {self.weights!r}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"rounding is {' or '.join(ROUNDINGS)}, not {self.rounding!r}")

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        scheme, first = view.scheme, next(program.calls, None)
        if first is None or scheme is None or "int8" not in scheme.native:
            if first is not None:
                view.decline(first, "the engine has no integer kernels, or none is chosen")
            return
        if not scheme.weight_bits:
            view.decline(first, "integer sums of this engine are wrong on this machine")
            return
        islands = Islands(program, scheme)
        for node, reason in islands.declines:
            view.decline(node, reason)
        sites = []
        for region in islands.regions:
            placed = place(program, region.nodes, scheme.residual == "identity", frozenset(_names(region.floats)))
            if isinstance(placed, str):
                view.decline(region.nodes[0], placed)
            elif placed.anchors or not _is_done(region):
                sites.append(_Site(region, placed))
        fitting = _Fitting(self, view, islands, sites)
        for site in sites:
            fitted = view.fit(fitting.candidate(site), lambda site=site: fitting.fit(site))
            if fitted is None:
                view.decline(site.region.nodes[0], fitting.obstacle(site))
            else:
                yield fitted

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        Writer(edit, candidate).write()


@dataclass(frozen=True)
class _Site:
    region: Region
    placed: Placement


class _Fitting:
    """What is fitted for all regions of a Program together: the data are run over once for all."""

    def __init__(self, rule: Int8, view: View, islands: Islands, sites: list[_Site]) -> None:
        self.rule, self.view, self.islands, self.sites = rule, view, islands, sites
        assert view.scheme is not None
        self.scheme: QuantScheme = view.scheme
        self.symmetric = {
            islands.root(value)
            for region in islands.regions
            for node in region.nodes
            if islands.is_symmetric(node)
            for value in activations(node)
        }
        self._ranges: dict[str, Range | None] | None = None
        self._means: Mapping[tuple[str, int], torch.Tensor] = {}

    def candidate(self, site: _Site) -> Candidate:
        """The candidate of a region, with what `apply` needs of the scheme."""
        names = _names(site.region.nodes)
        parameters: dict[str, Any] = {
            "kind": self.rule.name,
            "fitted_as": self.rule.spec(),
            "bits": self.scheme.weight_bits[0],
            "activation": self.scheme.activation,
            "bias": self.scheme.bias,
            "granularity": self.scheme.weight_granularity,
            "residual": self.scheme.residual,
            "pools": any(map(averages, site.region.nodes)) and "aten.mean" not in self.scheme.integer_ops,
            "floats": sorted(_names(site.region.floats)),
            "symmetric": [self.kind(value).symmetric for value in site.placed.values],
        }
        return Candidate(
            self.rule.name, tuple(names), frozenset(names), parameters=parameters, fidelity=Fidelity.APPROXIMATE
        )

    def kind(self, value: Node) -> Kind:
        """How a value is rounded."""
        symmetric = self.scheme.activation_symmetric or self.islands.root(value) in self.symmetric
        return Kind(self.scheme.activation == "s8", symmetric)

    def fit(self, site: _Site) -> dict[str, torch.Tensor] | None:
        """Ranges, scales of weights, and corrections of biases; None where there are no data or no numbers in them."""
        ranges = self.ranges()
        spans = [ranges.get(self.islands.root(value).name) if ranges else None for value in site.placed.values]
        if any(span is None for span in spans):
            return None
        fitted = {"ranges": torch.tensor(spans, dtype=torch.float64)}
        high = 2 ** (self.scheme.weight_bits[0] - 1) - 1
        steps = {
            value: grid(*span, self.scheme.activation == "s8", self.kind(value).symmetric).scale
            for value, span in zip(site.placed.values, spans, strict=True)
        }
        for index, layer in enumerate(site.placed.anchors):
            scales = self.scales(layer, high)
            fitted[f"scales.{index}"] = scales
            step = steps[padded_from(layer.input, steps)]
            used = weight_scales(layer, scales, step, self.scheme.bias == "int32")
            integers = self.rounded(layer, used, high)
            if integers is None:  # `apply` finds them by itself
                integers = nearest(layer.weight.float(), used, int(layer.transposed), (-high, high, torch.int8))
            else:
                fitted[f"integers.{index}"] = integers
            mean = self._means.get(_mean_of(layer))
            if self.rule.correction and mean is not None:
                fitted[f"correction.{index}"] = _shift(layer, used, mean, integers)
        return fitted

    def rounded(self, layer: LinearMap, scales: torch.Tensor, high: int) -> torch.Tensor | None:
        """The integers of a weight, int8, where they are not the nearest ones; None where they are."""
        if self.rule.rounding == "nearest" or (hessian := self._hessians.get(layer.node.name)) is None:
            return None
        rows = layer.weight.float().flatten(1).unflatten(0, (layer.groups, -1))
        found = round_weights(rows, scales.reshape(layer.groups, -1, 1), hessian, -high, high)
        return found.reshape(layer.weight.shape)

    @cached_property
    def _hessians(self) -> Mapping[str, torch.Tensor]:
        layers = [layer.node for site in self.sites for layer in site.placed.anchors]
        return hessians(self.islands.program, self.view, layers) or {}

    def scales(self, layer: LinearMap, high: int) -> torch.Tensor:
        """Scales of a weight, one for each element of its channel axis; 0 where all weights are."""
        rows = layer.weight.float().movedim(int(layer.transposed), 0).flatten(1)
        whole = self.scheme.weight_granularity == "tensor"
        groups = rows.reshape(1, -1) if whole else rows
        found = least_squares_scales(groups, -high, high) if self.rule.weights == "mse" else absmax_scales(groups, high)
        return torch.where(groups.abs().amax(1) > 0, found, 0.0).expand(len(rows)).clone()

    def ranges(self) -> dict[str, Range | None] | None:
        """The range of each value by name; None without data. Found once."""
        if self._ranges is None:
            kinds = {
                root.name: self.kind(root)
                for site in self.sites
                for value in site.placed.values
                if (root := self.islands.root(value))
            }
            # Engines that do not split integers give each part a range of its own: so the data are not run over again.
            parts = [value for site in self.sites for value in map(bare, site.placed.values) if is_part(value)]
            wanted = kinds | {part.name: self.kind(part) for part in parts}
            means = dict.fromkeys(_mean_of(layer) for site in self.sites for layer in site.placed.anchors)
            notes = self.view.notes
            new = {name: kind for name, kind in wanted.items() if (name, kind) not in notes}
            unknown = [mean for mean in means if mean not in notes]
            if new or unknown:
                batches = self.view.observe({*new, *(name for name, _ in unknown)})
                if batches is None:
                    return None
                seen, found_means = observe(batches, new, unknown)
                again = partial(self.view.observe, new.keys(), gradients=True)
                found = choose(seen, new, self.rule.observer, lambda: again() or ())
                notes |= {(name, new[name]): item.span for name, item in found.items()}
                notes |= found_means
            self._ranges = {name: notes.get((name, kind)) for name, kind in kinds.items()}
            self._means = {mean: notes[mean] for mean in means if mean in notes}
        return self._ranges

    def obstacle(self, site: _Site) -> str:
        """Why nothing could be fitted."""
        ranges = self.ranges()
        if ranges is None:
            return "it needs calibration data (--calib)"
        value = next(v for v in site.placed.values if ranges.get(self.islands.root(v).name) is None)
        return f"{value.name} is NaN or infinite on the calibration data"


def _mean_of(layer: LinearMap) -> tuple[str, int]:
    return bare(layer.input).name, layer.axis


def _shift(layer: LinearMap, scales: torch.Tensor, mean: torch.Tensor, integers: torch.Tensor) -> torch.Tensor:
    """How far the mean output is moved by the rounding of the weights: float64, shape (channels out,)."""
    shape = [1] * layer.weight.dim()
    shape[int(layer.transposed)] = -1
    return replace(layer, weight=integers * scales.reshape(shape) - layer.weight.float()).of_constant(mean)


def _names(nodes: Any) -> list[str]:
    return [node.name for node in nodes]


def _is_done(region: Region) -> bool:
    """Whether a region without weights of its own takes integers already."""
    return all(is_dequantize(value) for node in region.nodes if is_anchor(node) for value in activations(node))
