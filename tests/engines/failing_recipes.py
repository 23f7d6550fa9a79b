"""An engine whose recipes fail, each in one way, but for `writes`; all print, leave a half file, and use random numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fxopt.contracts.engine import Artifact
from tests.measure.engines import Honest


@dataclass(frozen=True)
class Quantizes(Honest):
    """Its artifact is that of an honest engine."""

    recipes: ClassVar[Mapping[str, str]] = dict.fromkeys(("writes", "raises", "hangs", "dies"), "as a test")

    def quantize(self, recipe: str, program: Any, samples: Any, out: Path) -> Artifact:
        print("a great deal")
        (out / "half").write_text(f"{sum(float(x.sum()) for batch in samples for x in batch)} {np.random.rand()}")
        match recipe:
            case "raises":
                raise ValueError("no\nrange of node conv2d")
            case "hangs":
                time.sleep(1000)
            case "dies":
                os.abort()
        return self.emit(program, out)
