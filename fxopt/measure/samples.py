"""Values on their way to an engine's process: a file of batches, read one at a time."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np


def write(path: Path | IO[bytes], batches: Iterable[Sequence[np.ndarray[Any, Any]]]) -> None:
    """Write batches, each one array for each flat input, as an .npz whose arrays are named `BATCH.INPUT`."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, batch in enumerate(batches):
            for index, array in enumerate(batch):
                with archive.open(f"{number}.{index}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


@dataclass(frozen=True)
class Samples:
    """The batches in a file that `write` has made. They can be gone through more than once."""

    path: Path | IO[bytes]

    def __iter__(self) -> Iterator[list[np.ndarray[Any, Any]]]:
        with np.load(self.path, allow_pickle=False) as arrays:
            for _, names in itertools.groupby(arrays.files, lambda name: name.partition(".")[0]):
                yield [arrays[name] for name in names]
