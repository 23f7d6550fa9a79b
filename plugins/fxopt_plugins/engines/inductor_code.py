"""What Inductor made of a model, read from the C++ that lies in its package beside the compiled library."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from fxopt.contracts.engine import EngineGraph, Kernel, signature_of

_WRAPPER = ".wrapper.cpp"
_SILENT = re.compile(r"//[^\n]*|if \(_check_aoti_runtime_check_inputs_env\(\)\) \{[^\n]*")  # comments, optional checks
_VALUE = re.compile(r"static_cast<(float|double)>\([-+.\de]+\)")  # small weights are written into the code
_DECLARED = re.compile(r'(?:inputs|outputs)_info_\[\d+\]\.name = "([^"]*)"')
# Weights are declared in an order that depends on their names.
_WEIGHT = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = ([^\n]*);|[^\n]*constants_->at\(\d+\)[^\n]*")
_GENERATED = r"cpp_fused_\w+|buf\d+|arg\d+_\d+"  # names that Inductor makes up
_CALL = re.compile(r"^\s+(?:AOTI_TORCH_ERROR_CODE_CHECK\()?(cpp_fused_\w+|aoti_torch_cpu_\w+)\(", re.MULTILINE)


def engine_graph(package: Path) -> EngineGraph:
    """Kernels in the order of their calls, and a digest of the code in which names are numbered by appearance."""
    with zipfile.ZipFile(package) as archive:
        files = sorted(
            (name for name in archive.namelist() if name.endswith(".cpp")), key=lambda name: not name.endswith(_WRAPPER)
        )
        texts = [_SILENT.sub("", archive.read(name).decode()) for name in files]
    if not files or not files[0].endswith(_WRAPPER):
        return EngineGraph((), None)
    kernels = tuple(Kernel(name, _kind(name)) for name in _CALL.findall(texts[0]))
    return EngineGraph(kernels, signature_of([_numbered("\n".join(texts))]))


def _kind(function: str) -> str:
    return "C++ loop nest" if function.startswith("cpp_fused") else function.removeprefix("aoti_torch_cpu_").strip("_")


def _numbered(code: str) -> str:
    """The code without values, and with everything that only names something replaced by the order of its use."""
    weights: dict[str, dict[str, str]] = {}
    for index, key, value in _WEIGHT.findall(code):
        weights.setdefault(index, {})[key] = value.strip('"')
    weights.pop("", None)
    code = _VALUE.sub(r"\1", _WEIGHT.sub("", code))
    names = {*_DECLARED.findall(code), *(weight["name"] for weight in weights.values())}
    alternatives = [*sorted(map(re.escape, names), key=len, reverse=True), _GENERATED]
    numbers: dict[str, str] = {}
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?![A-Za-z0-9])")
    code = pattern.sub(lambda found: numbers.setdefault(found[0], f"name{len(numbers)}"), code)
    described = [
        f"{numbers.get(weight['name'])} {weight.get('dtype')} {weight.get('shape')} {weight.get('stride')}"
        for weight in weights.values()
    ]
    return "\n".join([*(line.strip() for line in code.splitlines() if line.strip()), *sorted(described)])
