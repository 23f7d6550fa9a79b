"""Arithmetic on few values read as a polynomial, so that every way of writing one formula looks the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import torch
from torch.fx import Node

from fxopt_passes.matching import Source, is_call, scalar_of

aten = torch.ops.aten

Powers = tuple[int, ...]  # the exponent of each variable
_MUL, _DIV = (aten.mul.Tensor, aten.mul.Scalar), (aten.div.Tensor, aten.div.Scalar)
_ADD, _SUB = (aten.add.Tensor, aten.add.Scalar), (aten.sub.Tensor, aten.sub.Scalar)
_SIMPLE = (aten.neg.default, aten.square.default, aten.pow.Tensor_Scalar, aten.rsub.Scalar)
ARITHMETIC = (*_MUL, *_DIV, *_ADD, *_SUB, *_SIMPLE)
_MAX_DEGREE, _MAX_DEPTH = 4, 10


class Polynomial:
    """A node's value as a polynomial in `variables`.

    Attributes:
        terms: coefficient by exponents of the variables; None where the node is no such polynomial.
        inner: the arithmetic calls that it is computed by.
    """

    def __init__(self, source: Source, node: Node, variables: tuple[Node, ...]) -> None:
        self._source, self._variables = source, variables
        self.inner: set[Node] = set()
        self.terms = self._read(node, 0)

    def equals(self, expected: Mapping[Powers, float]) -> bool:
        """Whether it is that polynomial, up to the float32 rounding of its coefficients."""
        return (
            self.terms is not None
            and self.terms.keys() == expected.keys()
            and all(abs(self.terms[power] - value) <= 3e-7 * abs(value) for power, value in expected.items())
        )

    def _read(self, node: object, depth: int) -> dict[Powers, float] | None:
        count = len(self._variables)
        if node in self._variables:
            index = self._variables.index(node)  # type: ignore[arg-type]
            return {tuple(int(i == index) for i in range(count)): 1.0}
        scalar = scalar_of(self._source, node)
        if scalar is not None:
            return {(0,) * count: scalar}
        if depth > _MAX_DEPTH or not isinstance(node, Node) or not is_call(node, *ARITHMETIC):
            return None
        self.inner.add(node)
        left = self._read(node.args[0], depth + 1)
        if left is None:
            return None
        if is_call(node, aten.neg.default):
            return _scaled(left, -1.0)
        if is_call(node, aten.square.default):
            return _product(left, left)
        if is_call(node, aten.pow.Tensor_Scalar):
            return _power(left, node.args[1])
        right = self._read(node.args[1], depth + 1)
        if right is None:
            return None
        if is_call(node, *_MUL):
            return _product(left, right)
        if is_call(node, *_DIV):
            divisor = right.get((0,) * count) if len(right) == 1 else None
            return _scaled(left, 1 / divisor) if divisor and "rounding_mode" not in node.kwargs else None
        alpha = node.kwargs.get("alpha", node.args[2] if len(node.args) > 2 else 1)
        if not isinstance(alpha, (int, float)):
            return None
        if is_call(node, aten.rsub.Scalar):
            return _sum(right, _scaled(left, -alpha))
        return _sum(left, _scaled(right, alpha if is_call(node, *_ADD) else -alpha))


def leaves(node: object, limit: int = 16) -> list[Node]:
    """All nodes that the arithmetic above `node` runs through, itself first, nearest first."""
    found: list[Node] = []
    waiting = [node]
    while waiting and len(found) < limit:
        item = waiting.pop(0)
        if isinstance(item, Node) and item not in found:
            found.append(item)
            if is_call(item, *ARITHMETIC):
                waiting += item.args[:2]
    return found


def _scaled(terms: dict[Powers, float], factor: float) -> dict[Powers, float]:
    return {power: value * factor for power, value in terms.items()}


def _sum(left: dict[Powers, float], right: dict[Powers, float]) -> dict[Powers, float]:
    total = {power: left.get(power, 0.0) + right.get(power, 0.0) for power in left.keys() | right.keys()}
    return {power: value for power, value in total.items() if value}


def _product(left: dict[Powers, float], right: dict[Powers, float]) -> dict[Powers, float] | None:
    total: dict[Powers, float] = {}
    for (first, a), (second, b) in product(left.items(), right.items()):
        power = tuple(map(sum, zip(first, second, strict=True)))
        if sum(power) > _MAX_DEGREE:
            return None
        total = _sum(total, {power: a * b})
    return total


def _power(terms: dict[Powers, float], exponent: object) -> dict[Powers, float] | None:
    if exponent not in (1, 2, 3):
        return None
    result: dict[Powers, float] | None = terms
    for _ in range(int(exponent) - 1):  # type: ignore[call-overload]
        result = _product(result, terms) if result is not None else None
    return result
