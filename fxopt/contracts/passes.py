"""The contract of a rewrite: `Pass`, and the `View` through which it sees the world."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.candidate import Candidate, Stage
from fxopt.contracts.options import Configurable

if TYPE_CHECKING:
    import torch
    from torch.fx import Node

    from fxopt.contracts.target import Capabilities
    from fxopt.ir.edit import Edit
    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Decline:
    """A near miss: the site looked right, and why nothing was proposed there."""

    rule: str
    site: str
    reason: str


@dataclass
class View:
    """All that a pass may know beside the Program.

    Attributes:
        rule: name of the pass that looks.
        capabilities: what the engine can do; None where no engine is chosen.
        declines: the near misses so far.
    """

    rule: str
    capabilities: Capabilities | None = None
    declines: list[Decline] = field(default_factory=list)
    _statistics: Callable[[Node, str], torch.Tensor | None] | None = None
    _known: set[Decline] = field(default_factory=set)

    def decline(self, node: Node | str, reason: str) -> None:
        """Record that `node` was a near miss, and why: one clause, like "conv has 2 users"."""
        entry = Decline(self.rule, node if isinstance(node, str) else node.name, reason)
        if entry not in self._known:
            self._known.add(entry)
            self.declines.append(entry)

    def statistics(self, node: Node, kind: str) -> torch.Tensor | None:
        """A statistic of the node's value over the calibration data; None without calibration data.

        The first question about a Program runs it over the data; all passes share what was found. Values are those of
        the Program's own arithmetic, accumulated in float64. A step is replayed only where its pass offers the same
        candidate again, and there the last digits may differ: round what goes into a candidate's parameters.

        Args:
            node: an input or call of the Program whose value is a float tensor.
            kind: `"min"`, `"max"`, `"mean"`, `"absmax"`, or `"var"` (the mean squared distance from the mean).

        Returns:
            A float64 tensor of shape (channels,), over all samples and all axes but one: axis 1 of values of four or
            more axes, the last axis of two or three. Values with fewer axes, or where that axis has a dynamic size,
            count as one channel.

        Raises:
            ValueError: the node's value is a constant, empty, or no float tensor; or the kind is unknown.
        """
        return self._statistics(node, kind) if self._statistics else None


@dataclass(frozen=True)
class Pass(Configurable, abc.ABC):
    """One kind of rewrite. Subclasses are frozen dataclasses whose fields are their options.

    `propose` finds sites and changes nothing; `apply` rewrites one site inside a transaction. Whether a rewrite
    is worth it is not its question: targets price Programs.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage] = Stage.FUSE

    @abc.abstractmethod
    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        """Yield a candidate for each site, in graph order; decline every near miss with `view.decline`."""

    @abc.abstractmethod
    def apply(self, edit: Edit, candidate: Candidate) -> None:
        """Do the rewrite.

        Raises:
            StaleCandidate: the site is gone or is not what it was.
        """
