"""Reproducers: the call with which a pass broke its contract, as a folder that `fxopt reproduce` runs again."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fxopt import __version__
from fxopt.compiler import calls, output
from fxopt.compiler.calls import Call
from fxopt.contracts import plain
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import View
from fxopt.contracts.quantization import QuantScheme
from fxopt.contracts.target import Capabilities
from fxopt.errors import InputError, PassFault
from fxopt.ir.program import Program, tensor_digest
from fxopt.ir.statistics import look_up

if TYPE_CHECKING:
    import torch

    from fxopt.ir.statistics import Table
    from fxopt.registry import Registry

_FORM = {
    "version": int,
    "fxopt": str,
    "fault": str,
    "pass": str,
    "action": Literal["apply", "propose"],
    "candidates": tuple[Candidate, ...],
    "capabilities": Capabilities | None,
    "scheme": QuantScheme | None,
    "limit_s": float,
    "command": str,
}
CALL, PROGRAM, WEIGHTS = "call.json", "before.fx", "weights.safetensors"
STATISTICS, FITTED = "statistics.safetensors", "fitted.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class Broken:
    """A call that broke, with all that the pass was told.

    Attributes:
        call: the call.
        fault: what came of it, in words that name the distribution and the pass.
        capabilities: what the pass was told of the target.
        table: statistics of the Program, if there were calibration data and a pass asked.
        limit_s: seconds after which a call counts as one that gives no answer.
    """

    call: Call
    fault: str
    capabilities: Capabilities | None
    table: Table | None
    limit_s: float

    def write(self, parent: Path) -> Path:
        """Write it into a folder of its own below `parent`, replacing an equal one; that folder."""
        from safetensors.torch import save_file

        made = {name: value for candidate in self.call.candidates for name, value in candidate.tensors.items()}
        fitted = {name: value.detach().contiguous().clone() for name, value in {**self.call.fitted, **made}.items()}
        data = {
            "version": _VERSION,
            "fxopt": __version__,
            "fault": self.fault,
            "pass": self.call.spec,
            "action": "apply" if self.call.candidates else "propose",
            "candidates": [candidate.to_json() for candidate in self.call.candidates],
            "capabilities": None if self.capabilities is None else self.capabilities.to_json(),
            "scheme": None if self.call.scheme is None else self.call.scheme.to_json(),
            "limit_s": self.limit_s,
        }
        digests = [self.call.program.digest, {name: tensor_digest(fitted[name]) for name in sorted(fitted)}]
        mark = hashlib.sha256(json.dumps([data, digests]).encode()).hexdigest()[:8]
        folder = parent / f"{self.call.spec.partition('{')[0]}-{mark}"
        with whole(folder) as draft:
            save_program(self.call.program, draft)
            if self.table is not None:
                save_file(dict(self.table), draft / STATISTICS)
            if fitted:
                save_file(fitted, draft / FITTED)
            output.write_json(draft / CALL, {**data, "command": reproduce(folder)})
        return folder


def reproduce(folder: Path) -> str:
    """The command that runs a reproducer, for a shell."""
    return shlex.join(["fxopt", "reproduce", str(folder)])


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` once it is full."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def save_program(program: Program, folder: Path) -> None:
    """The Program of a reproducer."""
    program.save(folder)
    (folder / "program.fx").rename(folder / PROGRAM)
    (folder / "tensors.safetensors").rename(folder / WEIGHTS)


def load_program(folder: Path) -> Program:
    """What `save_program` wrote."""
    from safetensors.torch import load_file

    return Program.parse((folder / PROGRAM).read_text(), load_file(folder / WEIGHTS))


def damaged(folder: Path, error: Exception) -> InputError:
    """What is said of a reproducer that cannot be read, in one line."""
    name = "" if isinstance(error, plain.Damaged) else f"{type(error).__name__}: "
    return InputError(" ".join(f"{folder}: damaged ({name}{error})".split()))


def read(folder: Path, registry: Registry) -> Broken:
    """What `Broken.write` wrote.

    Raises:
        InputError: it is no reproducer, or damaged, or its pass is not installed here.
    """
    from safetensors.torch import load_file

    data = output.read_json(folder / CALL, _VERSION, f"{folder}: no reproducer: there is no {CALL} in it")
    data = {"scheme": None, **data}  # reproducers of old have none
    try:
        given = plain.record(_FORM, data)
        if not 0 < given["limit_s"] <= threading.TIMEOUT_MAX:
            raise plain.Damaged("more than 0 seconds are needed, and no more than a timer takes", ("limit_s",))
        if bool(given["candidates"]) != (given["action"] == "apply"):
            raise plain.Damaged("candidates are what is applied, and nothing else has any", ("action",))
        program = load_program(folder)
        table = load_file(folder / STATISTICS) if (folder / STATISTICS).exists() else None
        fitted = load_file(folder / FITTED) if (folder / FITTED).exists() else {}
        candidates = tuple(replace(item, fitted=item.known(fitted)) for item in given["candidates"])
        call = Call(given["pass"], program, candidates, given["scheme"], {} if candidates else fitted)
        found = Broken(call, given["fault"], given["capabilities"], table, given["limit_s"])
    except Exception as error:  # whatever a damaged file leads to
        raise damaged(folder, error) from error
    registry.make_pass(call.spec)  # says in one line what is missing
    return found


def run(broken: Broken, registry: Registry) -> PassFault | None:
    """Make the call again, in this process; what is wrong with it now. A call that gives no answer gives none here."""
    call, table = broken.call, broken.table
    rule = registry.make_pass(call.spec)
    if call.candidates:
        return _apply(broken, registry)
    statistics = None if table is None else lambda node, kind: look_up(table, node, kind)
    view = View(rule.name, broken.capabilities, call.scheme, _statistics=statistics, _fitted=call.fitted)
    try:
        calls.propose(rule, call.program, view)
    except PassFault as fault:
        return fault
    return None


def _apply(broken: Broken, registry: Registry) -> PassFault | None:
    """Each candidate by itself, so that what the pass raises comes through with its traceback."""
    rule = registry.make_pass(broken.call.spec)
    for candidate in broken.call.candidates:
        nothing: Mapping[str, torch.Tensor] = {}
        outcome = calls.apply(rule, broken.call.program, [candidate], nothing)
        if outcome.error is not None:
            fault = PassFault(outcome.failed[candidate.id], candidate.id)
            fault.__cause__ = outcome.error
            return fault
    return None
