"""torch.onnx's table of translations, made once a process: it makes it anew for each export, which takes as long as a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from typing import Any


@contextmanager
def kept_registry() -> Iterator[None]:
    """Exports within have copies of one table, which they add translations of their own to.

    The table is a part of torch that is not public: where a version has it otherwise, exports are as slow as they were.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        made = ONNXRegistry.__dict__["from_torchlib"]
    except (ImportError, KeyError):
        yield
        return

    def from_torchlib(_: type, *args: Any, **options: Any) -> Any:
        registry = copy(_registry(made.__func__, ONNXRegistry, args, tuple(options.items())))
        registry.functions = {target: list(found) for target, found in registry.functions.items()}
        return registry

    ONNXRegistry.from_torchlib = classmethod(from_torchlib)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = made  # type: ignore[method-assign]


@cache
def _registry(make: Callable[..., Any], cls: type, args: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> Any:
    return make(cls, *args, **dict(options))
