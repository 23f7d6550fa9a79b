"""Shapes of node values: one fake-tensor environment for a Program and all that is derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import sympy
import torch
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from fxopt.ir.interface import Dim, Input

Shape = tuple[Any, ...]  # ints and torch.SymInt


class ShapeEnvironment:
    """Computes node values' shapes and dtypes without data; knows the names of dynamic dimensions."""

    def __init__(self, mode: FakeTensorMode, names: dict[sympy.Symbol, str]) -> None:
        self.mode = mode
        self.names = names

    @classmethod
    def of_dims(cls, dims: Iterable[Dim]) -> tuple[ShapeEnvironment, dict[str, torch.SymInt]]:
        """A fresh environment with a symbolic size for each dimension."""
        from torch._dynamo.source import ConstantSource
        from torch.fx.experimental.symbolic_shapes import DimDynamic, StrictMinMaxConstraint
        from torch.utils._sympy.value_ranges import ValueRanges

        shape_env = ShapeEnv(specialize_zero_one=False, duck_shape=False)
        names: dict[sympy.Symbol, str] = {}
        sizes: dict[str, torch.SymInt] = {}
        for dim in dims:
            source = ConstantSource(dim.name)
            hint = max(dim.measured, 2)
            high = sympy.oo if dim.max is None else dim.max
            symbol = shape_env.create_symbol(
                hint,
                source,
                dynamic_dim=DimDynamic.DYNAMIC,
                constraint_dim=StrictMinMaxConstraint(vr=ValueRanges(dim.min, high), warn_only=False),
            )
            names[symbol] = dim.name
            size = shape_env.create_symintnode(symbol, hint=hint, source=source)
            assert isinstance(size, torch.SymInt)
            sizes[dim.name] = size
        return cls(FakeTensorMode(shape_env=shape_env, allow_non_fake_inputs=False), names), sizes

    def placeholder(self, item: Input, sizes: dict[str, torch.SymInt]) -> FakeTensor:
        """A fake tensor for a flat input."""
        shape = [sizes[d] if isinstance(d, str) else d for d in item.shape]
        with self.mode:
            return torch.empty(shape, dtype=getattr(torch, item.dtype))  # type: ignore[return-value]

    def constant(self, value: torch.Tensor | GraphModule) -> Any:
        """The meta value of a get_attr node."""
        if isinstance(value, torch.Tensor):
            return self.mode.from_tensor(value.detach(), static_shapes=True)
        return value

    def infer(self, node: Node) -> Any:
        """The meta value of a call, from its arguments' meta values.

        Raises:
            Exception: whatever the operator raises on arguments that do not fit.
        """
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
        # Without the Python dispatcher, composite operators fix dynamic sizes to the size of the example.
        with self.mode, enable_python_dispatcher():
            target = cast("Any", node.target)
            if isinstance(target, torch._ops.HigherOrderOperator):
                # Both branches agree in shape, so one of them tells; the operator itself would trace anew.
                branch, operands = cast("tuple[Any, Any]", (args[1], args[3]))
                return branch(*operands)
            return target(*args, **kwargs)

    def size_text(self, size: Any) -> str:
        """A dimension as text: a number, or an expression over dimension names."""
        if isinstance(size, torch.SymInt):
            expression = size.node.expr
            return str(expression.subs({symbol: sympy.Symbol(name) for symbol, name in self.names.items()})).replace(
                " ", ""
            )
        return str(size)

    def type_text(self, value: Any) -> str:
        """A meta value as text, like `float32[N, 3, 224, 224]`, `int`, or `(float32[2], float32[2])`."""
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(self.size_text(d) for d in value.shape)}]"
        if isinstance(value, (tuple, list)):
            return "(" + ", ".join(self.type_text(item) for item in value) + ")"
        if isinstance(value, (torch.SymInt, int)):
            return "int"
        return type(value).__name__


def same_type(left: Any, right: Any) -> bool:
    """Whether two meta values have equal shapes, strides and dtypes."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return (
            left.dtype == right.dtype
            and len(left.shape) == len(right.shape)
            and _same_sizes(left.shape, right.shape)
            and _same_sizes(left.stride(), right.stride())
        )
    if isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        return len(left) == len(right) and all(map(same_type, left, right))
    return type(left) is type(right)


def _same_sizes(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return all(_expression(a) == _expression(b) for a, b in zip(left, right, strict=True))


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size
