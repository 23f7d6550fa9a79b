"""Plans on paper: what a planner would choose by what is foretold, with nothing built."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fxopt.compiler import foretold, profiles
from fxopt.compiler.context import Context
from fxopt.compiler.frontier import rewrites_in_words
from fxopt.compiler.lowered import made_up
from fxopt.compiler.offers import offer
from fxopt.compiler.part_times import PartTimes
from fxopt.compiler.steps import closure, rewritten
from fxopt.contracts.planner import NOTHING_KNOWN, Build, Foretold, Look, Planner, Problem, Ratio
from fxopt.contracts.price import Prediction
from fxopt.ir.statistics import Statistics

if TYPE_CHECKING:
    from fxopt.compiler.search import Search
    from fxopt.contracts.cost import Budget
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.passes import Pass
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.registry import Registry


def on_paper(
    found: Search,
    passes: Sequence[Pass],
    engine: Engine,
    registry: Registry,
    target: Target,
    context: Context,
    budget: Budget,
    seconds: float,
) -> tuple[Problem, PaperLab] | None:
    """What a planner is to decide by what is foretold, and where it gets that; None where the target cannot tell.

    Ranges are fitted to made-up inputs: latencies do not depend on them, and of quality nothing is said.

    Args:
        found: the search for exact rewrites.
        passes: all passes.
        engine: that is planned for.
        registry: where passes come from.
        target: which prices programs.
        context: of the run.
        budget: objective and limits, of which that on quality is left aside.
        seconds: after which no new program is priced.
    """
    times = PartTimes(engine, target, None)
    if (price := times.price(found.source)) is None:
        return None
    scheme = engine.quant_scheme
    there = replace(context, statistics=Statistics(made_up(found.source)), lossy=True, scheme=scheme)
    offered = offer(found, passes, registry, there)
    isa = target.capabilities().isa
    lab = PaperLab(offered, registry, replace(there, fitted=offered.tensors), times, time.monotonic() + seconds)
    problem = Problem(
        found.source,
        (),
        budget,
        foretold.CONFIDENCE,
        lab,
        basis=found.steps,
        offers=offered.steps[len(found.steps) :],
        native=[] if scheme is None else [kind for kind in scheme.native if scheme.runs(kind, isa)],
        size_change=offered.size_change,
        latency_ms=price.milliseconds,
    )
    return problem, lab


def plans_on_paper(problem: Problem, lab: PaperLab, planner: Planner) -> list[dict[str, Any]]:
    """What lower precision is foretold to bring, as a planner chooses.

    Args:
        problem: of `on_paper`.
        lab: likewise.
        planner: what chooses.

    Returns:
        Plain data: the frontier of latency and size, the fastest first: `what`, `latency_ms`, and `weight_bytes`.
    """
    planner.plan(problem)
    points = [
        {
            "what": rewrites_in_words([step for step in lab.search.steps if step.id in build.steps]),
            "latency_ms": foretold.interval(lab.price(build).milliseconds, lab.price(build).spread).to_json(),
            "weight_bytes": build.size_bytes,
        }
        for build in lab.tried.values()
    ]
    return _frontier(points)


def _frontier(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that none is both faster than and smaller, the fastest first."""
    kept: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda point: (point["latency_ms"]["estimate"], point["weight_bytes"])):
        if all(point["weight_bytes"] < other["weight_bytes"] for other in kept):
            kept.append(point)
    return kept


@dataclass
class PaperLab:
    """A `Lab` whose builds are programs, and whose figures are foretold."""

    search: Search
    registry: Registry
    context: Context
    times: PartTimes
    deadline: float
    programs: dict[str, Program] = field(default_factory=dict)
    makers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    tried: dict[str, Build] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.baseline = self.build(())

    def build(self, steps: Collection[str]) -> Build:
        """As `Lab.build`; its size is that of the weights."""
        wanted = closure(self.search.steps, steps)
        program, skipped, makers = rewritten(self.search.source, wanted, self.registry, self.context)
        key = program.digest
        self.programs[key], self.makers[key] = program, makers
        kept = frozenset(step.id for step in wanted) - set(skipped)
        self.tried[key] = Build(key, kept, None, program.weight_bytes)
        return self.tried[key]

    def build_ahead(self, plans: Sequence[Collection[str]]) -> None:
        """Nothing: nothing is built."""

    def price(self, build: Build) -> Prediction:
        """What a build is expected to take."""
        found = self.times.price(self.programs[build.key])
        assert found is not None  # the target could tell of the unmodified program
        return found

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        """As `Lab.compare`, of what is foretold."""
        base = self.price(to or self.baseline)
        return {build.key: foretold.ratio(self.price(build), base) for build in builds}

    def runs(self, build: Build) -> bool:
        """As far as is known."""
        return True

    def why(self, failed: Collection[str] | Build) -> str:
        """Nothing fails on paper."""
        return "unknown"

    def recipes(self) -> list[Build]:
        """None: what an engine's own recipe makes is not known before it is made."""
        return []

    def tunings(self, build: Build) -> list[Build]:
        """None."""
        return []

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        """The build: quality is not foretold."""
        return build

    def excess(self, build: Build) -> float:
        """None: quality is not foretold."""
        return 0.0

    def step_times(self, build: Build) -> Mapping[str, float]:
        """As `Lab.step_times`, foretold."""
        return profiles.by_step(foretold.as_kernels(self.price(build)), self.makers[build.key])

    def node_times(self, build: Build) -> Mapping[str, float]:
        """As `Lab.node_times`, foretold."""
        return profiles.by_node(foretold.as_kernels(self.price(build)))

    def foretell(self, steps: Collection[str]) -> Foretold | None:
        """As `Lab.foretell`."""
        build = self.build(steps)
        return self.times.foretell(self.programs[build.key], self.makers[build.key])

    def refuse(self, steps: Collection[str], reason: str, group: str | None = None, ratio: Ratio | None = None) -> None:
        """Nothing: no ledger is written."""

    def skip(self, steps: Collection[str], reason: str, group: str | None = None) -> None:
        """Likewise."""

    def credit(self, steps: Collection[str], group: str, ratio: Ratio) -> None:
        """Likewise."""

    def tell(self, look: Look) -> None:
        """Likewise."""

    def out_of_time(self) -> bool:
        """As `Lab.out_of_time`."""
        return time.monotonic() > self.deadline
