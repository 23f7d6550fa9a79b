"""The error tree. Each class carries the exit status that the command line answers with."""

from __future__ import annotations


class FxoptError(Exception):
    """Base of all errors that fxopt raises on purpose; `exit_status` is the command line's answer."""

    exit_status = 1


class FxoptWarning(UserWarning):
    """What the caller should know, and need not stop for; one line."""


class InputError(FxoptError):
    """Bad usage or bad input: the message is one line that says where, what, and what to do."""

    exit_status = 2


class DataError(InputError):
    """The model cannot take the data given for it: no fault of the pass that asked about the data."""


class MetricError(InputError):
    """A metric raised, or gave what is no value (NaN): the message names metric and cause."""


class BudgetError(FxoptError):
    """The budget or the required speed-up cannot be met; the frontier is written, no model."""

    exit_status = 3


class PluginError(FxoptError):
    """A plugin broke its contract; `distribution` names who is at fault."""

    def __init__(self, distribution: str, message: str) -> None:
        super().__init__(f"plugin {distribution}: {message}")
        self.distribution = distribution


class PassFault(FxoptError):
    """A pass raised what it should not, crashed, or gave no answer: it loses its rewrites, the run goes on.

    Attributes:
        candidate: id of the candidate that was being applied; None where it is not known.
    """

    def __init__(self, message: str, candidate: str | None = None) -> None:
        super().__init__(message)
        self.candidate = candidate


class StaleCandidate(FxoptError):
    """A candidate's site is no longer there, or no longer what it was when it was proposed."""


class FootprintError(FxoptError):
    """A pass changed a node outside the `writes` footprint of its candidate."""


class EngineError(FxoptError):
    """An engine refused, crashed, hung, or ran out of its limits; the message names engine and stage."""


class Interrupted(FxoptError):
    """The run was stopped from outside (Ctrl-C); the journal holds what was done."""

    exit_status = 130
