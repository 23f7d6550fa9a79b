"""Checks in a process of their own, seen from the tests: an engine that crashes or hangs fails a check and no more."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

from fxopt.contracts.engine import Engine
from fxopt.ir.program import Program
from fxopt.testing.cases import Fault
from fxopt.worker.process import Process, WorkerFault, three_quarters_of_memory

LIMIT_S = 120.0  # for one check, the start of the process included


class Laboratory(Process):
    """The process that runs checks of engines. It starts with the first check, and anew after a crash."""

    HOST: ClassVar[str] = "fxopt.testing.host"

    def fault(self, check: str, engine: str, program: Path) -> str | None:
        """What a check finds; None if nothing.

        Args:
            check: name of a function of `fxopt.testing.engines`.
            engine: import path of the class, with options.
            program: the folder of a saved Program.
        """
        try:
            answer, _ = self.ask("check", LIMIT_S, check=check, engine=engine, program=str(program))
        except WorkerFault as fault:
            return f"the process of the engine {fault}" if fault.lost else str(fault)
        found: str | None = answer["fault"]
        return found


@dataclass(frozen=True)
class Apart:
    """A check of an engine and a program that is run in the laboratory; skipped where the engine is not available.

    Attributes:
        check: a function of `fxopt.testing.engines`.
        engine: import path of the engine, with options.
        first: the check of emission: where it fails, the others have nothing to look at and pass.
    """

    check: Callable[[Engine, Program], None]
    engine: str
    first: Callable[[Engine, Program], None]

    @property
    def __name__(self) -> str:
        return self.check.__name__

    def __call__(self, engine: Engine, program: Program) -> None:
        """Run the check."""
        missing = engine.available()
        if missing:
            pytest.skip(missing)
        fault = self._fault(self.first, program)
        if self.check is not self.first:
            fault = None if fault else self._fault(self.check, program)
        if fault:
            raise Fault(fault)

    def _fault(self, check: Callable[[Engine, Program], None], program: Program) -> str | None:
        folder = program.memo(_saved, _saved)
        found: str | None = program.memo(
            (check, self.engine), lambda _: laboratory().fault(check.__name__, self.engine, Path(folder.name))
        )
        return found


@cache
def laboratory() -> Laboratory:
    """The one laboratory of this process."""
    return Laboratory(three_quarters_of_memory())


def import_path(engine: Engine) -> str:
    """`module:Class{options}`, by which another process makes an equal engine.

    Raises:
        ValueError: the class stands within another one or a function, or in a script.
    """
    kind = type(engine)
    if "." in kind.__qualname__ or kind.__module__ == "__main__":
        raise ValueError(f"engine {kind.__qualname__}: define the class at the top of a module that can be imported")
    return f"{kind.__module__}:{kind.__qualname__}{engine.spec().removeprefix(engine.name)}"


def _saved(program: Program) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="fxopt-kit-")
    program.save(Path(folder.name))
    return folder
