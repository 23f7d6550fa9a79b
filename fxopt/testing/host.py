"""The process that runs checks of engines: `python -m fxopt.testing.host`. It serves `fxopt.testing.apart.Laboratory`."""

from __future__ import annotations

from pathlib import Path

from fxopt.contracts.engine import Engine
from fxopt.ir.program import Program
from fxopt.measure.host import make_engine
from fxopt.testing import engines
from fxopt.testing.cases import Fault
from fxopt.worker import wire
from fxopt.worker.host import Answer, Host, main


class KitHost(Host):
    """What is held between checks: the engines, and the last program with what each engine made of it."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._folder = ""
        self._program: Program | None = None

    def check(self, arrays: wire.Arrays, check: str, engine: str, program: str) -> Answer:
        """Run a check of `fxopt.testing.engines` on an engine and a saved Program."""
        if engine not in self._engines:
            self._engines[engine] = make_engine(engine)
        if program != self._folder:
            self._folder, self._program = program, Program.load(Path(program))
        try:
            getattr(engines, check)(self._engines[engine], self._program)
        except Fault as fault:
            return {"fault": str(fault)}, []
        return {"fault": None}, []


if __name__ == "__main__":
    main(KitHost())
