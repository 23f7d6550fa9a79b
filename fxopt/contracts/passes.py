"""The contract of a rewrite: `Pass`, and the `View` through which it sees the world."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.candidate import Candidate, Stage
from fxopt.contracts.options import Configurable

if TYPE_CHECKING:
    import torch
    from torch.fx import Node

    from fxopt.contracts.quantization import QuantScheme
    from fxopt.contracts.target import Capabilities
    from fxopt.ir.edit import Edit
    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Decline:
    """A near miss: the site looked right, and why nothing was proposed there."""

    rule: str
    site: str
    reason: str


@dataclass(frozen=True)
class Observed:
    """A value inside a Program for a batch of calibration data.

    Attributes:
        value: of shape (samples, ...), or whatever the node's value is.
        gradient: of the log likelihood of an answer drawn from the model's own output, of the shape of `value`, where it
            was asked for and the outputs depend on the value. A sample's part is that of its own output.
    """

    value: torch.Tensor
    gradient: torch.Tensor | None = None


@dataclass
class View:
    """All that a pass may know beside the Program.

    Attributes:
        rule: name of the pass that looks.
        capabilities: what the hardware can do; None where no target is chosen.
        scheme: how the engine wants its integers, with the widest weights first whose sums a test on this machine found
            right; None where it has none, or no engine is chosen yet, as for passes before the stage PRECISION.
        declines: the near misses so far.
        asked: whether the pass has asked for statistics or values over calibration data, were there any or not.
    """

    rule: str
    capabilities: Capabilities | None = None
    scheme: QuantScheme | None = None
    declines: list[Decline] = field(default_factory=list)
    asked: bool = False
    _statistics: Callable[[Node, str], torch.Tensor | None] | None = None
    _observe: Callable[[Collection[str], bool], Iterator[Mapping[str, Observed]]] | None = None
    _notes: Callable[[], MutableMapping[Any, Any]] = dict
    _fitted: Mapping[str, torch.Tensor] = field(default_factory=dict)
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
        self.asked = True
        return self._statistics(node, kind) if self._statistics else None

    def observe(self, names: Collection[str], gradients: bool = False) -> Iterator[Mapping[str, Observed]] | None:
        """The values of some nodes, batch by batch over the calibration data; None without such data.

        Each call runs the Program over the data; ask for all that is needed at once, from within `fit`. Passes of other
        distributions, which are called in a process of their own, have `statistics` only: for them this is None.

        Args:
            names: of inputs and calls whose values are tensors.
            gradients: whether each float value comes with its gradient. Their squares are the Fisher information, which
                tells how much a change of the value matters; data are then limited to fewer samples, and for what is no
                classifier the answer is drawn around the output (Gauss-Newton).

        Raises:
            DataError: the Program fails on the data.
        """
        self.asked = True
        return self._observe(names, gradients) if self._observe else None

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """What this pass, with these options, has noted about this Program and these calibration data before.

        Several engines are planned for on one Program: what was observed for the first need not be observed again for the
        next. Only what follows from Program, data and options belongs here. They last as long as the run; without data,
        and for passes that are called in a process of their own, they are always empty.
        """
        return self._notes()

    def fit(self, candidate: Candidate, compute: Callable[[], Mapping[str, torch.Tensor] | None]) -> Candidate | None:
        """The candidate with what is fitted to data for it; None where that cannot be had.

        A plan keeps what was fitted, so that its steps are replayed without data and without the cost: then `compute`
        is not called.

        Args:
            candidate: one of which `apply` needs `fitted`.
            compute: what is fitted, by name; None where the data are missing.
        """
        known = candidate.known(self._fitted)
        fitted = known or compute()
        return None if fitted is None else dataclasses.replace(candidate, fitted=fitted)


@dataclass(frozen=True)
class Pass(Configurable, abc.ABC):
    """One kind of rewrite. Subclasses are frozen dataclasses whose fields are their options.

    Attributes:
        name: as in specs.
        stage: when it comes.
        prepares: whether its rewrites bring nothing by themselves, and make lower precision lose less. They are tried
            under that alone, and only where without them the quality budget was broken.
        hasty: options under which its rewrites take a network as long, and are found sooner: for where only latency is asked
            for.

    `propose` finds sites and changes nothing; `apply` rewrites one site inside a transaction. Whether a rewrite
    is worth it is not its question: targets price Programs.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage] = Stage.FUSE
    prepares: ClassVar[bool] = False
    hasty: ClassVar[Mapping[str, Any]] = {}

    @abc.abstractmethod
    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        """Yield a candidate for each site, in graph order; decline every near miss with `view.decline`."""

    @abc.abstractmethod
    def apply(self, edit: Edit, candidate: Candidate) -> None:
        """Do the rewrite.

        Raises:
            StaleCandidate: the site is gone or is not what it was.
        """
