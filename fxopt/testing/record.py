"""What one pass does to one program: found once, step by step as checks ask for it, and looked at by all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from fxopt.compiler.search import choose
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Decline, Pass, View
from fxopt.ir.edit import Edit
from fxopt.ir.graphs import copy_graph
from fxopt.ir.program import Program
from fxopt.verify.fidelity import Evidence, Oracle

MOST = 1000  # candidates that one look at a small program may give
ALONE = 8  # candidates that are also applied each by itself


@dataclass
class Look:
    """What `propose` gave.

    Attributes:
        program: what the pass was shown, a copy that nobody else has.
        candidates: what it offered until it ended or raised.
        declines: the near misses.
        error: what it raised.
        retyped: a node whose shape was another afterwards: asking whether a dynamic size is 2 makes it 2 everywhere.
    """

    program: Program
    candidates: list[Candidate] = field(default_factory=list)
    declines: list[Decline] = field(default_factory=list)
    error: Exception | None = None
    retyped: str | None = None


@dataclass
class Round:
    """One transaction: the program before it, what was applied, and the outcome or the error; `retyped` as in `Look`."""

    before: Program
    chosen: list[Candidate]
    edit: Edit | None = None
    error: Exception | None = None
    evidence: dict[str, Evidence] = field(default_factory=dict)
    retyped: str | None = None

    @property
    def after(self) -> Program | None:
        """The program after it, if it came to its end."""
        return self.edit.program if self.edit else None


class Record:
    """What a pass does to a program; the program itself is never shown to the pass, only copies."""

    def __init__(self, rule: Pass, program: Program) -> None:
        self.rule = rule
        if program.interface.dims:  # a pass may fix a dynamic size, which all that share its symbols would see
            program = Program.build(copy_graph(program.graph), program.attributes, program.interface)
        with program.edit() as edit:  # takes away what is dead, so that no rewrite is blamed for it
            pass
        self.program = edit.program

    @classmethod
    def of(cls, rule: Pass, program: Program) -> Record:
        """The one record of this pass on this program."""
        record: Record = program.memo((cls, rule), lambda p: cls(rule, p))
        return record

    @cached_property
    def looks(self) -> tuple[Look, Look]:
        """`propose` on two copies of the program."""
        return look(self.rule, copied(self.program)), look(self.rule, copied(self.program))

    @cached_property
    def alone(self) -> list[Round]:
        """Each of the first candidates applied to a copy, by itself."""
        return [transaction(self.rule, copied(self.program), [item]) for item in self.looks[0].candidates[:ALONE]]

    @cached_property
    def rounds(self) -> list[Round]:
        """Rounds to the fixpoint; the last one has the error if one raised."""
        return self._run.rounds

    @property
    def endless(self) -> str | None:
        """Why the rounds came to no fixpoint."""
        return self._run.endless

    @property
    def unchecked(self) -> Exception | None:
        """What was raised when a round's evidence was gathered."""
        return self._run.unchecked

    @property
    def twin(self) -> Program:
        """The program's float64 twin after all rounds."""
        return self._run.oracle.twin

    @property
    def final(self) -> Program:
        """The program after all rounds."""
        return next((item.after for item in reversed(self.rounds) if item.after), self.program)

    @cached_property
    def _run(self) -> _Run:
        return _Run(self.rule, self.program)


class _Run:
    """Rounds of one pass and their evidence, to the fixpoint or the first error."""

    def __init__(self, rule: Pass, program: Program) -> None:
        self.rule = rule
        self.rounds: list[Round] = []
        self.endless: str | None = None
        self.unchecked: Exception | None = None
        origin: Oracle = program.memo(Oracle, Oracle)
        self.oracle = copy.copy(origin)
        self.oracle.twin, self.oracle.values = copied(origin.twin), dict(origin.values)
        self.done: set[str] = set()
        now, idle = copied(program), 0
        # What leaves a program no smaller may go on for ever; through a program it goes in as many rounds as there are nodes.
        while idle <= len(program):
            found = look(rule, now)
            again = next((item.id for item in found.candidates if item.id in self.done), None)
            if again:
                self.endless = f"offers {again} again after it was applied"
            if again or found.error or not found.candidates:
                return
            after = self.step(now, choose(found.candidates))
            if after is None:
                return
            idle += size(after) >= size(now)
            now = after
        self.endless = f"goes on after {len(self.rounds)} rounds that leave the graph no smaller"

    def step(self, now: Program, chosen: list[Candidate]) -> Program | None:
        done = transaction(self.rule, now, chosen)
        twin = transaction(self.rule, self.oracle.twin, chosen)
        self.rounds.append(done)
        if done.edit is None or twin.edit is None:
            done.error = done.error or twin.error
            return None
        try:
            done.evidence = self.oracle.check(now, done.edit.program, done.edit.records, twin.edit.program)
            self.oracle.learn(twin.edit.program)
        except Exception as error:  # noqa: BLE001 - a rewrite may leave what cannot be run
            self.unchecked = error
            return None
        self.done |= {item.id for item in chosen}
        return done.edit.program


def look(rule: Pass, program: Program) -> Look:
    """What the pass proposes for the program, and what it raises."""
    view = View(rule.name)
    found = Look(program, declines=view.declines)
    types = _types(program)
    try:
        for candidate in islice(rule.propose(program, view), MOST):
            if candidate.id:  # what cannot be written has no id either, and raises here
                found.candidates.append(candidate)
    except Exception as error:  # noqa: BLE001 - whatever a pass raises is what the checks are about
        found.error = error
    found.retyped = _retyped(program, types)
    return found


def transaction(rule: Pass, program: Program, candidates: Sequence[Candidate]) -> Round:
    """Apply candidates in one transaction; what it gives or raises."""
    done = Round(program, list(candidates))
    types = _types(program)
    try:
        with program.edit() as edit:
            for candidate in candidates:
                with edit.step(candidate):
                    rule.apply(edit, candidate)
        done.edit = edit
    except Exception as error:  # noqa: BLE001 - as above
        done.error = error
    done.retyped = _retyped(program, types)
    return done


def _types(program: Program) -> dict[str, str]:
    return {node.name: program.shapes.type_text(node.meta.get("val")) for node in program.nodes}


def _retyped(program: Program, before: dict[str, str]) -> str | None:
    """The first node whose type was another before, in words."""
    if not program.interface.dims:
        return None
    now = _types(program)
    return next(
        (f"{name} was {kind}, and is {now[name]}" for name, kind in before.items() if now.get(name) != kind), None
    )


def copied(program: Program) -> Program:
    """A copy that shares neither graph nor tensors, so that what is done to it is done to nobody else."""
    graph = copy_graph(program.graph)
    attributes = copy.deepcopy(dict(program.attributes))
    for node in graph.nodes:
        if node.op == "get_attr" and isinstance(attributes[str(node.target)], GraphModule):
            node.meta["val"] = attributes[str(node.target)]
    return Program(graph, attributes, program.interface, program.shapes)


def size(program: Program) -> tuple[int, int]:
    """Calls, and bytes of tensors."""
    return sum(1 for _ in program.calls), program.weight_bytes


def form(node: Node, names: dict[str, str] | None = None) -> str:
    """A node's operator and arguments as text.

    Args:
        node: any node.
        names: what stands for what, where values were replaced.
    """
    args = map_arg((node.args, node.kwargs), lambda used: _Name(_last(used.name, names or {})))
    return f"{node.op} {node.target} {args}"


def forms(program: Program) -> dict[str, str]:
    """All nodes as text by name, whatever their order."""
    return {node.name: form(node) for node in program.nodes}


def difference(found: Program, expected: Program) -> str | None:
    """In what the first differs from the second, whatever the order of their nodes; None where they are equal."""
    ours, theirs = forms(found), forms(expected)
    for name in {**theirs, **ours}:
        if ours.get(name) != theirs.get(name):
            return f"{name} is {ours.get(name, 'gone')}, not {theirs.get(name, 'there')}"
    if sorted(found.attributes) != sorted(expected.attributes):
        return f"its tensors are {', '.join(found.attributes)}, not {', '.join(expected.attributes)}"
    return next((fault for name in found.attributes if (fault := _tensor_difference(name, found, expected))), None)


def changed(found: Program, original: Program) -> str | None:
    """What was done to a copy since it was made; None if nothing."""
    if [node.name for node in found.nodes] != [node.name for node in original.nodes]:
        return "its nodes are no longer the same"
    for ours, theirs in zip(found.nodes, original.nodes, strict=True):
        if sorted(map(str, ours.meta)) != sorted(map(str, theirs.meta)):
            return f"the meta data of {ours.name} now holds {', '.join(sorted(map(str, ours.meta)))}"
        values = ours.meta.get("val"), theirs.meta.get("val")
        if isinstance(values[1], GraphModule):
            continue
        if found.shapes.type_text(values[0]) != original.shapes.type_text(values[1]):
            return f"the shape or dtype of {ours.name} is another"
    return difference(found, original)


def _tensor_difference(name: str, found: Program, expected: Program) -> str | None:
    ours, theirs = found.attributes[name], expected.attributes[name]
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return None if same_bits(ours, theirs) else f"tensor {name} has other values"
    if isinstance(ours, GraphModule) and isinstance(theirs, GraphModule):
        return None if _nested(ours) == _nested(theirs) else f"the nested graph {name} is another"
    return f"{name} is of another kind"


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors are the same in dtype, shape and every bit; NaN is equal to itself."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    flat = [value.detach().contiguous().reshape(-1).view(torch.uint8) for value in (left, right) if value.numel()]
    return not flat or torch.equal(*flat)


def _nested(module: GraphModule) -> list[str]:
    return [form(node) for node in module.graph.nodes] + [
        line
        for node in module.graph.nodes
        if node.op == "get_attr" and isinstance(inner := getattr(module, str(node.target)), GraphModule)
        for line in _nested(inner)
    ]


def _last(name: str, names: dict[str, str]) -> str:
    """What stands for a value in the end."""
    seen = set()
    while name in names and name not in seen:
        seen.add(name)
        name = names[name]
    return name


class _Name(str):
    """A node's name among arguments: printed bare, so that it is not taken for a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
