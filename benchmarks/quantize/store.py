"""What the benchmark makes once: folders by the content that they were made from, in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Store:
    """Folders and arrays that are made once.

    Attributes:
        root: the folder that holds them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: Sequence[object], fill: Callable[[Path], object]) -> Path:
        """The folder of a key; `fill` makes the new folder it is given. What fails half-way leaves nothing behind."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / hashlib.sha256(json.dumps([str(part) for part in key]).encode()).hexdigest()[:24]
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self.root) as temporary:
                draft = Path(temporary) / "draft"
                fill(draft)
                (draft / "key.json").write_text(json.dumps([str(part) for part in key]))
                if not path.exists():
                    draft.replace(path)
        return path

    def arrays(self, key: Sequence[object], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors by name."""

        def fill(draft: Path) -> None:
            draft.mkdir()
            np.savez(draft / "arrays.npz", **{name: value.numpy() for name, value in make().items()})

        with np.load(self.folder(key, fill) / "arrays.npz") as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}
