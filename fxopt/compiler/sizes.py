"""How many bytes of weights each rewrite of a round adds or saves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fxopt.ir.edit import Record
    from fxopt.ir.program import Program


def size_changes(before: Program, after: Program, records: Sequence[Record]) -> dict[str, int]:
    """Bytes of the tensors that each candidate has made, less those of tensors that nothing uses any more because of it.

    Args:
        before: the Program before the round.
        after: the one after it.
        records: what each candidate of the round did.

    Returns:
        By id of the candidate. A candidate is absent where a tensor was given up by it and others together: its part in
        that cannot be told.
    """
    old, new = before.attribute_bytes, after.attribute_bytes
    changes = {record.candidate.id: sum(new.get(name, 0) for name in record.constants) for record in records}
    writers: dict[str, set[str]] = {}
    for record in records:
        for name in record.candidate.writes:
            writers.setdefault(name, set()).add(record.candidate.id)
    unknown: set[str] = set()
    for name in old.keys() - new.keys():
        owners = _owners(before, after, name, writers) or changes.keys()
        if len(owners) > 1:
            unknown |= owners
        else:
            (owner,) = owners
            changes[owner] -= old[name]
    return {identity: change for identity, change in changes.items() if identity not in unknown}


def _owners(before: Program, after: Program, attribute: str, writers: Mapping[str, Collection[str]]) -> set[str]:
    """Who wrote the nodes that led an attribute on: its users, or those of users that died of it."""
    owners: set[str] = set()
    front = [node for node in before.graph.nodes if node.op == "get_attr" and str(node.target) == attribute]
    seen = set(front)
    while front:
        node = front.pop()
        if node.name in writers:
            owners.update(writers[node.name])
        elif node.name not in after:
            front += [user for user in node.users if user not in seen]
            seen.update(node.users)
    return owners
