"""Measurement: engines in worker processes, interleaved timing, and what may be concluded from it.

- `Worker` hosts engines in a process: `unsupported`, `emit`, `graph`, `profile` (keep one warm as the builder);
  `load`, then `run`.
- `measure(variants, inputs)` compares artifacts, the first being the reference; `Comparison.timings[name].ratio`.
- `holm(p_values)` names the comparisons of a whole run that stand.
"""

from fxopt.measure.cores import least_disturbed, undisturbed
from fxopt.measure.interleave import Comparison, Plan, Timing, Variant, measure
from fxopt.measure.statistics import CONFIDENCE, Ratio, holm, median_interval
from fxopt.measure.worker import Limits, Worker

__all__ = [
    "CONFIDENCE",
    "Comparison",
    "Limits",
    "Plan",
    "Ratio",
    "Timing",
    "Variant",
    "Worker",
    "holm",
    "least_disturbed",
    "measure",
    "median_interval",
    "undisturbed",
]
