"""What a pass proposes (`Candidate`), how faithful it claims to be (`Fidelity`), and what a plan is made of (`Step`)."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from fxopt.contracts import plain

if TYPE_CHECKING:
    import torch


class Fidelity(enum.Enum):
    """What a rewrite claims about the function it leaves behind; the compiler enforces the claim."""

    EXACT = "exact"  # equal in real arithmetic; checked in float64, and float32 error within 4 times the original's
    APPROXIMATE = "approximate"  # its error is measured against the quality budget
    NEEDS_RECOVERY = "needs_recovery"  # meaningful only after distillation or fine-tuning


class Stage(enum.IntEnum):
    """The order in which rewrites compose on one region."""

    CLEAN = 0
    SHAPE = 1
    FUSE = 2
    PRECISION = 3


@dataclass(frozen=True)
class Candidate:
    """One possible rewrite at one place, as plain data.

    Attributes:
        rule: name of the pass that proposed it.
        site: names of the nodes that it is about; the first names the place in reports.
        parameters: JSON values that `apply` needs beyond the site.
        reads: names of further nodes whose value or use the rewrite relies on.
        writes: names of the nodes that it replaces or makes dead. `site` need not be a subset.
        fidelity: the claim that the compiler checks.
        choice: candidates with one `choice` exclude one another.
        fitted: tensors that were fitted to data, by name, as `View.fit` adds them. They are no part of the identity: with
            other weights or data the same rewrite is fitted to other numbers.
    """

    rule: str
    site: tuple[str, ...]
    writes: frozenset[str]
    reads: frozenset[str] = frozenset()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fidelity: Fidelity = Fidelity.EXACT
    choice: str | None = None
    fitted: Mapping[str, torch.Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def id(self) -> str:
        """Stable and unique within a Program: rule, first site node, and a digest of the rest where there is more."""
        rest = json.dumps([self.site[1:], dict(self.parameters)], sort_keys=True)
        suffix = "" if rest == "[[], {}]" else "." + hashlib.sha256(rest.encode()).hexdigest()[:6]
        return f"{self.rule}@{self.site[0]}{suffix}"

    @property
    def footprint(self) -> frozenset[str]:
        """All nodes that the rewrite reads or writes."""
        return self.reads | self.writes | frozenset(self.site)

    def conflicts_with(self, other: Candidate) -> bool:
        """Whether the two cannot go into one round."""
        return bool(self.writes & other.footprint or other.writes & self.footprint)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """What was fitted, by names that are unique within a plan: `ID/NAME`."""
        return {f"{self.id}/{name}": value for name, value in self.fitted.items()}

    def known(self, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """What was fitted for a candidate of this identity, out of tensors named as in `tensors`."""
        prefix = f"{self.id}/"
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal candidate; what was fitted is not in it."""
        return {
            "rule": self.rule,
            "site": list(self.site),
            "writes": sorted(self.writes),
            "reads": sorted(self.reads),
            "parameters": dict(self.parameters),
            "fidelity": self.fidelity.value,
            "choice": self.choice,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            Damaged: the data are not of that form, or the site is empty.
        """
        forms = plain.hints(cls, "fitted")
        candidate = cls(**plain.record(forms, data))
        if not candidate.site:
            raise plain.Damaged("it is empty", ("site",))
        return candidate


@dataclass(frozen=True)
class Step:
    """A candidate within a plan.

    Attributes:
        candidate: what is done.
        spec: the pass with its options, in the option grammar.
        round: steps of one round are applied in one transaction, rounds in ascending order.
        needs: ids of the steps without which this one has no site.
        tensors: digests of the tensors that it produced, by attribute name, and of what was fitted, as in
            `Candidate.tensors`.
    """

    candidate: Candidate
    spec: str
    round: int
    needs: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The candidate's id."""
        return self.candidate.id

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal step."""
        return {
            "pass": self.spec,
            "round": self.round,
            "needs": list(self.needs),
            "tensors": dict(self.tensors),
            "candidate": self.candidate.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            Damaged: the data are not of that form.
        """
        forms = plain.hints(cls)
        given = plain.record({**{key: forms[key] for key in forms if key != "spec"}, "pass": forms["spec"]}, data)
        return cls(spec=given.pop("pass"), **given)
