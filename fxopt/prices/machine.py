"""What a machine does, as a readable profile: peaks, bandwidths and overheads, as the kernels of its engines reach them."""

from __future__ import annotations

import datetime
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fxopt.prices.estimate import USUAL
from fxopt.prices.predict import overheads

if TYPE_CHECKING:
    from fxopt.contracts.target import Machine
    from fxopt.prices.place import Place
    from fxopt.prices.table import KernelTable, Price

_LEVELS = ((1e6, "within_1MB"), (16e6, "within_16MB"), (math.inf, "beyond"))  # of what a kernel reads and writes
_COMPUTE, _MOVE = ("convolution", "product"), ("unary", "binary", "move")


def profile(table: KernelTable, places: Iterable[Place], machine: Machine) -> dict[str, Any]:
    """What is known of the places on a machine, as nested plain data.

    Peaks are in GFLOP/s by dtype, the most that any kernel reached; bandwidths in GB/s by how much is moved, which four of five
    kernels do not reach; times are in microseconds.
    """
    engines: dict[str, Any] = {}
    for place in places:
        prices = table.prices(place)
        known = [price for price in prices.values() if "bare" in price.features]
        if not known:
            continue
        engine = engines.setdefault(place.engine, {"version": place.version})
        above = overheads(prices)
        engine[f"threads_{place.threads}"] = {
            "kernels": len(known),
            **_spread(known),
            "call_us": round(1e3 * above.call_ms, 2),
            "piece_us": round(1e3 * above.piece_ms, 2),
            "share_of_profile": round(above.share, 4),
            "peak_gflops": _peaks(known),
            "bandwidth_gbs": _bandwidths(known),
        }
    return {
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": machine.cpu, "isa": list(machine.isa), "cores": machine.cores},
        "engine": engines,
    }


def to_toml(data: Mapping[str, Any], path: str = "") -> str:
    """Nested plain data as TOML: strings, numbers, lists of strings, and tables of these."""
    flat = [f"{_key(key)} = {_value(value)}" for key, value in data.items() if not isinstance(value, Mapping)]
    parts = ["\n".join(flat)] if flat else []
    for key, value in data.items():
        if isinstance(value, Mapping):
            inner = f"{path}{_key(key)}"
            parts.append(f"[{inner}]\n{to_toml(value, f'{inner}.')}")
    return "\n\n".join(parts) + ("" if path else "\n")


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        # Escapes of JSON are those of TOML, which wants one more.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _spread(known: Sequence[Price]) -> dict[str, float]:
    """The median; nothing where all were measured but once."""
    found = [price.spread for price in known if math.isfinite(price.spread)]
    return {"spread": round(statistics.median(found), 4)} if found else {}


def _peaks(known: Sequence[Price]) -> dict[str, float]:
    found: dict[str, float] = {}
    for price in known:
        if price.features["sort"] in _COMPUTE:
            rate = price.features["flops"] / price.milliseconds / 1e6
            found[price.features["dtype"]] = round(max(rate, found.get(price.features["dtype"], 0.0)), 1)
    return dict(sorted(found.items()))


def _bandwidths(known: Sequence[Price]) -> dict[str, float]:
    """As most kernels reach them: some move next to nothing of what they are said to."""
    found: dict[str, list[float]] = {}
    for price in known:
        if price.features["sort"] in _MOVE:
            moved = price.features["read"] + price.features["weights"] + price.features["written"]
            level = next(name for limit, name in _LEVELS if moved <= limit)
            found.setdefault(level, []).append(moved / price.milliseconds / 1e6)
    return {name: round(float(np.quantile(found[name], USUAL)), 2) for _, name in _LEVELS if name in found}
