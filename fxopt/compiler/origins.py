"""Where the nodes that rewrites made come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fxopt.compiler.search import Search


class Origins:
    """Which of the model's own nodes lie behind those that rewrites made."""

    def __init__(self, search: Search) -> None:
        """Begin with what a search found."""
        self._maker = search.maker
        self._writes = {step.id: step.candidate.writes for step in search.steps}

    def of(self, names: Iterable[str]) -> list[str]:
        """Names of the model's nodes, in no order of meaning."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            before = self._writes.get(self._maker.get(name, ""))
            if before is None:
                found.add(name)
            else:
                waiting += before
        return sorted(found)
