"""A metric in the user's own code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from fxopt import InputError, Metric
from fxopt.user_code import call, find, is_reference


@dataclass(frozen=True)
class Function(Metric):
    """The mean of the scores that a function of the user gives; `--metric module:function` is short for it.

    It is called with a batch of outputs and its labels, as tensors whose first axis is the sample, and returns a score
    for each sample. A model with several outputs gives it a tuple of them, unless `output` names one.
    """

    name: ClassVar[str] = "function"
    needs = "labels"
    several: ClassVar[bool] = True

    of: str = field(default="", metadata={"help": "the function, as `module:function`"})
    direction: str = field(default="higher", metadata={"help": "`higher` or `lower`: which scores are better"})
    rate: bool = field(default=False, metadata={"help": "scores lie in 0 to 1, and a drop may be in points: `0.5pt`"})

    def __post_init__(self) -> None:
        if self.of and not is_reference(self.of):
            raise ValueError(f"of={self.of!r} is not of the form module:function")
        if self.direction not in ("higher", "lower"):
            raise ValueError(f"direction={self.direction!r}: give higher or lower")

    def collect(self, outputs: tuple[torch.Tensor, ...], labels: torch.Tensor | None, reference: Any) -> torch.Tensor:
        if not self.of:
            raise InputError("the metric `function` judges by no function yet; name one: --metric module:function")
        function = find(self.of)
        if not callable(function):
            raise ValueError(f"it is a {type(function).__name__}, not a function")
        found = call(self.of, function, outputs[0] if len(outputs) == 1 else outputs, labels)
        scores = torch.as_tensor(found)
        count = len(outputs[0])
        if tuple(scores.shape) not in ((count,), (count, 1)):
            raise ValueError(f"it gave scores of the shape {list(scores.shape)} for {count} samples; give one a sample")
        scores = scores.detach().double().reshape(count, 1)
        if self.rate and bool(((scores < 0) | (scores > 1)).any()):
            raise ValueError(f"rate=true, but scores lie in {float(scores.min()):g}..{float(scores.max()):g}")
        return scores
