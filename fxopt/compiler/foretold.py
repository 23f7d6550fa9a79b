"""Sessions of a target whose hardware is not here: latencies are predicted, each with how far off it is expected to be.

A planner weighs them as if they were measured. What two builds have in common is off by the same in both, so that the ratio
of two latencies is known better than either: only kernels that one of them has count, and of their errors what two builds do not
have in common, as the target says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from fxopt.contracts.cost import Interval
from fxopt.contracts.engine import Artifact, Engine
from fxopt.contracts.planner import Ratio
from fxopt.contracts.price import Prediction
from fxopt.errors import EngineError

if TYPE_CHECKING:
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.registry import Registry

# Of intervals of what is foretold. Prices are off by tens of percent, so that at the confidence of what is measured next to
# nothing would ever be planned; nothing is proven by them in either case.
CONFIDENCE = 0.8
_NORMAL = NormalDist()
_REACH = _NORMAL.inv_cdf((1 + CONFIDENCE) / 2)  # standard deviations


@dataclass(frozen=True)
class Foreteller:
    """Prices artifacts on a target."""

    target: Target
    registry: Registry

    def price(self, engine: str, artifact: Path, program: Program) -> Prediction:
        """What an artifact of a Program is expected to take, under the options that it runs with.

        Raises:
            EngineError: the target cannot tell.
        """
        configured = _as_told(self.registry.make_engine(engine), Artifact.read(artifact).options)
        key = f"price by {self.target.spec()} on {configured.spec()}"
        found: Prediction | None = program.memo(key, lambda program: self.target.price(program, configured))
        if found is None:
            raise EngineError(f"{configured.name}: {self.target.name} cannot tell what it takes")
        return found

    def kernels(self, engine: str, artifact: Path, program: Program) -> list[dict[str, Any]]:
        """As `Workshop.kernels`, as they are foretold."""
        return as_kernels(self.price(engine, artifact, program))


def as_kernels(found: Prediction) -> list[dict[str, Any]]:
    """The pieces of a prediction in the form of `Workshop.kernels`."""
    return [
        {
            "name": item.piece.nodes[0],
            "kind": item.piece.features["main"],
            "covers": list(item.piece.nodes),
            "dtype": item.piece.features["dtype"],
            "ms": item.estimate.milliseconds,
        }
        for item in found.pieces
    ]


def _as_told(engine: Engine, options: Mapping[str, Any]) -> Engine:
    """An engine with the options that an artifact says that it runs with."""
    return replace(engine, **{f.name: options[f.name] for f in fields(engine) if f.name in options})


def interval(milliseconds: float, spread: float) -> Interval:
    """Where a time lies in 80 of 100 cases, its logarithm being normal."""
    reach = math.exp(_REACH * spread)
    return Interval(milliseconds, milliseconds / reach, milliseconds * reach)


def spread(found: Interval) -> float:
    """The standard deviation of the logarithm of a time that lies in an interval so."""
    return math.log(found.high / found.estimate) / _REACH


def ratio(mine: Prediction, base: Prediction, one_engine: bool = True) -> Ratio:
    """One predicted latency over another; what two engines do is not off together."""
    left, right = (_by_kernel(item) for item in (mine, base))
    first, second = _off(left - right) / mine.milliseconds, _off(right - left) / base.milliseconds
    common = min(mine.common, base.common) if one_engine else 0.0
    doubt = math.sqrt(first**2 + second**2 - 2 * common * first * second)
    value = mine.milliseconds / base.milliseconds
    if not doubt:
        return Ratio(Interval(1.0, 1.0, 1.0), 1.0, equal=True)
    return Ratio(interval(value, doubt), 2 * _NORMAL.cdf(-abs(math.log(value)) / doubt))


_Kernel = tuple[str, float, float]


def _by_kernel(found: Prediction) -> Counter[_Kernel]:
    return Counter((p.piece.kernel, p.estimate.milliseconds, p.estimate.spread) for p in found.pieces)


def _off(kernels: Counter[_Kernel]) -> float:
    """Milliseconds that some kernels together are expected to be off."""
    return sum(count * milliseconds * spread for (_, milliseconds, spread), count in kernels.items())


def fastest(prices: Mapping[str, Prediction], names: Sequence[str]) -> str:
    """The first of those that are predicted fastest."""
    return min((name for name in names if name in prices), key=lambda name: prices[name].milliseconds)
