"""Shapes of node values: one fake-tensor environment for a Program and all that is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import sympy
import torch
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from fxopt.ir.interface import Dim, Input
from fxopt.ir.quantized import run_call

Shape = tuple[Any, ...]  # ints and torch.SymInt
_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)


class ShapeEnvironment:
    """Computes node values' shapes and dtypes without data; knows the names of dynamic dimensions."""

    def __init__(self, mode: FakeTensorMode, names: dict[sympy.Symbol, str]) -> None:
        self.mode = mode
        self.names = names
        self._values: dict[Hashable, Any] = {}  # of calls by operator and types of arguments; the same in every Program

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
            return self._once(_type(value), lambda: self.mode.from_tensor(value.detach(), static_shapes=True))
        return value

    def infer(self, node: Node) -> Any:
        """The meta value of a call, from its arguments' meta values.

        Raises:
            Exception: whatever the operator raises on arguments that do not fit.
        """
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
        key = _type((args, kwargs))
        return self._once(None if key is None else (node.target, key), lambda: self._call(node.target, args, kwargs))

    def _once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The value by that key, which may be None for what has none; sizes that depend on data are new each time."""
        if key is None or key not in self._values:
            value = compute()
            if key is None or any(symbol not in self.names for symbol in _symbols(value)):
                return value
            self._values[key] = value
        return self._values[key]

    def _call(self, target: Any, args: Any, kwargs: Any) -> Any:
        # Without the Python dispatcher, composite operators fix dynamic sizes to the size of the example.
        with self.mode, enable_python_dispatcher():
            if isinstance(target, torch._ops.HigherOrderOperator):
                # Both branches agree in shape, so one of them tells; the operator itself would trace anew.
                branch, operands = args[1], args[3]
                return branch(*operands)
            return run_call(target, args, kwargs)

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


def same_kind(left: Any, right: Any) -> bool:
    """Whether two meta values have equal shapes and dtypes."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return left.dtype == right.dtype and left.dim() == right.dim() and _same_sizes(left.shape, right.shape)
    return type(left) is type(right)


def _type(value: Any) -> Hashable | None:
    """All of a meta value, or of arguments, that a call's result depends on in shape and dtype; None for graphs and the like."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            return None
        sizes = map(_expression, (*value.shape, *value.stride(), value.storage_offset()))
        return (value.dtype, value.dim(), *sizes, value.is_conj(), value.is_neg())
    if isinstance(value, (tuple, list)):
        items = tuple(map(_type, value))
        return None if None in items else items
    if isinstance(value, dict):
        return _type([part for item in value.items() for part in item])
    if isinstance(value, (GraphModule, slice)):
        return None
    return (type(value), _expression(value))  # 1, 1.0 and True are different arguments


def _symbols(value: Any) -> set[sympy.Symbol]:
    """The symbols in all sizes of a meta value."""
    if isinstance(value, torch.Tensor):
        sizes = (*value.shape, *value.stride(), value.storage_offset())
        return set().union(*(size.node.expr.free_symbols for size in sizes if isinstance(size, torch.SymInt)))
    if isinstance(value, (tuple, list)):
        return set().union(*map(_symbols, value))
    return set(value.node.expr.free_symbols) if isinstance(value, _SYMBOLIC) else set()


def _same_sizes(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return all(_expression(a) == _expression(b) for a, b in zip(left, right, strict=True))


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, _SYMBOLIC) else size
