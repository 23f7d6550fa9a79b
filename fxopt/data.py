"""Samples for a model, as `--calib` and its like name them.

An `.npz` holds one array per input name, the first axis the sample, and optionally `labels`.
`module:function` is called and yields batches, the same ones at each call. A batch is a dict by input name (with
`labels`, where there are any), a tuple in the order of the inputs, a tensor where there is one input, or
`(inputs, labels)`; its arrays or tensors begin with the sample axis. From Python, such a function, an iterable of
batches, or one batch as a dict or tensor will do as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxopt.contracts.frontend import check_file
from fxopt.contracts.options import suggest
from fxopt.errors import InputError
from fxopt.ir.export_error import reason
from fxopt.ir.interface import Interface
from fxopt.ir.program import tensor_digest
from fxopt.user_code import call, find, is_reference

BATCH = 16  # samples that are run at once where the model takes so many
LABELS = "labels"

_END = object()


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes:
        inputs: the model's flat inputs, in the order and with the dtypes of its interface.
        labels: of shape (samples, ...), where there are any.
        samples: how many there are. In a part of some data that does not fill a batch of fixed size, the last sample
            is repeated behind them, without a label.
    """

    inputs: tuple[torch.Tensor, ...]
    labels: torch.Tensor | None
    samples: int


@dataclass(frozen=True)
class Data:
    """All samples of one source, checked against a model's interface.

    Attributes:
        path: the source as it was typed; None for an object of the Python interface.
        name: how messages call it: the path, or its role.
        interface: of the model that takes the samples.
        samples: how many there are.
        digest: SHA-256 over names, dtypes, shapes and contents of the source's batches, the first 16 digits.
        ranges: by name of a flat input of floats, the least and the largest finite number in it.
    """

    path: str | None
    name: str
    interface: Interface
    samples: int
    digest: str
    ranges: dict[str, tuple[float, float]]
    _open: Callable[[], Iterator[tuple[str, Any]]]
    _chosen: torch.Tensor | None = None  # sorted numbers of the samples in a part of the data
    _digests: list[str] = field(
        default_factory=list, repr=False, compare=False
    )  # of the whole's samples, once asked for

    @classmethod
    def read(cls, source: Any, interface: Interface, role: str) -> Data:
        """The data that `source` names or is; all of it is read once, to check it.

        Args:
            source: a path, `module:function`, a function, an iterable of batches, or a single batch.
            interface: of the model that takes the samples.
            role: how messages name a source that has no name, like `"calib"`.

        Raises:
            InputError: the source cannot be read, is empty, does not fit the interface, or holds NaN; one line that
                says where.
        """
        names = [item.name for item in interface.inputs]
        wanted = {*names, *interface.argument_names, LABELS}
        path = str(source) if isinstance(source, (str, Path)) else None
        data = cls(path, path or role, interface, 0, "", {}, _opener(source, path or role, wanted))
        samples, content = 0, hashlib.sha256()
        for place, inputs, labels in data._arranged():
            samples += sum(batch.samples for batch in data._cut(place, inputs, labels, torch.arange(len(inputs[0]))))
            for name, value in zip(names, inputs, strict=True):
                if value.dtype.is_floating_point and value.numel():
                    low, high = _span(place, name, value, *filter(None, [data.ranges.get(name)]))
                    if low <= high:  # else none is finite
                        data.ranges[name] = (low, high)
            parts = {**dict(zip(names, inputs, strict=True)), LABELS: labels}
            content.update(json.dumps({k: tensor_digest(v) for k, v in parts.items() if v is not None}).encode())
        if not samples:
            raise InputError(f"{data.name} holds no samples")
        return dataclasses.replace(data, samples=samples, digest=content.hexdigest()[:16])

    def batches(self, most: int = BATCH) -> Iterator[Batch]:
        """All samples in order, in batches of sizes that the model takes, of `most` samples where it takes so few."""
        first = 0
        for place, inputs, labels in self._arranged():
            rows = torch.arange(len(inputs[0]))
            if self._chosen is not None:
                rows = self._chosen[(self._chosen >= first) & (self._chosen < first + len(rows))] - first
            first += len(inputs[0])
            yield from self._cut(place, inputs, labels, rows, most)

    def part(self, numbers: Iterable[int]) -> Data:
        """The samples of these numbers, counted from 0, in the order of the data.

        Batches of a fixed size that they do not fill are filled up by the last sample: see `Batch.samples`.

        Raises:
            InputError: there is no such sample, or none is left.
        """
        mine = range(self.samples) if self._chosen is None else self._chosen.tolist()
        chosen = torch.tensor(sorted({mine[number] for number in numbers}), dtype=torch.int64)
        if not len(chosen):
            raise InputError(f"{self.name}: no sample is left")
        digest = hashlib.sha256(json.dumps([self.digest, chosen.tolist()]).encode()).hexdigest()[:16]
        return dataclasses.replace(self, samples=len(chosen), digest=digest, _chosen=chosen)

    def sample_digests(self) -> list[str]:
        """The digest of each sample's inputs: dtypes, shapes and contents, without its label."""
        if not self._digests:  # a part shares them with the whole
            self._digests.extend(
                [
                    hashlib.sha256(
                        json.dumps([tensor_digest(value[row].clone()) for value in batch.inputs]).encode()
                    ).hexdigest()
                    for batch in dataclasses.replace(self, _chosen=None).batches()
                    for row in range(batch.samples)
                ]
            )
        return self._digests if self._chosen is None else [self._digests[number] for number in self._chosen.tolist()]

    def to_json(self) -> dict[str, Any]:
        """What a plan records."""
        return {"path": self.path, "digest": self.digest}

    def _arranged(self) -> Iterator[tuple[str, list[torch.Tensor], torch.Tensor | None]]:
        """The source's batches with their places: inputs in the order of the interface, and labels."""
        for place, batch in self._open():
            inputs, labels = _arrange(place, batch, self.interface)
            counts = {name: value.shape[0] for name, value in [*inputs.items(), (LABELS, labels)] if value is not None}
            (first, count), *others = counts.items()
            for name, other in others:
                if other != count:
                    raise InputError(f"{place}: {name} has {other} samples, but {first} has {count}")
            yield place, list(inputs.values()), labels

    def _cut(
        self,
        place: str,
        inputs: list[torch.Tensor],
        labels: torch.Tensor | None,
        rows: torch.Tensor,
        most: int = BATCH,
    ) -> Iterator[Batch]:
        """The samples in these rows, in batches of a size that the model takes."""
        if not (count := len(rows)):
            return
        low, high = self._batch_bounds()
        middle = min(max(low, most), high)
        sizes = (*range(middle, low - 1, -1), *range(middle + 1, high + 1))
        size = next((size for size in sizes if count % size == 0 or count % size >= low), None)
        if size is None and self._chosen is None:
            allowed = f"{low}" if low == high else f"{low} to {high}"
            raise InputError(
                f"{place}: {count} samples do not make batches of {allowed}, which the model takes;"
                " add or leave out samples, or give the model a dynamic batch"
            )
        if size is None:
            size = low
            rows = torch.cat([rows, rows[-1:].expand(-count % low)])
        for start in range(0, len(rows), size):
            taken = rows[start : start + size]
            part = tuple(value.index_select(0, taken) for value in inputs)
            try:
                self.interface.check([tuple(v.shape) for v in part], [_dtype(v) for v in part])
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            samples = min(size, count - start)
            yield Batch(part, None if labels is None else labels.index_select(0, taken[:samples]), samples)

    def _batch_bounds(self) -> tuple[int, int]:
        """The least size of a batch that the inputs' first axes allow, and the largest up to `BATCH` or that."""
        ranges = {dim.name: (max(dim.min, 1), dim.max) for dim in self.interface.dims}
        firsts = {item.shape[0] for item in self.interface.inputs if item.shape}
        bounds = [(first, first) if isinstance(first, int) else ranges[first] for first in firsts]
        low = max((low for low, _ in bounds), default=1)
        high = min([max(low, BATCH), *(high for _, high in bounds if high is not None)])
        if low > high:
            raise InputError(
                "the model's inputs begin with axes of different sizes; data gives all of them as many samples"
            )
        return low, high


def _span(
    place: str, name: str, value: torch.Tensor, known: tuple[float, float] = (math.inf, -math.inf)
) -> tuple[float, float]:
    """The least and the largest finite number in an input and in what was seen of it before.

    Raises:
        InputError: it holds NaN.
    """
    low, high = value.aminmax()
    if not (low.isfinite() and high.isfinite()):
        if bool((wrong := torch.isnan(value)).any()):
            sample = int(wrong.reshape(len(value), -1).any(1).nonzero()[0]) + 1
            raise InputError(f"{place}: input {name} holds NaN (sample {sample}); mend or leave out such samples")
        finite = value[torch.isfinite(value)]
        if not finite.numel():
            return known
        low, high = finite.aminmax()
    return min(known[0], float(low)), max(known[1], float(high))


def _opener(source: Any, place: str, wanted: set[str]) -> Callable[[], Iterator[tuple[str, Any]]]:
    """A function that goes through the source's batches anew, each with its place for messages."""
    if isinstance(source, (str, Path)) and not is_reference(place):
        arrays = _read_npz(Path(source), wanted)
        return lambda: iter([(place, arrays)])
    if isinstance(source, (str, Path)):
        source = find(place)
    if isinstance(source, (Mapping, torch.Tensor, np.ndarray)):
        return lambda: iter([(place, source)])
    if isinstance(source, Iterator):  # runs only once
        source = list(source)
    return lambda: _numbered(place, source)


def _numbered(place: str, source: Any) -> Iterator[tuple[str, Any]]:
    batches = source if isinstance(source, Iterable) or not callable(source) else call(place, source)
    if not isinstance(batches, Iterable):
        raise InputError(f"{place}: expected batches, got a {type(batches).__name__}; yield a dict or tuple for each")
    iterator = iter(batches)
    number = 0
    while (batch := call(place, next, iterator, _END)) is not _END:
        number += 1
        yield f"{place}: batch {number}", batch


def _read_npz(path: Path, wanted: set[str]) -> dict[str, Any]:
    """The wanted arrays by name; None for others. Nothing is unpickled."""
    check_file(path, "an .npz or module:function")
    hint = f"save one with numpy.savez({path.with_suffix('.npz').name!r}, {min(wanted - {LABELS}, default='x')}=...)"
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises whatever damaged bytes lead to
        raise InputError(f"{path}: not an .npz; {hint}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: a single array without a name, not an .npz; {hint}")
    found: dict[str, Any] = dict.fromkeys(archive.files)
    with archive:
        for name in wanted & found.keys():
            try:
                found[name] = archive[name]
            except Exception as error:  # as above
                raise InputError(
                    f"{path}: array {name} cannot be read as plain numbers ({reason(error)}); {hint}"
                ) from error
    return found


def _arrange(place: str, batch: Any, interface: Interface) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Inputs by name, in order, and labels."""
    names, labels = interface.argument_names, None
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        first, second = batch
        if len(names) == 1 or isinstance(first, (Mapping, tuple, list)):
            batch, labels = first, second
    if isinstance(batch, Mapping):
        keys = [name if name in batch else item.name for name, item in zip(names, interface.inputs, strict=True)]
        for name, key in zip(names, keys, strict=True):
            if key not in batch:
                raise InputError(f"{place}: input {name} is missing{suggest(name, map(str, batch))}")
        if labels is None and LABELS not in keys:
            labels = batch.get(LABELS)
        values = [batch[key] for key in keys]
    else:
        values = list(batch) if isinstance(batch, (tuple, list)) else [batch]
        if len(values) != len(names):
            raise InputError(f"{place}: {len(values)} inputs; the model takes {', '.join(names)}")
    inputs = {name: _tensor(place, name, value) for name, value in zip(names, values, strict=True)}
    return inputs, None if labels is None else _tensor(place, LABELS, labels)


def _tensor(place: str, name: str, value: Any) -> torch.Tensor:
    if isinstance(value, (np.ndarray, np.generic)):
        try:
            value = torch.from_numpy(np.require(value, requirements=["C", "W"]))
        except (TypeError, ValueError) as error:  # text, foreign byte orders
            raise InputError(f"{place}: {name} has dtype {value.dtype}, which PyTorch does not take") from error
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{place}: {name} is a {type(value).__name__}, not an array or a tensor")
    if not value.dim():
        raise InputError(f"{place}: {name} is a single number; its first axis must be the sample")
    return value.detach().cpu()


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
