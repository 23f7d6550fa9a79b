"""What options of lower precision bring and lose on one engine, as far as builds have shown it so far."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from fxopt import Step
from fxopt.contracts.planner import Build, Foretold, Ratio
from fxopt_plugins.planners.precision import Precision
from fxopt_plugins.planners.selection import Option, Selection

SPREAD = 0.05  # of what an option brings, by an engine's profile
_FASTER = 0.005  # of the latency, that a smaller plan has to save on paper: none that is slower may ship
_MOST_SCALE = 2.0  # between gains by profile and by the clock; what is beyond is no matter of scale
_LEAST = 0.01  # times what the budget allows, that a build is taken to lose which lost nothing on some hundred samples
_PULL = 0.3  # weight of one multiplier for all kinds, against what judged builds say of each


class Market:
    """Options with their prices.

    An option is an offer, or all offers of a kind together where nothing tells them apart. Prices are milliseconds against
    floats: by the engine's profile of the kind's build or, where it gives none, as foretold, in either case brought to
    what the clock said of the build. What two neighbours of one kind save together, since nothing is converted between
    them, is foretold.
    """

    def __init__(self, precision: Precision) -> None:
        """Begin with the kinds that were measured."""
        self.precision, self.problem, self.lab = precision, precision.problem, precision.lab
        self.members: dict[str, frozenset[str]] = {}  # ids of offers, by option
        self.kind: dict[str, str] = {}
        self.source: dict[str, str] = {}  # of prices, in words, by kind
        self.judged: list[tuple[frozenset[str], float]] = []  # options, and how many times what is allowed they lose
        self._latency: dict[str, float] = {}
        self._shares: dict[str, dict[str, float]] = {}  # what an option saves beside another one, by both
        self.forbidden: set[frozenset[str]] = set()  # sets of options that are known to be wrong together
        self._extra_bytes = 0.0  # of a build, beside its floats and what its options add
        for kind, build in precision.builds.items():
            ratio = precision.ratios.get(build.key)
            if ratio is not None and not ratio.equal:
                self._offer(kind, build)

    def _offer(self, kind: str, build: Build) -> None:
        ids = sorted(step for step in build.steps if step in self.precision.steps)
        profiled = self.precision.gains_ms(build)
        gains = profiled or self._foretold_gains(ids)
        known = {identity: gain for identity, gain in gains.items() if identity in ids}
        self.source[kind] = "by the engine's profile" if profiled else "as foretold" if known else "as a whole"
        if not known:
            self.members[kind], self.kind[kind] = frozenset(ids), kind
            self._latency[kind] = -self._gain_by_the_clock(self.precision.ratios[build.key])
            return
        typical = sum(known.values()) / len(known)
        of_all = {identity: known.get(identity, typical) for identity in ids}
        for identity, gain in self._to_the_clock(of_all, self.precision.ratios[build.key]).items():
            self.members[identity], self.kind[identity] = frozenset({identity}), kind
            self._latency[identity] = -gain

    def _foretold_gains(self, ids: Iterable[str]) -> dict[str, float]:
        floats, lower = self.precision.foretold_floats, self._foretell(ids)
        if floats is None or lower is None:
            return {}
        return {identity: self.precision.foretold_gain(self._step(identity), lower, floats) for identity in ids}

    @cached_property
    def _unmodified_ms(self) -> float:
        """What the unmodified program takes: measured, else by profile of what it becomes, else 1."""
        by_profile = sum(self.precision.float_times.values()) / self.precision.float_ratio
        return self.problem.latency_ms or by_profile or 1.0

    @property
    def base_ms(self) -> float:
        """What the program with all exact steps takes, against which options are priced."""
        return self._unmodified_ms * self.precision.float_ratio

    def _gain_by_the_clock(self, ratio: Ratio) -> float:
        """Milliseconds that a build is faster than the program with all exact steps."""
        return (self.precision.float_ratio - ratio.interval.estimate) * self._unmodified_ms

    def _to_the_clock(self, gains: Mapping[str, float], ratio: Ratio) -> dict[str, float]:
        """Gains that add up to what was measured, as far as that is likely.

        A profile costs time itself, which scales all; what it does not show, as conversions, adds to each.
        """
        total, wanted = sum(gains.values()), self._gain_by_the_clock(ratio)
        if total * wanted > 0:
            scale = min(max(wanted / total, 1 / _MOST_SCALE), _MOST_SCALE)
            return {identity: gain * scale for identity, gain in gains.items()}
        return {identity: gain + (wanted - total) / len(gains) for identity, gain in gains.items()}

    # -- what is chosen from -------------------------------------------------------------------------------------------

    def selection(self, most_loss: float, kinds: Collection[str]) -> Selection:
        """The problem by what is known now; losses are in multiples of what the budget allows once builds were judged.

        Args:
            most_loss: limit on losses; infinite for none.
            kinds: whose options there are to choose from.
        """
        budget, loss = self.problem.budget, self._losses
        if most_loss < math.inf or any(latency >= 0 for latency in self._latency.values()):
            self._look_at_boundaries()
        room = math.inf
        if budget.max_size_bytes is not None:
            room = budget.max_size_bytes - self._float_bytes - self._extra_bytes
        time = -_FASTER * self.base_ms if budget.minimize == "size" else math.inf
        if budget.max_latency_ms is not None:
            time = budget.max_latency_ms - self.base_ms
        names = {name for name in self.members if self.kind[name] in kinds}
        while apart := {name for name in names if not names.issuperset(self._needs.get(name, ()))}:
            names -= apart
        shared = {(a, b): ms + self._shares[b][a] for a, to in self._shares.items() for b, ms in to.items() if a < b}
        return Selection(
            {
                name: Option(self._latency[name], self.bytes([name]), loss[name])
                for name in self.members
                if name in names
            },
            [group for group in (every & names for every in self._exclusive) if len(group) > 1],
            {name: needs for name, needs in self._needs.items() if name in names},
            {pair: ms for pair, ms in shared.items() if names.issuperset(pair)},
            "size" if budget.minimize == "size" else "latency",
            time,
            room,
            most_loss,
            {group for group in self.forbidden if group <= names},
        )

    def steps(self, taken: Iterable[str]) -> list[Step]:
        """The offers of options."""
        ids = {identity for name in taken for identity in self.members[name]}
        return [step for step in self.problem.offers if step.id in ids]

    def options(self, build: Build) -> frozenset[str]:
        """The options that are in a build."""
        return frozenset(name for name, members in self.members.items() if members <= build.steps)

    def withdraw(self, ids: Collection[str]) -> None:
        """Offer no longer what an engine fails at."""
        for name in [name for name, members in self.members.items() if not members.isdisjoint(ids)]:
            del self.members[name], self.kind[name], self._latency[name]
            for other in self._shares.pop(name, {}):
                del self._shares[other][name]
        self.__dict__.pop("_exclusive", None)
        self.__dict__.pop("_needs", None)

    def bytes(self, taken: Iterable[str]) -> float:
        """What options add to the program's tensors, as far as that is known."""
        known = self.problem.size_change
        return float(sum(known.get(identity, 0) for name in taken for identity in self.members[name]))

    @cached_property
    def _float_bytes(self) -> int:
        return (self.precision.floats or self.lab.baseline).size_bytes

    @cached_property
    def _exclusive(self) -> list[frozenset[str]]:
        """Groups of options that conflict: those that write one node or share a choice, and who reads what another writes."""
        writers: dict[str, set[str]] = {}
        readers: dict[str, set[str]] = {}
        choices: dict[str, set[str]] = {}
        for name, members in self.members.items():
            for candidate in (self._step(identity).candidate for identity in members):
                for node in candidate.writes:
                    writers.setdefault(node, set()).add(name)
                for node in candidate.footprint - candidate.writes:
                    readers.setdefault(node, set()).add(name)
                if candidate.choice is not None:
                    choices.setdefault(candidate.choice, set()).add(name)
        groups = {frozenset(group) for group in (*writers.values(), *choices.values())}
        for node, group in writers.items():
            groups.update(map(frozenset, itertools.product(group, readers.get(node, set()) - group)))
        return sorted((group for group in groups if len(group) > 1), key=sorted)

    @cached_property
    def _needs(self) -> dict[str, list[str]]:
        home = {identity: name for name, members in self.members.items() for identity in members}
        found = {
            name: {home[need] for identity in members for need in self._step(identity).needs if need in home} - {name}
            for name, members in self.members.items()
        }
        return {name: sorted(needs) for name, needs in found.items() if needs}

    # -- boundaries ------------------------------------------------------------------------------------------------------

    def _look_at_boundaries(self) -> None:
        """Find out, once, what neighbours save: each kind is foretold whole, and with no two neighbours together.

        That some regions stand apart in a colouring of their graph tells for each what its boundaries cost, in few looks.
        """
        import networkx as nx

        if self._shares:
            return
        self._shares = {name: {} for name in self.members}
        for kind in dict.fromkeys(self.kind.values()):
            names = [name for name, of in self.kind.items() if of == kind and self.members[name] == {name}]
            whole = self._foretell(names)
            graph = nx.Graph([pair for pair in whole.neighbours if set(pair) <= set(names)] if whole else [])
            if whole is None or not graph:
                continue
            colours: dict[str, int] = nx.greedy_color(graph, "DSATUR")
            for colour in sorted(set(colours.values())):
                members = sorted(name for name in graph if colours[name] == colour)
                apart = self._foretell(members)
                if apart is None:
                    continue
                for name in members:
                    self._part(name, sorted(graph[name]), whole, apart)

    def _part(self, name: str, neighbours: list[str], whole: Foretold, apart: Foretold) -> None:
        if not {name} <= whole.step_ms.keys() & apart.step_ms.keys():
            return
        boundary = max(0.0, apart.step_ms[name] - whole.step_ms[name])
        self._latency[name] += boundary
        for other in neighbours:
            self._shares[name][other] = boundary / len(neighbours)
            self._shares[other].setdefault(name, 0.0)

    def _foretell(self, ids: Iterable[str]) -> Foretold | None:
        return self.lab.foretell([*self.precision.basis, *ids])

    def _step(self, identity: str) -> Step:
        return self.precision.steps[identity]

    # -- what builds teach -----------------------------------------------------------------------------------------------

    def judge(self, build: Build, excess: float) -> None:
        """Learn how many times what the budget allows a build loses, and what it takes of room."""
        taken = self.options(build)
        self.judged.append((taken, excess))
        if excess > 1:
            self.forbidden.add(taken)
        self._extra_bytes = max(self._extra_bytes, build.size_bytes - self._float_bytes - self.bytes(taken))

    def learn(self, build: Build) -> None:
        """Learn what the parts of a build take that was timed."""
        self._look_at_boundaries()
        taken = self.options(build)
        gains = {name: gain for name, gain in self.precision.gains_ms(build).items() if name in taken}
        if not gains or build.key not in self.precision.ratios:
            return
        for name, gain in self._to_the_clock(gains, self.precision.ratios[build.key]).items():
            beside = sum(share for other, share in self._shares.get(name, {}).items() if other in taken)
            self._latency[name] = beside - gain

    def latency(self, taken: Collection[str]) -> float:
        """Milliseconds against floats that options are expected to take together."""
        saved = sum(ms for name in taken for other, ms in self._shares.get(name, {}).items() if other in taken)
        return sum(self._latency[name] for name in taken) - saved

    def ratio(self, taken: Collection[str]) -> float:
        """The latency that options are expected to lead to, over the unmodified program's."""
        return (self.base_ms + self.latency(taken)) / self._unmodified_ms

    def least_ms(self, taken: Collection[str]) -> float:
        """The least that options may take with all that is not in them, as far as prices are known."""
        gain = -self.latency(taken)
        return self.base_ms - gain - SPREAD * abs(gain)

    def doubt(self, taken: Collection[str], other: Collection[str]) -> float:
        """How far the difference of two such sums may be off, in milliseconds."""
        changed = set(taken) ^ set(other)
        return SPREAD * math.sqrt(sum(self._latency[name] ** 2 for name in changed))

    def is_worth_saying(self, step: Step) -> bool:
        """Whether more is known of an offer than that its kind brings nothing."""
        name = next(name for name, members in self.members.items() if step.id in members)
        return self._latency[name] < 0 or self.precision.pays(self.precision.builds[step.spec])

    def why_not(self, step: Step, instead: Step | None) -> str:
        """Why an offer is not taken.

        Args:
            step: the offer.
            instead: what is taken where it would be.
        """
        if instead is not None:
            return f"{instead.spec} is taken there instead"
        name = next(name for name, members in self.members.items() if step.id in members)
        if self.problem.budget.minimize == "latency" and self._latency[name] >= 0:
            return f"slower {self.source[step.spec]}: {self._latency[name]:.3f} ms more than in floats"
        if any(excess > 1 for _, excess in self.judged):
            loss = self._losses[name]
            return f"given back: it loses {loss:.2g} times what the budget allows, as far as is known, for {-self._latency[name]:.3f} ms"
        return "the plan is no better with it"

    def loss(self, taken: Iterable[str]) -> float:
        """What options are expected to lose together."""
        return sum(self._losses[name] for name in taken)

    @property
    def _losses(self) -> dict[str, float]:
        """By option: its sensitivity, times what judged builds say of its kind."""
        multipliers = self._multipliers()
        return {name: loss * multipliers.get(self.kind[name], 1.0) for name, loss in self._sensitivities().items()}

    def _sensitivities(self) -> dict[str, float]:
        known = self.problem.sensitivity
        typical = sum(known.values()) / len(known) if known else 1.0
        return {
            name: sum(known.get(identity, typical) for identity in members) for name, members in self.members.items()
        }

    def _multipliers(self) -> dict[str, float]:
        """For each kind, by how much its sensitivities are multiplied: least squares of relative errors, none negative.

        A single multiplier for all kinds is what they are drawn to.
        """
        import numpy as np
        from scipy import optimize

        sensitivities, kinds = self._sensitivities(), list(dict.fromkeys(self.kind.values()))
        rows = []
        for taken, excess in self.judged:
            if excess < math.inf:
                lost = [sum(sensitivities.get(n, 0.0) for n in taken if self.kind.get(n) == kind) for kind in kinds]
                rows.append((np.array(lost), max(excess, _LEAST)))
        rows = [(lost, excess) for lost, excess in rows if lost.sum() > 0]
        if not rows:
            return {}
        typical = float(np.exp(np.mean([math.log(excess / lost.sum()) for lost, excess in rows])))
        matrix = np.array([*(lost / excess * typical for lost, excess in rows), *(_PULL * np.eye(len(kinds)))])
        wanted = np.array([1.0] * len(rows) + [_PULL] * len(kinds))
        found, _ = optimize.nnls(matrix, wanted)
        return {kind: typical * float(factor) for kind, factor in zip(kinds, found, strict=True)}
