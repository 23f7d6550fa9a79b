"""Twenty photographs with ImageNet labels: a smoke test of a classifier, far too few to prove a small drop."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.assets import fetch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def photographs(
    mean: tuple[float, ...] = IMAGENET_MEAN, deviation: tuple[float, ...] = IMAGENET_DEVIATION, size: int = 224
) -> tuple[Tensor, Tensor]:
    """Images (20, 3, size, size), float32, `(x / 255 - mean) / deviation`; labels (20,), int64.

    Raises:
        AssetUnavailable: the package that holds them cannot be had.
    """
    images, labels = [], []
    whole = round(size / 0.875)  # the usual evaluation: resize, then keep the centre
    border = (whole - size) // 2
    for file in sorted(fetch("photographs").iterdir()):
        image = Image.open(file).convert("RGB").resize((whole, whole), Image.Resampling.BILINEAR)  # they are square
        image = image.crop((border, border, border + size, border + size))
        images.append((np.asarray(image, dtype=np.float32) / 255 - np.float32(mean)) / np.float32(deviation))
        labels.append(int(file.stem.rsplit("_", 1)[1]))
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()), torch.tensor(labels)
