"""The contract of an executor: where builds and judgements are made that do not depend on one another."""

from __future__ import annotations

import abc
from concurrent import futures
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from fxopt.contracts.options import Configurable


@dataclass(frozen=True)
class Executor(Configurable, abc.ABC):
    """Processes on this machine or on others, behind the interface of `concurrent.futures`.

    What is run there is a function of fxopt on bytes, and gives bytes; fxopt and the engines have to be installed there. It is
    never asked while something is timed.
    """

    name: ClassVar[str]

    def available(self) -> str | None:
        """Why it cannot be used here, as a package that is missing; None if it can."""
        return None

    @abc.abstractmethod
    def open(self) -> AbstractContextManager[futures.Executor]:
        """Begin, and at the end of the context let go of what was begun."""
