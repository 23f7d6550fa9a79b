"""A pass of 25 lines, as a plugin brings it: 1 / sqrt(x) becomes rsqrt(x)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from fxopt import Candidate, Edit, Pass, Program, StaleCandidate, View, hookimpl

aten = torch.ops.aten


@dataclass(frozen=True)
class ReciprocalSqrt(Pass):
    """Call rsqrt where a square root is only taken to divide by it."""

    name: ClassVar[str] = "reciprocal_sqrt"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.reciprocal.default and node.args[0].target == aten.sqrt.default:
                root = node.args[0]
                if len(root.users) > 1:
                    view.decline(node, f"{root.name} has {len(root.users)} users")
                else:
                    yield Candidate(self.name, (node.name, root.name), writes=frozenset({node.name, root.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node, root = edit.nodes(candidate)
        if node.args != (root,) or root.target != aten.sqrt.default:
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        edit.replace(node, edit.call(aten.rsqrt.default, root.args))


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    return [ReciprocalSqrt]
