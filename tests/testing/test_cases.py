"""How checks become test cases: ids, expected failures, programs that are made when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fxopt.ir.program import Program
from fxopt.testing import ZOO, engine_checks, pass_checks, planner_checks, target_checks
from fxopt.testing.specimen import Specimen
from fxopt_plugins.engines.eager import Eager
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.targets.cpu import Cpu
from tests.testing import seeded

# What the zoo must have, in words of its programs' names.
AWKWARD = """
    shared weights, matched value is an output, batch norm in training, grouped convolution, depthwise convolution,
    views and aliases, dynamic batch, tied embedding, several outputs, zero size, scalars, integers and booleans,
    float16, bfloat16, nested graph, odd names, residual, concat and split, no match
"""


def test_ids_read_subject_check_program() -> None:
    passes = {case.id for case in pass_checks(seeded.Clamp())}
    assert {"clamp x is documented", "clamp x stale sites raise x shared weights"} <= passes
    assert "cpu on eager x prices are sane x residual" in {case.id for case in target_checks(Cpu(), engines=[Eager()])}
    assert "eager{threads=1} x calls stay apart x residual" in {case.id for case in engine_checks(Eager(threads=1))}
    assert "by_pass x limits are kept" in {case.id for case in planner_checks(ByPass())}


def test_listing_cases_makes_no_program() -> None:
    def program() -> Program:
        raise AssertionError("made")

    cases = pass_checks(seeded.Clamp(), programs={"mine": program}, near_misses={"near": (program, "users")})
    assert any(case.id.endswith("x mine") for case in cases)


def test_the_zoo_has_what_is_awkward_and_says_why() -> None:
    assert {" ".join(name.split()) for name in AWKWARD.split(",")} <= set(ZOO)
    assert all(specimen.breaks for specimen in ZOO.values())


def test_a_program_of_the_zoo_is_made_once_and_leaves_the_random_numbers_alone() -> None:
    made = []

    @Specimen
    def one() -> Program:
        made.append(torch.rand(1))
        return ZOO["scalars"]()

    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert one() is one()
    assert len(made) == 1
    assert torch.equal(torch.rand(1), expected)


def test_an_expected_failure_that_names_no_case_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'clamp x is documented'"):
        pass_checks(seeded.Clamp(), expected_failures={"clamp x is documentd": "a typing error"})


TESTS = """
import pytest
from fxopt.testing import pass_checks
from tests.testing.seeded import Clamp, HasNoDocstring

def expecting(rule):
    cases = pass_checks(rule, expected_failures={f"{rule.name} x is documented": "to be written"})
    return [case for case in cases if case.id.endswith("is documented")]

@pytest.mark.parametrize("check", expecting(HasNoDocstring()))
def test_that_fails(check):
    check()

@pytest.mark.parametrize("check", expecting(Clamp()))
def test_that_does_not(check):
    check()
"""


def test_expected_failures_are_strict(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-rxf", "-o", f"pythonpath={Path(__file__).parents[2]}", tmp_path]
    run = subprocess.run([*command, "--rootdir", tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 1 xfailed" in run.stdout
    assert "XFAIL test_mine.py::test_that_fails[clamp x is documented] - to be written" in run.stdout
    assert "[XPASS(strict)] to be written" in run.stdout
