"""How checks become test cases: their ids, and failures that are expected."""

from __future__ import annotations

import difflib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from fxopt.ir.program import Program

DEADLINE_S = 120  # for one check of one program


@dataclass(frozen=True)
class Case:
    """One check of one subject; calling it runs the check, which raises AssertionError with one message."""

    id: str
    check: Callable[..., None]
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        """Run the check."""
        __tracebackhide__ = True
        try:
            with _untraced():
                arguments = [item() if is_lazy(item) else item for item in self.arguments]
                with _deadline():
                    self.check(*arguments)
        except Fault as fault:  # where it stands in the kit tells nobody anything
            raise fault.with_traceback(None) from fault.__cause__

    def __repr__(self) -> str:
        return f"<{self.id}>"


class Fault(AssertionError):
    """What a check found: one line that says what is wrong, and where."""


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep torch's trace log from pytest, which would show hundreds of its lines with each failure."""
    log = logging.getLogger("torch.__trace")
    kept, log.handlers = log.handlers, []
    try:
        yield
    finally:
        log.handlers = kept


@contextmanager
def _deadline() -> Iterator[None]:
    """Raise `Fault` in the midst of code that does not come back, where signals can be had: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise Fault(f"it gave no answer in {DEADLINE_S} s: does a loop come to its end?")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_lazy(item: object) -> bool:
    """Whether it is a program still to be made."""
    return callable(item) and not isinstance(item, (Program, type))


def words(function: Callable[..., Any]) -> str:
    """The name of a check as it stands in ids."""
    return function.__name__.replace("_", " ")


def case(check: Callable[..., None], subject: str, *arguments: Any, program: str | None = None) -> Case:
    """A case whose id reads `subject x check x program`."""
    parts = [subject, words(check), *([program] if program else [])]
    return Case(" x ".join(parts), check, arguments)


def parameters(cases: Iterable[Case], expected_failures: Mapping[str, str]) -> list[Any]:
    """The cases as pytest takes them; expected failures are strict, and pass only where the check itself fails.

    Args:
        cases: what is run.
        expected_failures: reasons by id.

    Raises:
        ValueError: there is no case of that id.
    """
    cases = list(cases)
    known = {item.id for item in cases}
    for identity in expected_failures:
        if identity not in known:
            near = difflib.get_close_matches(identity, known, n=1)
            raise ValueError(
                f"expected_failures: there is no case {identity!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
    return [
        pytest.param(
            item,
            id=item.id,
            marks=[pytest.mark.xfail(reason=expected_failures[item.id], raises=AssertionError, strict=True)]
            if item.id in expected_failures
            else [],
        )
        for item in cases
    ]
