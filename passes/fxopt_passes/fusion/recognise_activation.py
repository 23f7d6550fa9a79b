"""Recognise activations that are written out in arithmetic, and call their operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Stage
from fxopt_passes.fusion.polynomial import ARITHMETIC, Polynomial, leaves
from fxopt_passes.local import Call, Found, LocalRewrite
from fxopt_passes.matching import Source, arguments, is_call, is_float

aten = torch.ops.aten

_TANH_SCALE = math.sqrt(2 / math.pi)
_IDENTITY, _GATE, _HALF_GATE = {(1,): 1.0}, {(1, 1): 1.0}, {(1, 0): 0.5, (1, 1): 0.5}
_SIXTH = {(1,): 1 / 6, (0,): 0.5}


@dataclass(frozen=True)
class Formula:
    """An activation as `whole(x, f(argument(x)))`.

    Attributes:
        function: the kind of `f`, as `_function` names it.
        argument: polynomial in x.
        whole: polynomial in x and the value of `f`.
        target: the operator that computes it.
    """

    name: str
    function: tuple[Any, ...]
    argument: dict[tuple[int, ...], float]
    whole: dict[tuple[int, ...], float]
    target: Any
    kwargs: dict[str, Any] = field(default_factory=dict)


_FORMULAS = (
    Formula("GELU", ("erf",), {(1,): math.sqrt(0.5)}, _HALF_GATE, aten.gelu.default),
    Formula(
        "GELU", ("tanh",), {(1,): _TANH_SCALE, (3,): 0.044715 * _TANH_SCALE}, _HALF_GATE,
        aten.gelu.default, {"approximate": "tanh"},
    ),
    Formula("SiLU", ("sigmoid",), _IDENTITY, _GATE, aten.silu.default),
    Formula("Mish", ("tanh softplus",), _IDENTITY, _GATE, aten.mish.default),
    Formula("HardSwish", ("hardsigmoid",), _IDENTITY, _GATE, aten.hardswish.default),
    Formula("HardSwish", ("clamp", 0, 6), {(1,): 1.0, (0,): 3.0}, {(1, 1): 1 / 6}, aten.hardswish.default),
    Formula("HardSwish", ("clamp", 0, 1), _SIXTH, _GATE, aten.hardswish.default),
    Formula("HardSigmoid", ("clamp", 0, 6), {(1,): 1.0, (0,): 3.0}, {(0, 1): 1 / 6}, aten.hardsigmoid.default),
    Formula("HardSigmoid", ("clamp", 0, 1), _SIXTH, {(0, 1): 1.0}, aten.hardsigmoid.default),
)  # fmt: skip


@dataclass(frozen=True)
class RecogniseActivation(LocalRewrite):
    """Write decomposed GELU, SiLU, HardSwish, HardSigmoid and Mish as one call."""

    name: ClassVar[str] = "recognise_activation"
    stage: ClassVar[Stage] = Stage.FUSE

    def match(self, source: Source, node: Node) -> Found | str | None:
        function = _function(node)
        if not is_call(node, *ARITHMETIC) and not (function and function[0] == "clamp"):
            return None
        near = None
        for gate in (item for item in leaves(node) if _function(item)):
            for formula in _FORMULAS:
                if formula.function == _function(gate):
                    found = _match(source, node, gate, formula)
                    if isinstance(found, Found):
                        return found
                    near = near or found
        return near


def _match(source: Source, node: Node, gate: Node, formula: Formula) -> Found | str | None:
    gated = [gate.args[0]] if gate.target != aten.tanh.default or formula.name != "Mish" else [gate.args[0].args[0]]  # type: ignore[union-attr]
    for x in _shared(node, gate, gated[0], formula):
        argument = Polynomial(source, gated[0], (x,))  # type: ignore[arg-type]
        if not argument.equals(formula.argument):
            continue
        whole = Polynomial(source, node, (x, gate))
        if not whole.equals(formula.whole):
            continue
        if not is_float(x):
            return f"{formula.name} of integers"
        between = {gate, *([gate.args[0]] if formula.name == "Mish" else [])}
        inner = (argument.inner | whole.inner | between) - {node}
        return Found(Call(formula.target, (x,), formula.kwargs), inner=inner)  # type: ignore[arg-type]
    if formula.function == ("tanh",) and _looks_like_gelu(source, node, gate):
        return "the tanh's argument is not that of GELU"
    return None


def _shared(node: Node, gate: Node, argument: object, formula: Formula) -> Iterator[Node]:
    """What x may be: values in the gate's argument that the whole takes too, where the formula has it there."""
    outside = set(leaves(node))
    for item in leaves(argument):
        if item is not gate and (item in outside or all(power[0] == 0 for power in formula.whole)):
            yield item


def _looks_like_gelu(source: Source, node: Node, gate: Node) -> bool:
    return any(Polynomial(source, node, (item, gate)).equals(_HALF_GATE) for item in leaves(node) if item is not gate)


def _function(node: Node) -> tuple[Any, ...] | None:
    """The kind of a call that may be the nonlinear part of a formula."""
    if is_call(node, aten.erf.default):
        return ("erf",)
    if is_call(node, aten.sigmoid.default):
        return ("sigmoid",)
    if is_call(node, aten.hardsigmoid.default):
        return ("hardsigmoid",)
    if is_call(node, aten.tanh.default):
        return ("tanh softplus",) if _is_softplus(node.args[0]) else ("tanh",)
    if is_call(node, aten.relu6.default):
        return ("clamp", 0, 6)
    if is_call(node, aten.hardtanh.default):
        return ("clamp", arguments(node)["min_val"], arguments(node)["max_val"])
    if is_call(node, aten.clamp.default):
        return ("clamp", arguments(node)["min"], arguments(node)["max"])
    return None


def _is_softplus(node: object) -> bool:
    """Whether it is the softplus of Mish, which is the identity above 20: tanh cannot tell a later threshold."""
    if not is_call(node, aten.softplus.default):
        return False
    call = arguments(node)  # type: ignore[arg-type]
    return bool(call["beta"] == 1 and call["threshold"] >= 20)
