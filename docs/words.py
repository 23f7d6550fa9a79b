"""What pages of figures have in common: how intervals, ratios and machines are put in words."""

from __future__ import annotations

from typing import Any

NOT_YET = "*Not measured yet.*"
ENGINES = {"eager": "PyTorch eager", "inductor": "Inductor", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def ms(interval: dict[str, float] | None) -> str:
    """The estimate, to three digits."""
    return f"{interval['estimate']:.3g}" if interval else "failed"


def ratio(row: dict[str, Any] | None) -> str:
    """The ratio of a row with its interval."""
    found = row and row["ratio"]
    return f"{found['estimate']:.2f} ({found['low']:.2f} to {found['high']:.2f})" if found else "none"


def machine_in_words(result: dict[str, Any]) -> str:
    """The machine of a result, with versions and date."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['isa'])} ({versions}), {result['date'][:10]}"
    )
