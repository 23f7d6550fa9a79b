"""fxopt: a graph-transformation compiler for neural networks in which every rewrite is admitted on evidence."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fxopt.hookspecs import hookimpl

__version__ = "0.1.0"

# Public names by the module that defines them; imported on first use, so that `import fxopt` costs no torch.
_PUBLIC = {
    "optimize": "fxopt.compiler.optimize",
    "Result": "fxopt.compiler.optimize",
    "load": "fxopt.compiler.load",
    "Program": "fxopt.ir.program",
    "Edit": "fxopt.ir.edit",
    "Pass": "fxopt.contracts.passes",
    "View": "fxopt.contracts.passes",
    "Observed": "fxopt.contracts.passes",
    "Candidate": "fxopt.contracts.candidate",
    "Fidelity": "fxopt.contracts.candidate",
    "Stage": "fxopt.contracts.candidate",
    "Step": "fxopt.contracts.candidate",
    "Target": "fxopt.contracts.target",
    "Engine": "fxopt.contracts.engine",
    "QuantScheme": "fxopt.contracts.quantization",
    "Artifact": "fxopt.contracts.engine",
    "Planner": "fxopt.contracts.planner",
    "Executor": "fxopt.contracts.executor",
    "Frontend": "fxopt.contracts.frontend",
    "Metric": "fxopt.contracts.metric",
    "Budget": "fxopt.contracts.cost",
    "Cost": "fxopt.contracts.cost",
    "Interval": "fxopt.contracts.cost",
    "Registry": "fxopt.registry",
    "FxoptError": "fxopt.errors",
    "FxoptWarning": "fxopt.errors",
    "InputError": "fxopt.errors",
    "StaleCandidate": "fxopt.errors",
}

__all__ = ["__version__", "hookimpl", *_PUBLIC]

if TYPE_CHECKING:
    from fxopt.compiler.load import load as load
    from fxopt.compiler.optimize import Result as Result
    from fxopt.compiler.optimize import optimize as optimize
    from fxopt.contracts.candidate import Candidate as Candidate
    from fxopt.contracts.candidate import Fidelity as Fidelity
    from fxopt.contracts.candidate import Stage as Stage
    from fxopt.contracts.candidate import Step as Step
    from fxopt.contracts.cost import Budget as Budget
    from fxopt.contracts.cost import Cost as Cost
    from fxopt.contracts.cost import Interval as Interval
    from fxopt.contracts.engine import Artifact as Artifact
    from fxopt.contracts.engine import Engine as Engine
    from fxopt.contracts.executor import Executor as Executor
    from fxopt.contracts.frontend import Frontend as Frontend
    from fxopt.contracts.metric import Metric as Metric
    from fxopt.contracts.passes import Observed as Observed
    from fxopt.contracts.passes import Pass as Pass
    from fxopt.contracts.passes import View as View
    from fxopt.contracts.planner import Planner as Planner
    from fxopt.contracts.quantization import QuantScheme as QuantScheme
    from fxopt.contracts.target import Target as Target
    from fxopt.errors import FxoptError as FxoptError
    from fxopt.errors import FxoptWarning as FxoptWarning
    from fxopt.errors import InputError as InputError
    from fxopt.errors import StaleCandidate as StaleCandidate
    from fxopt.ir.edit import Edit as Edit
    from fxopt.ir.program import Program as Program
    from fxopt.registry import Registry as Registry


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fxopt' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
