"""Samples for the benchmark: to calibrate with, to search with, and to report on, disjoint.

A set is a function that goes through its samples anew at each call, as `fxopt.data` takes it: it yields `inputs`, or
`(inputs, labels)`. Crops are kept apart by photograph, never by crop: those of one photograph are much alike.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.quantize.networks import TOKENS, Demosaic
from examples.assets import fetch

Samples = Callable[[], Iterator[Any]]
BATCH = 16
ROLES = ("calib", "search", "report")
# Of 20 photographs: which are for what. Those of the search are spread, as photographs differ: a plan that lost 0.2 dB on four in a
# row, of which none is smooth, lost 0.7 dB of the others.
PHOTOGRAPHS: Mapping[str, Sequence[int]] = {
    "calib": range(6),
    "search": range(6, 20, 3),
    "report": sorted({*range(6, 20)} - {*range(6, 20, 3)}),
}


@dataclass(frozen=True)
class Split:
    """Samples by what they are for.

    Attributes:
        calib: what ranges are fitted to; without labels.
        search: what a search for a plan may evaluate as often as it likes.
        report: what nothing but the final figures is made from.
    """

    calib: Samples
    search: Samples
    report: Samples


def batches(inputs: Tensor | tuple[Tensor, ...], labels: Tensor | None = None) -> Samples:
    """A set of samples that are in memory."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)

    def samples() -> Iterator[Any]:
        for start in range(0, len(parts[0]), BATCH):
            part = tuple(value[start : start + BATCH] for value in parts)
            first = part if isinstance(inputs, tuple) else part[0]
            yield first if labels is None else (first, labels[start : start + BATCH])

    return samples


def in_order(inputs: Tensor | tuple[Tensor, ...], labels: Tensor, calib: int, search: int, report: int) -> Split:
    """The first samples to calibrate with, the next ones to search with, and those after them to report on."""

    def part(first: int, count: int, labelled: bool) -> Samples:
        chosen = slice(first, first + count)
        values = tuple(v[chosen] for v in inputs) if isinstance(inputs, tuple) else inputs[chosen]
        return batches(values, labels[chosen] if labelled else None)

    return Split(part(0, calib, False), part(calib, search, True), part(calib + search, report, True))


# -- photographs -----------------------------------------------------------------------------------------------


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """All photographs, (H, W, 3), uint8."""
    return tuple(np.asarray(Image.open(file).convert("RGB")) for file in sorted(fetch("photographs").iterdir()))


def shares(count: int, photographs: Sequence[int]) -> dict[int, int]:
    """How many of `count` crops are of which photograph: as equally many as can be."""
    each, rest = divmod(count, len(photographs))
    return {number: each + (place < rest) for place, number in enumerate(photographs)}


def resized_crop(photograph: np.ndarray, random: np.random.Generator, size: int = 224) -> np.ndarray:
    """A part of a photograph with a quarter of its area or more, at (size, size, 3), mirrored half of the time."""
    height, width = photograph.shape[:2]
    area, aspect = random.uniform(0.25, 1) * height * width, np.exp(random.uniform(-0.28, 0.28))
    w, h = min(width, round((area * aspect) ** 0.5)), min(height, round((area / aspect) ** 0.5))
    x, y = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
    part = Image.fromarray(photograph[y : y + h, x : x + w]).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(part)[:, :: random.choice((-1, 1))]


def plain_crop(photograph: np.ndarray, random: np.random.Generator, size: int = 128) -> np.ndarray:
    """A part of a photograph as it is, (size, size, 3)."""
    y, x = (int(random.integers(0, side - size + 1)) for side in photograph.shape[:2])
    return photograph[y : y + size, x : x + size]


def crops(numbers: Sequence[int], count: int, crop: Callable[..., np.ndarray] = resized_crop) -> np.ndarray:
    """Crops of some of the photographs, uint8, (count, H, W, 3); the same at each call."""
    found = []
    for number, share in shares(count, numbers).items():
        random = np.random.default_rng(number)
        found += [crop(photographs()[number], random) for _ in range(share)]
    return np.stack(found)


def images(mean: Sequence[float], deviation: Sequence[float], calib: int, search: int, report: int) -> Split:
    """Crops of 224 x 224 without labels, `(x - mean) / deviation` of grey levels to 255."""

    def samples(role: str, count: int) -> Samples:
        kept: list[np.ndarray] = []

        def go() -> Iterator[Tensor]:
            if not kept:
                kept.append(crops(PHOTOGRAPHS[role], count))
            for start in range(0, count, BATCH):
                part = (kept[0][start : start + BATCH].astype(np.float32) - np.float32(mean)) / np.float32(deviation)
                yield torch.from_numpy(part).permute(0, 3, 1, 2).contiguous()

        return go

    return Split(samples("calib", calib), samples("search", search), samples("report", report))


def bayer(pictures: Tensor) -> Tensor:
    """What a sensor under a Bayer filter (green and red above blue and green) sees of (N, 3, H, W); 0 elsewhere."""
    seen = torch.zeros_like(pictures)
    for channel, y, x in ((0, 0, 1), (1, 0, 0), (1, 1, 1), (2, 1, 0)):
        seen[:, channel, y::2, x::2] = pictures[:, channel, y::2, x::2]
    return seen


def mosaics(calib: int, search: int, report: int) -> Split:
    """Mosaics of crops of 128 x 128; the label is the picture without its border."""

    def samples(role: str, count: int) -> Samples:
        pictures = torch.from_numpy(crops(PHOTOGRAPHS[role], count, plain_crop)).permute(0, 3, 1, 2).float() / 255
        border = Demosaic.BORDER
        wanted = pictures[..., border:-border, border:-border].contiguous()
        return batches(bayer(pictures), None if role == "calib" else wanted)

    return Split(samples("calib", calib), samples("search", search), samples("report", report))


# -- digits and clothes ----------------------------------------------------------------------------------------


def digits(mean: float, deviation: float, calib: int, search: int, report: int) -> Split:
    """MNIST's digits, `(x / 255 - mean) / deviation`."""
    rows = np.loadtxt(fetch("mnist_5k"), delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]  # they are sorted by label
    inputs = (torch.from_numpy(rows[:, :784]).view(-1, 1, 28, 28) / 255 - mean) / deviation
    return in_order(inputs, torch.from_numpy(rows[:, 784]).long(), calib, search, report)


def clothes(part: str) -> tuple[Tensor, Tensor]:
    """Fashion-MNIST's `"train"` or `"t10k"`: pictures (N, 1, 28, 28), `x / 127.5 - 1`, and labels."""
    folder = fetch("fashion_mnist")
    pictures = _idx(gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes()))
    labels = _idx(gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes()))
    return pictures[:, None].float() / 127.5 - 1, labels.long()


def _idx(content: bytes) -> Tensor:
    """Bytes in MNIST's format: the number of axes in byte 3, then sizes, big-endian, then the array."""
    sizes = np.frombuffer(content, ">u4", content[3], 4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes).copy())


# -- mails -----------------------------------------------------------------------------------------------------


@cache
def mails() -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (N, 128), mask (N, 128) and whether it is spam (N), of all mails in an order that is not theirs."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(fetch("minilm_tokenizer")))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    found = [json.loads(file.read_bytes()) for file in sorted(fetch("mails").iterdir())]
    found = [found[index] for index in np.random.default_rng(0).permutation(len(found))]
    encoded = tokenizer.encode_batch([content(mail["text"]) for mail in found])
    return (
        torch.tensor([item.ids for item in encoded]),
        torch.tensor([item.attention_mask for item in encoded]).float(),
        torch.tensor([int(mail["group"].startswith("spam")) for mail in found]),
    )


def content(mail: str) -> str:
    """Subject and body without headers and markup, by which spam would be told all too easily."""
    head, _, body = mail.partition("\n\n")
    subject = re.search(r"^subject:(.*)$", head, re.IGNORECASE | re.MULTILINE)
    return " ".join(((subject[1] if subject else "") + " " + re.sub(r"<[^>]*>", " ", body)).split())[:4000]
