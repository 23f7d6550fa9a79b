"""What the system tells of the CPU."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

_NOMINAL_GHZ = 2.5


@lru_cache(1)
def cpuinfo() -> dict[str, str]:
    """Model name, flags, and the nominal clock in GHz of the first core."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    # The clock in cpuinfo moves; the rate of the time-stamp counter, half of the BogoMIPS on x86, does not.
    nominal = re.search(r"^bogomips\s*: ([\d.]+)", text, re.MULTILINE)
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": fields.get("flags") or fields.get("Features") or "",
        "ghz": str(float(nominal[1]) / 2000 if nominal else _NOMINAL_GHZ),
    }
