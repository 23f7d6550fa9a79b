"""`kmeans` and `hash`: many weights share few values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Fidelity
from fxopt_passes.quantize.stored import StoredWeights, Weight

if TYPE_CHECKING:
    from fxopt import Candidate, Edit, Program, View

aten = torch.ops.aten

_ROUNDS = 100
# Words of 24 bits and multipliers below 2^29: OpenVINO computes remainders in float64, which holds products below 2^53.
_WORD = 2**24
_ODD = (374761393, 331804471, 280852815)


@dataclass(frozen=True)
class KMeans(StoredWeights):
    """Let the weights of a tensor share a few values, found by k-means; each is stored as a code of 8 bits. For size only.

    No engine has kernels for it: both engines and TorchInductor look the codes up once, when they load or compile the
    model. Codes of few clusters hold few bits of information: 16 have 4 at most, which is what they take in the file with the
    engine's option `huffman` ("Deep Compression", Han, Mao and Dally, ICLR 2016, whose linear initialization this is).
    """

    name: ClassVar[str] = "kmeans"

    clusters: int = field(default=16, metadata={"help": "values that the weights of a tensor share: 2 to 256"})

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 256:
            raise ValueError(f"clusters are 2 to 256, not {self.clusters}")

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        return {"kind": self.name, "clusters": self.clusters}

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        return weight.value.numel() + parameters["clusters"] * 4

    def fitting(
        self, program: Program, view: View
    ) -> Callable[[Weight, dict[str, Any]], Mapping[str, torch.Tensor] | None]:
        known = view.notes

        def fit(weight: Weight, parameters: dict[str, Any]) -> Mapping[str, torch.Tensor]:
            name = weight.node.name
            if name not in known:
                known[name] = codebook(weight.value, self.clusters)
            return {"codebook": known[name]}

        return fit

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        values = candidate.fitted["codebook"]
        codes = nearest_codes(weight.value, values).to(torch.uint8)
        stored = edit.call(aten._to_copy.default, (edit.constant(codes, "codes"),), {"dtype": torch.int64})  # noqa: SLF001
        return _looked_up(edit, edit.constant(values.to(weight.value.dtype), "codebook"), stored, weight)


def codebook(weight: torch.Tensor, clusters: int) -> torch.Tensor:
    """The centres of k-means over a tensor's elements (Lloyd's algorithm), from centres evenly spread over their range.

    Args:
        weight: floats of any shape.
        clusters: how many centres.

    Returns:
        float32 of shape (clusters,), ascending.
    """
    # Sorted, a cluster is a slice, whose mean is a difference of two sums.
    ordered = weight.flatten().float().sort().values.double()
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), ordered.cumsum(0)])
    centres = torch.linspace(float(ordered[0]), float(ordered[-1]), clusters, dtype=torch.float64)
    bounds = None
    for _ in range(_ROUNDS):
        found = torch.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        if bounds is not None and torch.equal(found, bounds):
            break
        bounds = found
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), bounds, torch.tensor([len(ordered)])])
        counts = ends.diff()
        means = (sums[ends[1:]] - sums[ends[:-1]]) / counts.clamp_min(1)
        centres = torch.where(counts > 0, means, centres)
    return centres.float()


def nearest_codes(weight: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The index of the nearest of ascending values for each element: int64, shape (elements,)."""
    return torch.bucketize(weight.flatten().float(), (values[1:] + values[:-1]) / 2)


@dataclass(frozen=True)
class Hash(StoredWeights):
    """Let weights share the values of a small table, found by a hash of their position. For size only; needs recovery.

    HashedNets (Chen et al., "Compressing Neural Networks with the Hashing Trick", ICML 2015): no codes are stored, a second
    hash gives a sign, and the table is the signed mean of the weights that share a value, which is the least squares fit.
    Values that chance has put together have little in common: of the weights' squared norm a share of 1 - 1/`ratio` is
    lost, so a model has to be trained with it. No engine has kernels for it: they compute hashes and weights once, when
    they load the model; tensors of fewer than 262,144 weights are computed already when ONNX is written, and take no less
    room in the file.
    """

    name: ClassVar[str] = "hash"
    fidelity: ClassVar[Fidelity] = Fidelity.NEEDS_RECOVERY

    ratio: int = field(default=8, metadata={"help": "weights that share a value, on average"})

    def __post_init__(self) -> None:
        if self.ratio < 2:
            raise ValueError(f"ratio is 2 or more, not {self.ratio}")

    def form(self, weight: Weight, view: View) -> dict[str, Any] | str:
        if weight.value.numel() > _WORD:
            return "it has too many weights for hashes of 24 bits"
        return {"kind": self.name, "ratio": self.ratio}

    def room(self, weight: Weight, parameters: Mapping[str, Any]) -> float:
        return -(-weight.value.numel() // parameters["ratio"]) * 4

    def unpack(self, edit: Edit, weight: Weight, candidate: Candidate) -> Node:
        count = weight.value.numel()
        size = -(-count // candidate.parameters["ratio"])
        value = weight.value.flatten().double()
        slots, signs = hashes(count, size)
        shared = torch.zeros(2, size, dtype=torch.float64)
        shared[0].index_add_(0, slots, value * signs)
        shared[1].index_add_(0, slots, torch.ones_like(value))
        table = edit.constant((shared[0] / shared[1].clamp_min(1)).to(weight.value.dtype), "table")
        made, flips = hashes(count, size, lambda target, *args, **kwargs: edit.call(target, args, kwargs))
        looked = _looked_up(edit, table, made, weight)
        return edit.call(aten.mul.Tensor, (looked, edit.call(aten.reshape.default, (flips, list(weight.value.shape)))))


def hashes(
    count: int, size: int, call: Callable[..., Any] = lambda target, *args, **kwargs: target(*args, **kwargs)
) -> Any:
    """Slot and sign of each position, by arithmetic on 64-bit integers that every engine folds for constants.

    Args:
        count: of positions, at most 2^24.
        size: of the table.
        call: makes a call of an operator: at once, or in a graph.

    Returns:
        int64 slots and int64 signs (1 or -1), each of shape (count,).
    """
    word = call(aten.arange.default, count, dtype=torch.int64)
    for odd in _ODD:
        word = call(aten.remainder.Scalar, call(aten.mul.Tensor, word, odd), _WORD)
        word = call(
            aten.remainder.Scalar, call(aten.add.Tensor, word, call(aten.floor_divide.default, word, 2**11)), _WORD
        )
    slots = call(aten.floor_divide.default, call(aten.mul.Tensor, word, size), _WORD)
    signs = call(aten.sub.Tensor, call(aten.mul.Tensor, call(aten.remainder.Scalar, word, 2), 2), 1)
    return slots, signs


def _looked_up(edit: Edit, table: Node, slots: Node, weight: Weight) -> Node:
    values = edit.call(aten.index_select.default, (table, 0, slots))
    return edit.call(aten.reshape.default, (values, list(weight.value.shape)))
