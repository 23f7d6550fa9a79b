"""fxopt.toml: which file is read, what it may say, and that the command line has the last word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fxopt.contracts.cost import Budget, Drop

EVERYTHING = """
[optimize]
target = "cpu"
engine = "openvino"
input = ["x=Nx3", "N=1..8@1"]
calib = "c.npz"
eval = "data:batches"
train = "t.npz"
metric = "top1"
max-drop = "0.5pt"
confidence = "95%"
max-latency = "10ms"
max-size = "5MB"
max-memory = "64MB"
max-p99 = "20ms"
minimize = "size"
passes = ["a", "b{x=1,y=2}"]
p = ["no:cleanup"]
threads = 2
seed = 7
time-limit = "10m"
require-speedup = 1.2
no-source = true
"""


def settings(text: str, folder: str = ".") -> None:
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "fxopt.toml").write_text(text)


def test_every_setting_reaches_the_request(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings(EVERYTHING)
    answer = fxopt("optimize", "pkg.nets:small")
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
    assert (request.target, request.engine, request.passes) == ("cpu", "openvino", "a,b{x=1,y=2}")
    assert request.inputs == ("x=Nx3", "N=1..8@1")
    assert (request.calib, request.eval, request.train, request.metric) == ("c.npz", "data:batches", "t.npz", "top1")
    assert request.without == ("cleanup",)
    assert (request.threads, request.seed, request.source) == (2, 7, False)


def test_what_is_typed_has_the_last_word(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings('[optimize]\nthreads = 2\nengine = "openvino"\ninput = ["x=1x3"]\nmax-size = "5MB"')
    fxopt("optimize", "m.pt2", "--threads", "4", "--engine", "auto", "--input", "x=2x3")
    (request,) = compiler_.requests
    assert (request.threads, request.engine, request.inputs) == (4, "auto", ("x=2x3",))
    assert request.budget.max_size_bytes == 5_000_000


def test_the_output_and_the_recorded_command_say_what_was_taken(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings('[optimize]\nthreads = 2\nno-source = true\npasses = ["a", "b"]\np = ["no:x", "no:y"]')
    taken = "--threads 2 --no-source --passes a,b -p no:x -p no:y"
    answer = fxopt("optimize", "m.pt2")
    assert answer.out.splitlines()[0] == f"settings from fxopt.toml: {taken}"
    assert compiler_.requests[0].command == f"fxopt optimize m.pt2 {taken}"
    assert fxopt("optimize", "m.pt2", "--json").out.startswith("{")


def test_settings_beside_the_model_come_before_those_of_the_current_folder(
    fxopt: Callable[..., Any], compiler_: Any
) -> None:
    settings('[optimize]\nthreads = 2\nseed = 3\ncalib = "c.npz"')
    settings('[optimize]\nthreads = 4\ncalib = "c.npz"', "nets")
    for model in ("nets/m.pt2", "m.pt2"):
        Path(model).touch()
        fxopt("optimize", model)
    fxopt("optimize", "pkg.nets:small")
    found = [(request.threads, request.seed, request.calib) for request in compiler_.requests]
    assert found == [(4, 0, "nets/c.npz"), (2, 3, "c.npz"), (2, 3, "c.npz")]


def test_settings_beside_the_file_of_a_factory_are_found(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings("[optimize]\nseed = 3")
    settings('[optimize]\nthreads = 4\ncalib = "c.npz"', "nets")
    settings("[optimize]\nthreads = 5", "nets/package")
    for file in ("nets/small.py", "nets/package/__init__.py"):
        Path(file).touch()
    for model in ("nets.small:factory", "nets.package:factory", "nets.other:factory"):
        fxopt("optimize", model)
    found = [(request.threads, request.seed, request.calib) for request in compiler_.requests]
    assert found == [(4, 0, "nets/c.npz"), (5, 0, None), (None, 3, None)]


def test_every_setting_can_be_undone_on_the_command_line(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings(EVERYTHING)
    fxopt("optimize", "m.pt2", "--source")
    assert compiler_.requests[0].source
    assert compiler_.requests[0].threads == 2
    answer = fxopt("optimize", "m.pt2", "--no-settings")
    assert "settings from" not in answer.out
    request = compiler_.requests[1]
    assert (request.threads, request.passes, request.calib, request.without) == (None, None, None, ())
    assert request.budget == Budget()


def test_settings_that_came_with_a_model_run_no_code(fxopt: Callable[..., Any], compiler_: Any) -> None:
    settings('[optimize]\ncalib = "os:getcwd"', "nets")
    Path("nets/m.pt2").touch()
    answer = fxopt("optimize", "nets/m.pt2")
    assert answer.status == 2
    assert "os:getcwd would run code that came with the model; give it on the command line" in answer.err
    assert compiler_.requests == []
    fxopt("optimize", "nets/m.pt2", "--calib", "os:getcwd")
    assert compiler_.requests[0].calib == "os:getcwd"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[optimize]\nthread = 2", "unknown setting 'thread'; did you mean 'threads'?"),
        ("[optimize]\nmax_latency = '1ms'", "unknown setting 'max_latency'; did you mean 'max-latency'?"),
        ("[optimize]\nmodel = 'm'", "unknown setting 'model'"),
        ("threads = 2", "threads is no table of settings; write them under [optimize]"),
        ("[optimise]\nthreads = 2", "optimise is no table of settings; write them under [optimize]"),
        ("[optimize\n", "not TOML: "),
        ("[optimize]\nthreads = 'two'", "threads: 'two' is not a valid integer"),
        ("[optimize]\nthreads = 0", "threads: 0 is not in the range"),
        ("[optimize]\nmax-latency = 10", "--max-latency '10': give a time with its unit"),
        ("[optimize]\nminimize = 'cost'", "minimize: 'cost' is not one of"),
        ("[optimize]\nno-source = 'yes'", "no-source: give true or false, not 'yes'"),
        ("[optimize]\nengine = true", "engine: give a text or a number, not True"),
        ("[optimize]\nengine = ['a', 'b']", "engine: give one value, not a list"),
        ("[optimize]\np = 'cleanup'", "no:NAME"),
        ("[optimize]\ntrust-pickle = true", "trust-pickle is no setting: give it on the command line"),
        ("[optimize]\nout = 'there'", "out is no setting: give it on the command line"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_the_file(
    fxopt: Callable[..., Any], compiler_: Any, text: str, says: str
) -> None:
    settings(text)
    answer = fxopt("optimize", "m.pt2")
    assert answer.status == 2
    assert answer.err.startswith("fxopt: error: fxopt.toml: ")
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert compiler_.requests == []


def test_the_documented_settings_are_all_that_there_are(fxopt: Callable[..., Any], compiler_: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
    settings(page.partition("```toml\n")[2].partition("```")[0])
    answer = fxopt("optimize", "m.pt2")
    assert answer.status == 0, answer.err
    assert compiler_.requests[0].threads == 2
