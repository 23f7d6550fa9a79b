"""Snapshots of rewrites: `.fx` files that say what a pass makes of a program, compared up to names, and executed.

    fxopt snapshot 1
    pass fold_batch_norm
    == before
    fxopt program 1
    ...
    == after
    fxopt program 1
    ...
    == declines
    batch_norm_1: conv2d_1 has 2 users

The tensors are made up from their names, so that a file holds none. Constants that a pass makes are compared by shape
and dtype only; that their values are right is what executing both sides is for.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from fxopt.contracts.passes import Pass
from fxopt.errors import InputError
from fxopt.ir.graphs import copy_graph
from fxopt.ir.program import Program
from fxopt.ir.text import to_text
from fxopt.registry import Registry
from fxopt.testing.cases import Fault
from fxopt.testing.passes import fidelity_is_honest, other_sizes_give_the_same, raises_nothing
from fxopt.testing.plugin import HEADER, UPDATE
from fxopt.testing.record import Record
from fxopt.user_code import raised


@dataclass(frozen=True)
class Snapshot:
    """What stands in a file: the pass as a spec, programs without digests of their tensors, and a line a decline."""

    spec: str
    before: str
    after: str
    declines: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a file; `after` and `declines` may be missing yet.

        Raises:
            InputError: it is no snapshot.
        """
        head, *parts = re.split(r"^== (\w+)\n", text, flags=re.MULTILINE)
        match = re.fullmatch(rf"{HEADER}\npass (.+)\n\s*", head)
        sections = dict(zip(parts[::2], parts[1::2], strict=True))
        if match is None or "before" not in sections:
            raise InputError(f"no snapshot: it begins with {HEADER!r}, a line `pass NAME`, and a section `== before`")
        texts = (sections.get(name, "").strip() for name in ("before", "after", "declines"))
        return cls(match[1].strip(), *(f"{text}\n" if text else "" for text in texts))

    def text(self) -> str:
        """The file."""
        return f"{HEADER}\npass {self.spec}\n== before\n{self.before}== after\n{self.after}== declines\n{self.declines}"


def check_snapshot(path: Path, update: bool = False) -> None:
    """Run a snapshot: the pass must give what the file says, and what it gives must be right.

    Args:
        path: the file.
        update: write what the pass gives into the file, if it is right.

    Raises:
        AssertionError: the rewritten program computes something else than the original, or is another than in the file.
        InputError: the file is no snapshot, or its pass is unknown.
    """
    wanted = Snapshot.parse(path.read_text())
    rule = Registry.load().make_pass(wanted.spec)
    program = parsed(wanted.before)
    for check in (raises_nothing, fidelity_is_honest, other_sizes_give_the_same):
        check(rule, program)
    found = _taken(rule, program)
    if update:
        path.write_text(found.text())
        return
    hint = f"look at the difference, then run pytest {UPDATE}"
    try:
        same = renamed(parsed(wanted.after)) == renamed(parsed(found.after))
    except InputError as error:
        raise Fault(f"{path.name}: the section `after` cannot be read ({raised(error)}); {hint}") from error
    if not same:
        raise Fault(
            f"{path.name}: the pass gives another program; {hint}\n{_first_difference(wanted.after, found.after)}"
        )
    if wanted.declines != found.declines:
        raise Fault(
            f"{path.name}: the pass declines otherwise; {hint}\n{_first_difference(wanted.declines, found.declines)}"
        )


def parsed(text: str) -> Program:
    """A program from its text, with tensors made up from their names: between 0.5 and 1.5, so that any may be a variance.

    Raises:
        InputError: the text is malformed.
    """
    tensors = {}
    for name, dtype, shape in re.findall(r"^tensor (\w+) : (\w+)\[(.*?)\]", text, flags=re.MULTILINE):
        sizes = [int(size) for size in shape.split(",") if size.strip()]
        random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        tensors[name] = (torch.rand(sizes, generator=random) + 0.5).to(getattr(torch, dtype))
    return Program.parse(text, tensors)


def renamed(program: Program) -> str:
    """The text of a program, its calls and tensors numbered in the order of their use."""
    graph = copy_graph(program.graph)
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            for item in (*(used for used in node.all_input_nodes if used.op == "get_attr"), node):
                names.setdefault(item.name, f"v{len(names)}__")
    for node in graph.nodes:
        node.name = names.get(node.name, node.name)
        if node.op == "get_attr":
            node.target = names.get(str(node.target), str(node.target))
    attributes = {names.get(name, name): value for name, value in program.attributes.items()}
    return to_text(Program(graph, attributes, program.interface, program.shapes), digests=False)


def _taken(rule: Pass, program: Program) -> Snapshot:
    record = Record.of(rule, program)
    declines = "".join(f"{decline.site}: {decline.reason}\n" for decline in record.looks[0].declines)
    texts = [to_text(item, digests=False) for item in (record.program, record.final)]
    return Snapshot(rule.spec(), texts[0], texts[1], declines)


def _first_difference(wanted: str, found: str) -> str:
    ours, theirs = found.splitlines(), wanted.splitlines()
    at = next(
        (i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), min(len(ours), len(theirs))
    )
    lines = [f"{sign} {line}" for sign, text in (("-", theirs), ("+", ours)) for line in text[at : at + 1]]
    return "\n".join(lines) or "only names differ"
