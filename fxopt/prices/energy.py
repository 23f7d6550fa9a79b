"""What energy a Program takes, as a rough estimate that only ratios of say something: of its arithmetic and of what it moves."""

from __future__ import annotations

from collections.abc import Iterable

from fxopt.contracts.price import Piece
from fxopt.ir.program import Program
from fxopt.prices.pieces import cut_calls, piece

# Picojoules in a process of 45 nm, of a multiplication with an addition and of 32 bits from and to memory. Source: Horowitz,
# "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9.
_MULTIPLY_ADD = {"float32": 4.6, "float16": 1.5, "bfloat16": 1.5, "int8": 0.23, "uint8": 0.23}
_MEMORY_WORD = 640.0
_CACHE_WORD = 10.0  # of 32 kB
_REUSED = 0.9  # share of activations that a cache holds until they are read


def energy(pieces: Iterable[Piece]) -> float:
    """Relative units that pieces take, as an engine would run them: weights from memory, most activations from a cache."""
    activation = _REUSED * _CACHE_WORD + (1 - _REUSED) * _MEMORY_WORD
    picojoules = (
        item.features["flops"] / 2 * _MULTIPLY_ADD.get(item.features["dtype"], _MULTIPLY_ADD["float32"])
        + item.features["weights"] / 4 * _MEMORY_WORD
        + (item.features["read"] + item.features["written"]) / 4 * activation
        for item in pieces
    )
    return float(sum(picojoules))


def calls_apart(program: Program) -> list[Piece]:
    """Each call as a piece of its own, where it is not known which ones an engine runs together."""
    return [piece(program, [node.name]) for node in cut_calls(program)]
