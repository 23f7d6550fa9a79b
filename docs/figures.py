"""Write README's figures from the JSON that benchmarks wrote, between markers that name the file.

python docs/figures.py            rewrite the marked blocks of README.md
python docs/figures.py --check    write nothing; exit 1 where a block is not what its JSON gives
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from fxopt.report.table import summary_table

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
NOT_YET = "*Not measured yet.*"
_BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)
_ENGINES = {"eager": "PyTorch eager", "inductor": "Inductor", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_MODELS = {
    "mobilenet_v2": "MobileNetV2 (trained)",
    "efficientnet_lite0": "EfficientNet-Lite0 (trained)",
    "resnet50": "ResNet-50",
    "convnext_tiny": "ConvNeXt-T",
    "vit_tiny_patch16_224": "ViT-Ti/16",
    "repvgg_a0": "RepVGG-A0, training form",
    "inception_v3": "Inception-v3",
    "bert": "small BERT, separate Q/K/V",
}


def exact(report: dict[str, Any]) -> str:
    """The table of `bench_exact.py`: latencies in ms of all variants, one row a model."""
    models: dict[str, Any] = report["models"]
    lines = [
        f"| ms | {' | '.join(_ENGINES.values())} | fxopt | on | speed-up over the best engine |",
        "|---|" + "---:|" * (len(_ENGINES) + 1) + "---|---:|",
    ]
    for name, model in models.items():
        latencies = {row["name"]: row["latency_ms"] for row in model["variants"]}
        by_engine = {row["engine"]: row["latency_ms"] for row in model["variants"] if row["name"] != "fxopt"}
        cells = [_ms(by_engine.get(engine)) for engine in _ENGINES]
        interval = model["interval"]
        gain = f"{model['speedup']:.2f}"
        gain += f" ({interval['low']:.2f} to {interval['high']:.2f})" if model["applied"] else ", unmodified"
        lines.append(
            f"| {_MODELS.get(name, name)} | {' | '.join(cells)} | {_ms(latencies['fxopt'])} | {_ENGINES[model['engine']]} | {gain} |"
        )
    missing = [title for name, title in _MODELS.items() if name not in models]
    first = next(iter(models.values()))
    machines = sorted({_machine(model) for model in models.values()})
    notes = [
        f"{first['threads']} threads, batch 1, float32; {first['noise']['confidence']:.1%} intervals. Measured on "
        f"{'; and on '.join(machines)}.",
        *(
            [f"Geometric mean over RepVGG-A0, Inception-v3 and the BERT: {report['geomean']['speedup']:.3f}."]
            if report["geomean"]["speedup"]
            else []
        ),
        *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
    ]
    return "\n".join([*lines, "", *notes])


def honesty(report: dict[str, Any]) -> str:
    """One sentence a case of `honesty.py`."""
    return "\n".join(
        f"- {case['case']}, {case['trials']} times: admitted as a gain {case['admitted_as_gain']} times, seen as a loss "
        f"{case['seen_as_loss']} times; median ratio {case['median_ratio']:.4f} (true: {case['true_ratio']:g})."
        for case in report["cases"]
    )


def sample(report: dict[str, Any]) -> str:
    """What a run prints at its end, for the model where rewrites brought most."""
    model = max(report["models"].values(), key=lambda model: model["speedup"])
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(summary_table(model))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(["```", *(line for line in lines if line), model["verdict"], "```"])


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "exact.json": exact,
    "exact.json#sample": sample,
    "honesty.json": honesty,
}


def filled(text: str, results: Path = RESULTS) -> str:
    """The text with each marked block as its JSON gives it.

    Raises:
        KeyError: a marker names a file that nothing here can put in words.
    """

    def block(match: re.Match[str]) -> str:
        make, path = BLOCKS[match[2]], results / match[2].split("#")[0]
        body = make(json.loads(path.read_text())) if path.exists() else NOT_YET
        return f"{match[1]}\n{body}\n\n{match[4]}"

    return _BLOCK.sub(block, text)


def _ms(interval: dict[str, float] | None) -> str:
    return f"{interval['estimate']:.3g}" if interval else "failed"


def _machine(model: dict[str, Any]) -> str:
    machine = model["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['isa'])} ({versions}), {model['date'][:10]}"


def main() -> None:
    """Write or check README.md."""
    before = README.read_text()
    after = filled(before)
    if "--check" in sys.argv[1:]:
        if before != after:
            sys.exit(
                "README.md: figures are not those of benchmarks/results; run `make docs` and commit what it writes"
            )
    elif before != after:
        README.write_text(after)


if __name__ == "__main__":
    main()
