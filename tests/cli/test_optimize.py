"""`fxopt optimize`: flags to request, result to output, errors to exit status."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fxopt.cli.optimize import optimize
from fxopt.compiler.request import Request
from fxopt.contracts.cost import Budget, Drop
from fxopt.errors import BudgetError, EngineError, InputError


def test_every_flag_reaches_the_request(fxopt: Callable[..., Any], compiler_: Any) -> None:
    typed = (
        "optimize pkg.nets:small --weights w.safetensors --target cpu --engine openvino --input x=Nx3 --input N=1..8@1"
        " --calib c.npz --eval e.npz --train t.npz --metric top1 --max-drop 0.5pt --confidence 95% --max-latency 10ms"
        " --max-size 5MB --max-memory 64MB --max-p99 20ms --minimize size --passes a,b{x=1} -p no:cleanup --threads 2"
        " --seed 7 --time-limit 10m --require-speedup 1.2 --trust-pickle --no-source --resume -o there"
    )
    answer = fxopt(*typed.split())
    assert answer.status == 0, answer.err
    (request,) = compiler_.requests
    assert request.budget == Budget(
        minimize="size",
        max_drop=Drop(0.5, "pt"),
        max_latency_ms=10.0,
        max_size_bytes=5_000_000,
        max_memory_bytes=64_000_000,
        max_p99_ms=20.0,
        require_speedup=1.2,
        time_limit_s=600.0,
        confidence=0.95,
    )
    assert (request.model, request.weights, request.out) == ("pkg.nets:small", Path("w.safetensors"), Path("there"))
    assert (request.target, request.engine, request.passes) == ("cpu", "openvino", "a,b{x=1}")
    assert request.inputs == ("x=Nx3", "N=1..8@1")
    assert (request.calib, request.eval, request.train, request.metric) == ("c.npz", "e.npz", "t.npz", "top1")
    assert request.without == ("cleanup",)
    assert (request.threads, request.seed) == (2, 7)
    assert (request.trust_pickle, request.source, request.resume) == (True, False, True)
    assert request.command.startswith("fxopt optimize pkg.nets:small --weights w.safetensors")


@pytest.mark.parametrize(
    ("model", "out"),
    [("nets/small.v2.pt2", "small.v2.fxopt"), ("pkg.nets:small", "small.fxopt"), ("a b.pt", "a_b.fxopt")],
)
def test_the_output_folder_is_named_after_the_model(
    fxopt: Callable[..., Any], compiler_: Any, model: str, out: str
) -> None:
    fxopt("optimize", model)
    assert compiler_.requests[0].out == Path(out)


def test_it_ends_with_the_table_and_the_path_of_the_report(fxopt: Callable[..., Any], compiler_: Any) -> None:
    answer = fxopt("optimize", "m.pt2")
    lines = answer.out.splitlines()
    assert lines[-1] == "report: m.fxopt/report.html"
    for name in ("PyTorch eager", "onnxruntime", "openvino", "inductor", "fxopt"):
        assert any(line.strip().startswith(name) for line in lines), name
    assert "12.5 ms (12.2 to 12.8)" in answer.out
    assert answer.err == ""  # no terminal, no progress


def test_json_is_all_that_is_printed_and_counts_the_verdicts(fxopt: Callable[..., Any], compiler_: Any) -> None:
    answer = fxopt("optimize", "m.pt2", "--json")
    data = json.loads(answer.out)
    assert data["out"] == "m.fxopt"
    assert data["result"]["speedup"]["estimate"] == pytest.approx(1.136)
    assert data["rewrites"] == {"applied": 7, "refused": 1, "reverted": 1, "declined": 40}
    assert answer.err == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("m.pt2: no such file;\n give another"), 2),
        (BudgetError("--max-latency 1 ms cannot be met"), 3),
        (EngineError("openvino: crashed"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_errors_are_one_line_with_their_exit_status(
    fxopt: Callable[..., Any], compiler_: Any, error: BaseException, status: int
) -> None:
    compiler_.error = error
    answer = fxopt("optimize", "m.pt2")
    assert answer.status == status
    assert answer.out == ""
    assert answer.err.startswith("fxopt: error: ")
    assert answer.err.count("\n") == 1


def test_a_fault_leaves_a_reproducer_in_the_output_folder(fxopt: Callable[..., Any], compiler_: Any) -> None:
    compiler_.error = ZeroDivisionError("division by zero")
    answer = fxopt("optimize", "m.pt2", "-o", "there")
    (file,) = Path("there/reproducers").rglob("traceback.txt")
    assert "ZeroDivisionError: division by zero" in file.read_text()
    assert "command: fxopt optimize m.pt2 -o there" in file.read_text()
    assert str(file.parent) in answer.err


def test_a_fault_leaves_a_reproducer_elsewhere_where_the_output_folder_cannot_be_written(
    fxopt: Callable[..., Any], compiler_: Any
) -> None:
    Path("file").write_text("kept")
    compiler_.error = ZeroDivisionError("division by zero")
    answer = fxopt("optimize", "m.pt2", "-o", "file")
    folder = Path(answer.err.split()[-1])
    assert (folder / "traceback.txt").exists()
    assert Path("file").read_text() == "kept"


def test_bad_input_leaves_nothing_behind(fxopt: Callable[..., Any], compiler_: Any) -> None:
    compiler_.error = InputError("m.pt2: no such file")
    fxopt("optimize", "m.pt2")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["optimize"], "MODEL"),
        (["optimize", "m", "--max-size", "5"], "--max-size '5': give a size with its unit"),
        (["optimize", "m", "--max-drop", "lots"], "--max-drop 'lots'"),
        (["optimize", "m", "--threads", "0"], "--threads"),
        (["optimize", "m", "--minimize", "cost"], "latency"),
        (["optimize", "m", "-p", "cleanup"], "no:NAME"),
        (["optimize", "m", "--thread", "2"], "--threads"),
        (["optimise", "m"], "optimize"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    fxopt: Callable[..., Any], compiler_: Any, arguments: list[str], says: str
) -> None:
    answer = fxopt(*arguments)
    assert answer.status == 2
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert compiler_.requests == []


def test_flags_are_stored_under_the_names_of_the_fields_that_they_fill() -> None:
    fields = {field.name for kind in (Request, Budget) for field in dataclasses.fields(kind)}
    assert {flag.name for flag in optimize.params} - fields == {"no_source", "no_settings", "as_json"}
