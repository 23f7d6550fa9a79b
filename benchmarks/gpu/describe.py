"""The kernels of the models that latencies are published of, found by capturing the models, which needs no weights.

Run: `python -m benchmarks.gpu.describe [--limit SECONDS]`, again and again until it says that it is done; what it finds is kept
in `data/kernels.json.xz`. `bench_gpu` reads that file, so that this has to be run only where models or rules change.
"""

from __future__ import annotations

import argparse
import collections
import csv
import gzip
import json
import lzma
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt_plugins.targets.gpu_kernels import Kernel, calls_of, kernels

if TYPE_CHECKING:
    from fxopt.ir.program import Program

DATA = Path(__file__).parent / "data"
KERNELS = DATA / "kernels.json.xz"
CARDS = ("rtx3090", "rtx4090")
# How many models of a family are taken, where it has so many; of the others five.
MOST = {
    "vision_transformer": 16,
    "resnet": 24,
    "efficientnet": 24,
    "regnet": 14,
    "byobnet": 20,
    "mobilenetv3": 12,
    "convnext": 14,
    "nfnet": 8,
    "maxxvit": 12,
    "densenet": 4,
    "vgg": 6,
    "mlp_mixer": 8,
    "deit": 6,
    "eva": 6,
}
_NUMBERS = ("flops", "read", "weights", "written", "rows", "columns", "terms", "groups")
_GROWS = ("flops", "read", "written")  # with the batch


def rows(card: str) -> dict[tuple[str, int], dict[str, float]]:
    """A card's published rows by model and image size: milliseconds of a batch, its size, GMACs and activations of an image."""
    found = {}
    with gzip.open(DATA / f"{card}.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if not row["infer_gmacs"]:  # they could not be counted
                continue
            batch = int(row["infer_batch_size"])
            found[row["model"], int(row["infer_img_size"])] = {
                "ms": 1000 * batch / float(row["infer_samples_per_sec"]),
                "batch": batch,
                "gmacs": float(row["infer_gmacs"]),
                "macts": float(row["infer_macts"]),
            }
    return found


def chosen() -> list[tuple[str, str, str, int]]:
    """Family, architecture, name with its weights' tag, and image size: a few of each family, in turn."""
    from benchmarks.models import define_torchvision_operators

    define_torchvision_operators()
    from timm import list_models
    from timm.models._registry import _model_to_module

    common = sorted(set.intersection(*(set(rows(card)) for card in CARDS)))
    random.Random(0).shuffle(common)
    known, families, seen = set(list_models()), collections.defaultdict(list), set[str]()
    for name, size in common:
        base = name.split(".")[0]
        if base in known and base not in seen:
            seen.add(base)
            families[_model_to_module[base]].append((base, name, size))
    return [
        (family, *families[family][turn])
        for turn in range(max(MOST.values()))
        for family in sorted(families)
        if turn < min(len(families[family]), MOST.get(family, 5))
    ]


def at_batch(kernel: Kernel, batch: int) -> Kernel:
    """A kernel of a batch of 1 at another batch."""
    grown = {name: getattr(kernel, name) * batch for name in _GROWS}
    more = "groups" if kernel.kind in ("matmul", "attention") else "rows"
    return replace(kernel, **grown, **{more: getattr(kernel, more) * batch})


def to_json(found: Iterable[Kernel]) -> list[list[Any]]:
    """Kernels as rows of kind, dtype, numbers, and how many there are of it."""
    counted = collections.Counter(replace(kernel, calls=()) for kernel in found)
    return [[k.kind, k.dtype, *(int(getattr(k, name)) for name in _NUMBERS), count] for k, count in counted.items()]


def from_json(data: Sequence[Sequence[Any]]) -> list[tuple[Kernel, int]]:
    """The inverse of `to_json`: kernels, and how many there are of each."""
    return [(Kernel(*row[:-1]), row[-1]) for row in data]


def read() -> dict[str, Any]:
    """All that was described, by name."""
    return json.loads(lzma.decompress(KERNELS.read_bytes())) if KERNELS.exists() else {}


def write(data: dict[str, Any]) -> None:
    """Keep what was described."""
    KERNELS.write_bytes(lzma.compress(json.dumps(data, separators=(",", ":")).encode(), preset=9))


# -- models ---------------------------------------------------------------------------------------------------------------


def of_timm(base: str, size: int, merged: bool = False) -> Program:
    """An architecture of timm's on one image, its weights whatever lay in memory: they change no kernel.

    Args:
        base: its name.
        size: of the image.
        merged: whether parallel branches are merged where the architecture provides for it.
    """
    import torch

    from benchmarks.models import define_torchvision_operators
    from fxopt.ir.capture import capture, export

    define_torchvision_operators()
    import timm
    from timm.utils.model import reparameterize_model

    with torch.device("meta"):
        try:
            module = timm.create_model(base, pretrained=False, img_size=size)
        except TypeError:  # it takes images of any size
            module = timm.create_model(base, pretrained=False)
    module = module.to_empty(device="cpu").eval()
    if merged:
        module = reparameterize_model(module)
    return capture(export(module, (torch.zeros(1, 3, size, size),)))


def of_rows(base: str, size: int) -> dict[str, Any]:
    """A model's kernels as the rows were run: call by call on one card; on the other compiled, with branches merged.

    That they were merged is seen in the published files: parameters and activations of such models are fewer on that card.
    """
    from benchmarks.gpu.as_run import as_run
    from benchmarks.gpu.layout import laid
    from benchmarks.gpu.mixed import mixed

    found = {}
    for way, style in (("eager", "apart"), ("inductor", "pointwise")):
        fused = way == "inductor"
        program = of_timm(base, size, merged=fused)
        calls = calls_of(program, width=mixed(program, fused))
        found[way] = to_json(kernels(as_run(calls, laid(program), not fused), style))
    return found


def of_published(name: str) -> dict[str, Any]:
    """A model's kernels as TensorRT would run them, by precision; of encoders as FasterTransformer would too."""
    from benchmarks.gpu.mixed import integers, on_integers
    from benchmarks.gpu.stacks import LAUNCHED, by_library, way

    program = _published(name)
    calls = {
        "fp32": calls_of(program),
        "fp16": calls_of(program, half=True),
        "int8": on_integers(calls_of(program, width=integers(program))),
    }
    found = {precision: kernels(of, "epilogue") for precision, of in calls.items()}
    if any(call.kind == "attention" for call in calls["fp16"]):
        integer = on_integers(calls_of(program, width=integers(program, library=True)), attention=True)
        for precision, of in (("fp16", calls["fp16"]), ("int8", integer)):
            found[way(LAUNCHED[0], precision)] = by_library(kernels(of, "pointwise"))
    return {name: to_json(of) for name, of in found.items()}


def _published(name: str) -> Program:
    import torch

    from benchmarks.models import Bert, define_torchvision_operators
    from fxopt.ir.capture import capture, export

    if name != "bert_base_s128":
        return of_timm({"mobilenet_v2": "mobilenetv2_100"}.get(name, name), 224)
    define_torchvision_operators()
    return capture(export(Bert(layers=12, width=768).eval(), (torch.randint(0, 1000, (1, 128)),)))


PUBLISHED = ("mobilenet_v2", "resnet50", "bert_base_s128", "vit_base_patch16_224")


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe what is not described yet, until time is out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which no new model is begun")
    parser.add_argument("--models", type=int, default=240, help="models of timm's")
    options = parser.parse_args(arguments)
    data, end = read(), time.monotonic() + options.limit
    for name in PUBLISHED:
        if name not in data and time.monotonic() < end:
            data[name] = of_published(name)
    wanted = chosen()[: options.models]
    for family, base, name, size in wanted:
        key = f"{name}@{size}"
        if key in data or time.monotonic() > end:
            continue
        try:
            data[key] = {"family": family, **of_rows(base, size)}
        except Exception as error:  # noqa: BLE001 - some architectures cannot be captured, each in its own way
            data[key] = {"family": family, "error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(key, data[key].get("error", ""), flush=True)
    write(data)
    left = [name for name in (*PUBLISHED, *(f"{name}@{size}" for _, _, name, size in wanted)) if name not in data]
    print(f"{sum('eager' in item for item in data.values())} models, {KERNELS.stat().st_size} bytes")
    print(f"{len(left)} are left: run this again" if left else "done")


if __name__ == "__main__":
    main()
