"""How an engine says in what way it wants integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from fxopt.contracts import plain

QuantKind = Literal["int8", "int8_dynamic", "int8_weight", "int4_weight", "bf16", "fp16"]


@dataclass(frozen=True)
class QuantScheme:
    """How an engine wants its integers: data, read by the quantization passes.

    Operators are named like `"aten.conv2d"`, without overloads.

    Attributes:
        activation: dtype of activations, unsigned or signed 8 bits.
        activation_symmetric: whether their zero-point must be 0.
        weight_granularity: one scale a tensor, or one an output channel. Weights are s8 with zero-point 0.
        bias: `"int32"` with the scale of input times weight, dequantized; or `"float"`, as it is.
        residual: which inputs of a residual add carry Q/DQ: `"both"`, or the `"identity"` alone, whose sum with the
            branch is fused into the branch's last layer.
        integer_ops: operators with integer kernels; both ends of an edge between two of them stay in integers.
        moving_ops: operators that move integers or choose among them. Their outputs have the scale of their inputs.
        symmetric_ops: those of `integer_ops` that run on integers only where their activations' zero-points are 0: two
            activations of a matmul as s8 and s8, or u8 from 0 up (after a softmax) and s8.
        float_output_ops: those of `integer_ops` that need no Q after them: they yield floats as well.
        depthwise: whether there is an integer kernel for convolutions of one channel a group.
        padding: whether zeros that are padded before a convolution, on whichever sides, become part of it.
        range_is_relu: whether a ReLU or clip costs nothing where the Q after it says the same: the zero-point stands at
            the end of the range of integers, and the range ends where the clip does.
        weight_bits: bits of static weights to choose from, widest first; a test on the machine decides
            (`fxopt.verify.saturation`).
        group_sizes: how many weights along a row of a linear layer may share a scale in weight-only kinds.
        native: kinds that run faster than float somewhere, not only take less room, and for each what it needs of the
            CPU, one feature of the tuple (as `/proc/cpuinfo` names them); an empty tuple: nothing.
    """

    activation: Literal["u8", "s8"]
    activation_symmetric: bool
    weight_granularity: Literal["tensor", "channel"]
    bias: Literal["int32", "float"]
    residual: Literal["both", "identity"]
    integer_ops: frozenset[str] = frozenset()
    moving_ops: frozenset[str] = frozenset()
    symmetric_ops: frozenset[str] = frozenset()
    float_output_ops: frozenset[str] = frozenset()
    depthwise: bool = True
    padding: bool = False
    range_is_relu: bool = True
    weight_bits: tuple[int, ...] = (8, 7)
    group_sizes: tuple[int, ...] = ()
    native: Mapping[QuantKind, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("symmetric_ops", "float_output_ops"):
            if unknown := getattr(self, name) - self.integer_ops:
                raise ValueError(f"{name}: {', '.join(sorted(unknown))} is not among integer_ops")

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            name: sorted(value)
            if isinstance(value, frozenset)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            Damaged: the data are not of that form.
        """
        return cls(**plain.record(plain.hints(cls), data))

    def without(self, op: str) -> Self:
        """The same engine, had it no integer kernel for an operator."""
        sets = ("integer_ops", "symmetric_ops", "float_output_ops")
        return replace(self, **{name: getattr(self, name) - {op} for name in sets})

    def runs(self, kind: QuantKind, features: Iterable[str]) -> bool:
        """Whether a kind is native to the engine on a CPU with these features."""
        needs = self.native.get(kind)
        return needs is not None and (not needs or not set(needs).isdisjoint(features))
