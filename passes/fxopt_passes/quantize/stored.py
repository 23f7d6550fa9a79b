"""What kinds share that store weights otherwise: which constants are weights, and the same layers with others."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from fxopt import Candidate, Edit, Fidelity, Pass, Stage, StaleCandidate
from fxopt_passes.fusion.linear_maps import is_linear
from fxopt_passes.matching import Source, arguments, is_call

if TYPE_CHECKING:
    from fxopt import Program, View

aten = torch.ops.aten

_TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)


@dataclass(frozen=True)
class Weight:
    """A constant that layers take as their weight, and nothing else takes.

    Attributes:
        node: the get_attr node that holds it.
        value: the tensor, of two or more axes; float32, in a float64 twin float64.
        layers: the calls that take it, in graph order: linear layers, convolutions, embeddings.
    """

    node: Node
    value: torch.Tensor
    layers: tuple[Node, ...]

    @property
    def linear(self) -> bool:
        """Whether all its layers are linear layers."""
        return all(is_call(layer, aten.linear.default) for layer in self.layers)

    @property
    def axis(self) -> int:
        """The axis of the output channels; of an embedding's rows."""
        return int(all(is_call(layer, *_TRANSPOSED) for layer in self.layers))

    def replace(self, edit: Edit, other: Node) -> None:
        """Let the layers take another weight."""
        for layer in self.layers:
            args, kwargs = map_arg((layer.args, layer.kwargs), lambda used: other if used is self.node else used)
            edit.replace(layer, edit.call(layer.target, args, kwargs))


def weights(program: Program, view: View) -> Iterator[Weight]:
    """The weights of a Program in the order of their first layers; those that others use as well are declined."""
    seen: set[Node] = set()
    for node in program.calls:
        held = _held(program, node)
        if held is None or held in seen:
            continue
        seen.add(held)
        found = _weight(program, held)
        if isinstance(found, str):
            view.decline(node, found)
        else:
            yield found


def weight_of(edit: Edit, candidate: Candidate) -> Weight:
    """The weight of a candidate's layers.

    Raises:
        StaleCandidate: the layers are gone, or do not share a weight of their own.
    """
    layers = edit.nodes(candidate)
    held = {_held(edit, layer) for layer in layers}
    node = next(iter(held))
    found = _weight(edit, node) if len(held) == 1 and node is not None else "no weight"
    if isinstance(found, str) or set(found.layers) != set(layers):
        raise StaleCandidate(f"{candidate.id}: the site is not what it was")
    return found


def _held(source: Source, node: Node) -> Node | None:
    """The get_attr node of a layer's weight."""
    if not is_linear(node) and not is_call(node, aten.embedding.default):
        return None
    held = arguments(node)["weight"]
    value = source.tensor(held)
    return held if value is not None and value.dim() >= 2 and value.is_floating_point() else None


def _weight(source: Source, held: Node) -> Weight | str:
    value = source.tensor(held)
    assert value is not None
    layers = []
    for user in sorted(held.users):
        if _held(source, user) is not held or user.all_input_nodes.count(held) != 1 or _times(user, held) != 1:
            return f"its weight is used by {user.name} as well"
        layers.append(user)
    if value.dtype not in (torch.float32, torch.float64):
        return f"its weight is stored in {8 * value.element_size()} bits already"
    if not value.numel() or not math.isfinite(value.sum(dtype=torch.float64)):
        return "its weight holds no numbers" if not value.numel() else "its weight is not finite"
    return Weight(held, value, tuple(layers))


def _times(user: Node, used: Node) -> int:
    found: list[Node] = []
    map_arg((user.args, user.kwargs), found.append)
    return found.count(used)


@dataclass(frozen=True)
class StoredWeights(Pass, abc.ABC):
    """A pass whose candidates store one weight otherwise, and give it back in an expression before its layers.

    A weight has one candidate, whose site are the layers that take it.
    """

    stage: ClassVar[Stage] = Stage.PRECISION
    fidelity: ClassVar[Fidelity] = Fidelity.APPROXIMATE

    @abc.abstractmethod
    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        """The candidate's parameters; or why there is none."""

    @abc.abstractmethod
    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        """Bytes that the weight then takes."""

    @abc.abstractmethod
    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        """The new constants, and the expression that gives the weight."""

    def fitting(
        self, program: Program, view: View
    ) -> Callable[[Weight, dict[str, Any]], Mapping[str, torch.Tensor] | None]:
        """What is fitted for a weight, by name: a function of the weight and its candidate's parameters."""
        return lambda weight, parameters: {}

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        fit = self.fitting(program, view)
        for weight in weights(program, view):
            form = self.form(weight, view)
            if not isinstance(form, str) and self.room(weight, form) >= weight.value.numel() * 4:
                form = "it would take no less room"
            if isinstance(form, str):
                view.decline(weight.layers[0], form)
                continue
            site = tuple(layer.name for layer in weight.layers)
            candidate = Candidate(
                self.name, site, frozenset(site), frozenset({weight.node.name}), form, fidelity=self.fidelity
            )
            fitted = view.fit(candidate, partial(fit, weight, form))
            if fitted is None:
                view.decline(weight.layers[0], "it needs calibration data (--calib)")
            else:
                yield fitted

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        weight = weight_of(edit, candidate)
        weight.replace(edit, self.unpack(edit, weight, candidate))
