"""Where a kernel runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.target import Machine


@dataclass(frozen=True)
class Place:
    """Where a kernel runs. What was measured at one place holds at no other.

    Attributes:
        engine: its spec without threads, as other options may change its kernels.
        version: of the engine.
        cpu: model name.
        isa: instruction sets, as in `Machine.isa`.
        threads: that a call may use; 0 for what does not depend on them.
    """

    engine: str
    version: str
    cpu: str
    isa: tuple[str, ...]
    threads: int

    @classmethod
    def of(cls, engine: Engine, machine: Machine) -> Self:
        """An engine on a machine.

        Args:
            engine: as configured; one that is not installed has no version.
            machine: that it runs on.
        """
        threads = min(engine.threads or machine.cores, machine.cores)
        version = engine.version() if engine.available() is None else "not installed"
        return cls(replace(engine, threads=0).spec(), version, machine.cpu, machine.isa, threads)

    @property
    def without_threads(self) -> Self:
        """The place of what does not depend on threads, as which calls an engine runs together."""
        return replace(self, threads=0)

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)
