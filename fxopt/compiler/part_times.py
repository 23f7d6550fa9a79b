"""What parts of one engine's builds take: foretold, and by the engine's profiles, from which prices are learned."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from fxopt.compiler import profiles
from fxopt.contracts.planner import Foretold
from fxopt.prices.place import Place

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.planner import Build
    from fxopt.contracts.price import Prediction
    from fxopt.contracts.target import Target
    from fxopt.ir.program import Program
    from fxopt.prices.predict import Experience


@dataclass
class PartTimes:
    """Of each part the first figure is kept, for the ledger: plans begin with whole kinds.

    Attributes:
        engine: as it is asked for.
        target: which prices programs; None where none does.
        experience: which learns from the profiles of builds.
        foretold: milliseconds of steps' parts, by id.
        profiled: likewise, by the engine's profile.
        floats: milliseconds by node, of builds of exact steps.
    """

    engine: Engine
    target: Target | None
    experience: Experience | None
    foretold: dict[str, float] = field(default_factory=dict)
    profiled: dict[str, float] = field(default_factory=dict)
    floats: dict[str, float] = field(default_factory=dict)
    _learned: set[str] = field(default_factory=set)

    def price(self, program: Program) -> Prediction | None:
        """What a program is expected to take; None where the target cannot tell."""
        target = self.target
        if target is None:
            return None
        key = f"price at {Place.of(self.engine, target.machine())}"
        found: Prediction | None = program.memo(key, lambda program: target.price(program, self.engine))
        return found

    def foretell(self, program: Program, makers: Mapping[str, str]) -> Foretold | None:
        """As `Lab.foretell`.

        Args:
            program: with the steps.
            makers: of its nodes: ids of steps, by name.
        """
        price = self.price(program)
        if price is None:
            return None
        kernels = [{"covers": item.piece.nodes, "ms": item.estimate.milliseconds} for item in price.pieces]
        by_step, by_node = profiles.by_step(kernels, makers), profiles.by_node(kernels)
        self.foretold = {**by_step, **self.foretold}
        return Foretold(price.milliseconds, price.spread, by_step, by_node, _neighbours(program, makers))

    def learn(self, build: Build, program: Program, kernels: Sequence[Mapping[str, Any]]) -> None:
        """Learn from the profile of a build, once; not of an engine's own recipe, whose program is not known."""
        if self.experience is None or build.recipe is not None or build.key in self._learned:
            return
        self._learned.add(build.key)
        if build.tunings.keys() <= {option.name for option in fields(self.engine)}:  # an artifact may have others
            self.experience.add(replace(self.engine, **build.tunings), program, kernels)

    def by_step(self, kernels: Sequence[Mapping[str, Any]], makers: Mapping[str, str]) -> dict[str, float]:
        """As `Lab.step_times`, of a build's profile."""
        times = profiles.by_step(kernels, makers)
        self.profiled = {**times, **self.profiled}
        return times

    def by_node(self, kernels: Sequence[Mapping[str, Any]], exact: bool) -> dict[str, float]:
        """As `Lab.node_times`, of a build's profile, which may be of exact steps alone."""
        times = profiles.by_node(kernels)
        if exact:
            self.floats = {**times, **self.floats}
        return times

    def of_floats(self, nodes: Collection[str]) -> float | None:
        """Milliseconds of nodes in floats, as far as they were profiled."""
        known = [self.floats[node] for node in sorted(nodes) if node in self.floats]
        return sum(known) if known else None


def _neighbours(program: Program, makers: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Steps of which one's part takes what the other's gives."""
    pairs = (
        (makers[used.name], makers[node.name])
        for node in program.calls
        if node.name in makers
        for used in node.all_input_nodes
        if used.name in makers
    )
    return frozenset((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
