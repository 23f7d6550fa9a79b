"""Whatever the graph, all passes together keep what it computes."""

from __future__ import annotations

import os
from functools import cache

import torch
from hypothesis import HealthCheck, given, settings

from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.registry import Registry
from fxopt.verify.fidelity import check_whole
from tests.properties.graphs import programs

EXAMPLES = 500 if os.environ.get("CI") else 50
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@cache
def registry() -> Registry:
    return Registry.load()


@settings(max_examples=EXAMPLES, suppress_health_check=SLOW)
@given(programs())
def test_all_passes_together_keep_a_random_graph(program: Program) -> None:
    found = search(program, registry().make_passes(None), registry())
    assert found.faults == {}
    assert [refusal for refusal in found.refusals if refusal.evidence is None] == []
    evidence = check_whole(program, found.program, found.twin)
    # Rounding in float32 is bounded for each rewrite, not for all together: a chain of normalizations over two values
    # can magnify it. The compiler refuses such a plan as a whole; see `EngineLab.sound`.
    assert evidence.float64_error <= evidence.float64_bound, f"{evidence}\n{program.text()}\n{found.program.text()}"
    for size in (1, 3):  # other than the one captured
        inputs = sample_inputs(program, {"N": size})
        for old, new in zip(program.run(inputs), found.program.run(inputs), strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)
            torch.testing.assert_close(new, old, rtol=1e-2, atol=1e-3)


@settings(max_examples=EXAMPLES // 10, suppress_health_check=SLOW)
@given(programs())
def test_replaying_all_steps_gives_the_searched_program(program: Program) -> None:
    found = search(program, registry().make_passes(None), registry())
    again, skipped = replay(program, found.steps, registry())
    assert (again.digest, skipped) == (found.program.digest, [])
