"""Sessions of few rounds, for smoke runs and tests: all that runs is real, and only plain differences are proven.

`python -m benchmarks.smoke optimize ...` is `fxopt optimize ...` with such sessions.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from fxopt.compiler import check, run, workshop
from fxopt.measure import Comparison, Plan, measure

ROUNDS = 30  # in one epoch: among 80 comparisons a plain difference is proven though other work disturbs a few


@contextmanager
def few_rounds() -> Iterator[None]:
    """Runs and checks in this process measure for one epoch, whatever their plans say.

    Most of the time of a session of tiny artifacts is the start of fresh processes for each epoch.
    """

    def briefly(*arguments: Any, plan: Plan, **options: Any) -> Comparison:
        return measure(*arguments, plan=dataclasses.replace(plan, rounds=ROUNDS, epochs=1), **options)

    with (
        mock.patch.object(workshop, "measure", briefly),
        mock.patch.object(check, "measure", briefly),
        mock.patch.object(run, "NOISY", math.inf),  # so few rounds are noisy on a quiet machine too
    ):
        yield


if __name__ == "__main__":
    from fxopt.cli import main

    with few_rounds():
        sys.exit(main())
