"""What may ship, and which of it does."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fxopt.measure import holm

if TYPE_CHECKING:
    from fxopt.compiler.lab import EngineLab
    from fxopt.compiler.search import Search
    from fxopt.compiler.session import Session
    from fxopt.contracts.cost import Budget
    from fxopt.contracts.planner import Build, Ratio
    from fxopt.ir.program import Program

AS_FAST = 1.02  # times the latency of the fastest: no more than what a session tells apart


@dataclass(frozen=True)
class Contender:
    """A build that competes for what ships: the unmodified model on an engine, a plan, or an engine's own recipe."""

    engine: str
    build: Build
    lab: EngineLab
    peak_bytes: int | None = None  # predicted

    @property
    def artifact(self) -> Path:
        """Where it lies."""
        return self.lab.artifacts[self.build.key]

    @property
    def program(self) -> Program:
        """What it was emitted from; of a recipe the unmodified Program."""
        return self.lab.programs[self.build.key]

    @property
    def checked_against(self) -> Program | None:
        """As `EngineLab.checked_against`."""
        return self.lab.checked_against(self.build)

    @property
    def loss(self) -> float:
        """The drop of the metric on the samples that the search has seen, in its own unit; none where it is exact."""
        drop = self.lab.drops.get(self.build.key)
        if drop is None:
            return math.inf if self.lab.lossy(self.build) else 0.0
        return drop.drop

    @property
    def unmodified(self) -> bool:
        """Whether it is the unmodified model."""
        return self.build.key == self.lab.baseline.key


@dataclass(frozen=True)
class Outcome:
    """What a run decided, and the session that it rests on.

    Attributes:
        found: all rewrites, those that were offered for the engine that ships among them.
        session: the confirming measurement, whose base is the best engine on the unmodified model.
        contenders: by their names in the session; the unmodified ones first.
        shipped: name of what ships.
    """

    found: Search
    session: Session
    contenders: dict[str, Contender]
    shipped: str

    @property
    def base(self) -> str:
        """Name of what the result is compared with."""
        return self.session.base


def ranked(budget: Budget, contenders: Mapping[str, Contender], session: Session) -> list[str]:
    """What may ship, the best first; if nothing keeps the limits, what is least far from them first.

    The fastest that keeps the limits, where latency is minimized, and of those that are as fast what loses least: a plan, if
    it is proven faster than the best engine on the unmodified model, or if that breaks a limit. The smallest that keeps the
    limits, where size is: with no limit on latency, what is proven slower than the unmodified model is none.
    """
    measured = [name for name in contenders if name in session.variants]
    fits = [name for name in measured if _excess(budget, contenders, session, name) <= 1]
    if not fits:
        return [*sorted(measured, key=lambda name: _excess(budget, contenders, session, name)), session.base]
    if budget.minimize == "size":
        if budget.max_latency_ms is None:
            fits = [name for name in fits if not _slower(session.variants[name].ratio)]
        return [*sorted(fits, key=lambda name: (contenders[name].build.size_bytes, _pace(session, name))), session.base]
    best = [name for name in _proven(contenders, session) if name in fits]
    order = _by_pace(best, contenders, session)
    if session.base in fits:
        return [*order, session.base]
    rest = _by_pace([name for name in fits if name not in order], contenders, session)
    return [*order, *rest, session.base]


def _by_pace(names: Collection[str], contenders: Mapping[str, Contender], session: Session) -> list[str]:
    """The fastest first; of those that are as fast, what loses least on the samples that the search has seen."""
    left, order = sorted(names, key=lambda name: _pace(session, name)), list[str]()
    while left:
        alike = [name for name in left if _pace(session, name) <= AS_FAST * _pace(session, left[0])]
        order += sorted(alike, key=lambda name: contenders[name].loss)
        left = left[len(alike) :]
    return order


def _excess(budget: Budget, contenders: Mapping[str, Contender], session: Session, name: str) -> float:
    """What is reached over its limit, the largest of all that are limited; at most 1 where all limits are kept."""
    measured = session.variants[name]
    figures = (
        (measured.latency_ms.estimate, budget.max_latency_ms),
        (measured.p99_ms, budget.max_p99_ms),
        (contenders[name].build.size_bytes, budget.max_size_bytes),
        (contenders[name].peak_bytes, budget.max_memory_bytes),
    )
    shares = (
        figure / limit if limit and figure is not None else math.inf for figure, limit in figures if limit is not None
    )
    return max(shares, default=0.0)


def _slower(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.interval.low > 1


def _pace(session: Session, name: str) -> float:
    """By paired ratios, as everything else: the machine's pace changes within a session."""
    ratio = session.variants[name].ratio
    return 1.0 if ratio is None else ratio.interval.estimate


def _proven(contenders: Mapping[str, Contender], session: Session) -> list[str]:
    """The plans that are proven faster than the base; of the exact ones of an engine one.

    That is the one of the fewest steps, but for a larger one that is faster beyond both intervals. Plans that cost quality
    all stay: which of them ships is also a matter of what they keep on samples that no search has seen.
    """
    measured = ((name, item.ratio) for name, item in session.variants.items() if not contenders[name].unmodified)
    ratios = {name: ratio for name, ratio in measured if ratio is not None}
    standing = holm({name: ratio.p_value for name, ratio in ratios.items()}, 1 - session.confidence)
    winners = {name: ratios[name] for name in ratios if name in standing and session.variants[name].faster}
    best: dict[str, str] = {}
    lossy = [name for name in winners if contenders[name].lab.lossy(contenders[name].build)]
    exact = [name for name in winners if name not in lossy]
    for name in sorted(exact, key=lambda name: (len(contenders[name].build.steps), winners[name].interval.estimate)):
        smaller = best.setdefault(contenders[name].engine, name)
        if winners[name].interval.high < winners[smaller].interval.low:
            best[contenders[name].engine] = name
    return [*best.values(), *lossy]
