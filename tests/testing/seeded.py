"""Two correct passes, and copies of them with one bug each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Edit, Fidelity, Pass, Program, StaleCandidate, View

aten = torch.ops.aten


@dataclass(frozen=True)
class Clamp(Pass):
    """Call clamp_min where relu is called on floats."""

    name: ClassVar[str] = "clamp"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if self.matches(node):
                yield self.candidate(node)

    def matches(self, node: Node) -> bool:
        return node.target is aten.relu.default and node.meta["val"].dtype.is_floating_point

    def candidate(self, node: Node) -> Candidate:
        return Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        if not self.matches(node):
            raise StaleCandidate(f"{candidate.id}: {node.name} is no relu")
        edit.replace(node, self.value(edit, node))

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.clamp_min.default, (node.args[0], 0.0))


@dataclass(frozen=True)
class FoldNorm(Pass):
    """Fold a batch norm into the convolution before it."""

    name: ClassVar[str] = "fold_norm"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            reason = self.obstacle(program, node)
            if reason:
                view.decline(node, reason)
            elif reason is None:
                yield self.candidate(program, node)

    def obstacle(self, source: Any, node: Node) -> str | None:
        """None for a site, "" for none, else the reason of a near miss."""
        if node.target is not aten.batch_norm.default or node.args[0].target is not aten.conv2d.default:
            return ""
        conv = node.args[0]
        if any(source.tensor(item) is None for item in (*node.args[1:5], conv.args[1])):
            return ""
        return None if len(conv.users) == 1 else f"{conv.name} has {len(conv.users)} users"

    def candidate(self, program: Program, node: Node) -> Candidate:
        conv = node.args[0]
        return Candidate(self.name, (node.name, conv.name), frozenset({node.name, conv.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node, conv = edit.nodes(candidate)
        if node.args[0] is not conv or self.obstacle(edit, node) is not None:
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        weight, scale, shift = edit.tensor(conv.args[1]), *self.affine(edit, node)
        bias = edit.tensor(conv.args[2]) if len(conv.args) > 2 else None
        folded = weight.double() * scale.reshape(-1, 1, 1, 1)
        total = shift if bias is None else shift + bias.double() * scale
        self.finish(edit, node, conv, folded.to(weight.dtype), total.to(weight.dtype))

    def affine(self, edit: Edit, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias, mean, var = (edit.tensor(item).double() for item in node.args[1:5])
        scale = weight / (var + node.args[7]).sqrt()
        return scale, bias - mean * scale

    def finish(self, edit: Edit, node: Node, conv: Node, weight: torch.Tensor, bias: torch.Tensor) -> None:
        edit.replace(
            node, edit.call(conv.target, (conv.args[0], edit.constant(weight), edit.constant(bias), *conv.args[3:]))
        )


# -- what is computed is wrong ---------------------------------------------------------------------------------------


class ForgetsEps(FoldNorm):
    """Divides by the square root of the variance alone."""

    def affine(self, edit: Edit, node: Node) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias, mean, var = (edit.tensor(item).double() for item in node.args[1:5])
        scale = weight / var.sqrt()
        return scale, bias - mean * scale


class ClaimsToBeExact(Clamp):
    """Claims that a smooth approximation is exact."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.gelu.default, node.args)


class WrongInFloat32Only(Clamp):
    """Adds and takes away a million: right in float64, noise in float32."""

    def value(self, edit: Edit, node: Node) -> Node:
        raised = edit.call(aten.add.Tensor, (super().value(edit, node), 1e6))
        return edit.call(aten.sub.Tensor, (raised, 1e6))


class ApproximatesByNaN(Clamp):
    """Claims no more than an approximation, and gives NaN."""

    def candidate(self, node: Node) -> Candidate:
        return replace(super().candidate(node), fidelity=Fidelity.APPROXIMATE)

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.sqrt.default, node.args)


class ApproximatesByNothing(ApproximatesByNaN):
    """Claims no more than an approximation, and gives zeros."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.zeros_like.default, node.args)


class ApproximatesWhereMeasured(ApproximatesByNaN):
    """Claims no more than an approximation, and is one at the measured batch size only."""

    def value(self, edit: Edit, node: Node) -> Node:
        rows = node.meta["val"].shape[0]
        if not isinstance(rows, torch.SymInt):
            return super(ApproximatesByNaN, self).value(edit, node)
        last = edit.call(aten.slice.Tensor, (node.args[0], 0, rows.node.hint, 2**62))
        first = edit.call(aten.slice.Tensor, (node.args[0], 0, 0, rows.node.hint))
        return edit.call(
            aten.clamp_min.default,
            (edit.call(aten.cat.default, ([first, edit.call(aten.mul.Tensor, (last, 1e3))],)), 0.0),
        )


class IgnoresSharedWeights(FoldNorm):
    """Puts the folded weight in place of the old one, for whoever uses it."""

    def candidate(self, program: Program, node: Node) -> Candidate:
        found = super().candidate(program, node)
        return replace(found, writes=found.writes | {node.args[0].args[1].name})

    def finish(self, edit: Edit, node: Node, conv: Node, weight: torch.Tensor, bias: torch.Tensor) -> None:
        shared = conv.args[1]
        super().finish(edit, node, conv, weight, bias)
        edit.replace(shared, edit.constant(weight))


class TakesOneBranch(Clamp):
    """Takes the first graph of a condition for both: wrong only inside a nested graph, and only where the test fails."""

    def matches(self, node: Node) -> bool:
        return node.target is torch.ops.higher_order.cond and node.args[1] is not node.args[2]

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(node.target, (node.args[0], node.args[1], node.args[1], node.args[3]))


class WrongAtBatch3(Clamp):
    """Divides by the number of elements that there were at the measured batch size."""

    def matches(self, node: Node) -> bool:
        return node.target is aten.mean.dim and 0 in node.args[1]

    def value(self, edit: Edit, node: Node) -> Node:
        count = math.prod(self.size(node.args[0].meta["val"].shape[axis]) for axis in node.args[1])
        return edit.call(aten.div.Tensor, (edit.call(aten.sum.dim_IntList, node.args), float(count)))

    def size(self, size: Any) -> int:
        return size.node.hint if isinstance(size, torch.SymInt) else size


class FixesADynamicSize(WrongAtBatch3):
    """Asks for the number that a dynamic size is, which makes it that number for the whole program."""

    def size(self, size: Any) -> int:
        return int(size)


class ChangesTheDtype(Clamp):
    """Leaves an output in double precision."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten._to_copy.default, (super().value(edit, node),), {"dtype": torch.float64})


class WritesIntoAView(Clamp):
    """Calls relu_ on what may be a view of another value."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.relu_.default, node.args)


class ClaimsAnotherShape(Clamp):
    """Writes a shape of its own over the inferred one."""

    def value(self, edit: Edit, node: Node) -> Node:
        new = super().value(edit, node)
        with edit.before.shapes.mode:
            new.meta["val"] = torch.empty(7)
        return new


class CallsAPythonFunction(Clamp):
    """Calls what no `.fx` file can hold."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(torch.relu, node.args)


# -- what is touched that must not be --------------------------------------------------------------------------------


class WritesOutsideItsFootprint(Clamp):
    """Gives new arguments to a user of the value, which is not among its writes."""

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        for user in list(node.users):
            user.replace_input_with(node, self.value(edit, node))


class LetsDieWhatItDoesNotWrite(FoldNorm):
    """Says nothing of the convolution, which dies."""

    def candidate(self, program: Program, node: Node) -> Candidate:
        return replace(super().candidate(program, node), writes=frozenset({node.name}))


class ReplacesWhatItDoesNotWrite(Clamp):
    """Replaces the relu's argument."""

    def value(self, edit: Edit, node: Node) -> Node:
        new = super().value(edit, node)
        edit.replace(node.args[0], edit.call(aten.neg.default, node.args))
        return new


class WritesIntoAWeight(FoldNorm):
    """Scales the weight where it lies."""

    def finish(self, edit: Edit, node: Node, conv: Node, weight: torch.Tensor, bias: torch.Tensor) -> None:
        edit.tensor(conv.args[1]).copy_(weight)
        edit.replace(node, edit.call(conv.target, (*conv.args[:2], edit.constant(bias), *conv.args[3:])))


class WritesIntoANestedGraph(Clamp):
    """Swaps an operator inside the graph of a condition, which all Programs share."""

    def matches(self, node: Node) -> bool:
        return node.target is torch.ops.higher_order.cond

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        for inner in edit.before.attributes[node.args[1].target].graph.nodes:
            if inner.target is aten.relu.default:
                inner.target = aten.gelu.default
        edit.replace(node, edit.call(node.target, node.args))


class MarksWhatItHasSeen(Clamp):
    """Leaves notes in the meta data of nodes."""

    def matches(self, node: Node) -> bool:
        node.meta["seen"] = True
        return super().matches(node)


class TriesInPropose(FoldNorm):
    """Scales a weight while it proposes, to see whether that would pay."""

    def candidate(self, program: Program, node: Node) -> Candidate:
        program.tensor(node.args[0].args[1]).mul_(0.5)
        return super().candidate(program, node)


# -- when it is done -------------------------------------------------------------------------------------------------


class DoesNotLookAgain(Clamp):
    """Takes the argument that the call had when it was proposed."""

    def candidate(self, node: Node) -> Candidate:
        return replace(super().candidate(node), parameters={"source": node.args[0].name})

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        source = edit.node(candidate.parameters["source"])
        edit.replace(node, edit.call(aten.clamp_min.default, (source, 0.0)))


class RemembersTheWeights(FoldNorm):
    """Computes the scale in propose, of weights that may be others by the time the plan is replayed."""

    def candidate(self, program: Program, node: Node) -> Candidate:
        scale, shift = super().affine(program, node)
        return replace(super().candidate(program, node), parameters={"scale": scale.tolist(), "shift": shift.tolist()})

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        known = tuple(torch.tensor(candidate.parameters[key], dtype=torch.float64) for key in ("scale", "shift"))
        fold = FoldNorm()
        object.__setattr__(fold, "affine", lambda *_: known)
        fold.apply(edit, candidate)


class RaisesAnythingWhereStale(Clamp):
    """Looks the node up where no StaleCandidate is raised."""

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node = {item.name: item for item in edit.before.calls}[candidate.site[0]]
        live = edit.node(node.name)
        edit.replace(live, self.value(edit, live))


class DependsOnTheOrder(Clamp):
    """Does something else for the first site of a round."""

    def value(self, edit: Edit, node: Node) -> Node:
        return super().value(edit, node) if edit.records else edit.call(aten.clamp.default, (node.args[0], 0.0))


class FindsItsOwnWork(Clamp):
    """Replaces a relu by a relu."""

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.relu.default, node.args)


class DoesNothing(Clamp):
    """Applies nothing, so that its site is there for ever."""

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        edit.nodes(candidate)


@dataclass(frozen=True)
class HidesAnOption(Clamp):
    """Has a setting that its spec does not print."""

    limit: float = field(init=False, default=0.0)

    def value(self, edit: Edit, node: Node) -> Node:
        return edit.call(aten.clamp.default, (node.args[0], 0.0, self.limit or None))

    @classmethod
    def limited(cls) -> HidesAnOption:
        rule = cls()
        object.__setattr__(rule, "limit", 1e9)
        return rule

    def spec(self) -> str:
        return self.name


# -- what it says ----------------------------------------------------------------------------------------------------


class RaisesInPropose(Clamp):
    """Asks for the second axis of whatever comes."""

    def matches(self, node: Node) -> bool:
        return node.meta["val"].shape[1] > 0 and super().matches(node)


class RaisesInApply(Clamp):
    """Proposes what it then cannot do."""

    def value(self, edit: Edit, node: Node) -> Node:
        raise NotImplementedError("not for this site")


class NeverEndsItsPropose(Clamp):
    """Offers one site again and again."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        first = next(super().propose(program, view), None)
        for count in itertools.count() if first else ():
            yield replace(first, parameters={"count": count})


class CountsItsCandidates(Clamp):
    """Numbers its candidates through the whole process."""

    numbers: ClassVar[Iterator[int]] = itertools.count()

    def candidate(self, node: Node) -> Candidate:
        return replace(super().candidate(node), parameters={"number": next(self.numbers)})


class ProposesATuple(Clamp):
    """Has a tuple among its parameters, which JSON makes a list."""

    def candidate(self, node: Node) -> Candidate:
        return replace(super().candidate(node), parameters={"shape": tuple(node.meta["val"].shape)})


class SaysTheSameTwice(Clamp):
    """Offers two ways with one id."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for found in super().propose(program, view):
            yield from (found, replace(found, choice="other"))


class NamesNoNode(Clamp):
    """Writes what is not there."""

    def candidate(self, node: Node) -> Candidate:
        return Candidate(self.name, (node.name,), frozenset({node.name, f"{node.name}_out"}))


class SaysNothingOfNearMisses(FoldNorm):
    """Passes by without a word."""

    def obstacle(self, source: Any, node: Node) -> str | None:
        return "" if super().obstacle(source, node) else super().obstacle(source, node)


@dataclass(frozen=True)
class HasAListOption(Clamp):
    """Has an option that the grammar cannot read."""

    axes: tuple[int, ...] = field(default=(0,), metadata={"help": "which axes"})


@dataclass(frozen=True)
class HastensByAnothersOption(Clamp):
    """Names an option for haste that it does not have."""

    hasty: ClassVar[Mapping[str, Any]] = {"observer": "minmax"}


@dataclass(frozen=True)
class HasNoHelp(Clamp):
    """Has an option without help."""

    low: float = 0.0


@dataclass(frozen=True)
class HasNoDocstring(Clamp):
    low: float = field(default=0.0, metadata={"help": "the bound"})
