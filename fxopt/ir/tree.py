"""How a model's nested arguments and results map to flat tensors: plain data, so that an artifact needs no pickle.

A tree is one of
    {"leaf": i}                      the i-th flat value
    {"constant": value}              None, bool, int, float or str that is part of the call itself
    {"tuple": [tree, ...]}, {"list": [tree, ...]}, {"dict": {key: tree, ...}}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fxopt.errors import InputError

Tree = dict[str, Any]


def describe(value: Any, is_leaf: Callable[[Any], bool], leaves: list[Any]) -> Tree:
    """The tree of `value`; leaves are appended to `leaves` in order.

    Mappings of any class are described as dicts, and named tuples as tuples: an artifact does not import user classes.

    Raises:
        InputError: a part is neither a container, a leaf, nor a constant.
    """
    if is_leaf(value):
        leaves.append(value)
        return {"leaf": len(leaves) - 1}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"constant": value}
    if isinstance(value, dict) or hasattr(value, "keys"):
        return {"dict": {str(key): describe(value[key], is_leaf, leaves) for key in value}}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [describe(item, is_leaf, leaves) for item in value]}
    raise InputError(f"a value of type {type(value).__name__} is neither a tensor, a container, nor a constant")


def build(tree: Tree, leaves: Sequence[Any]) -> Any:
    """The value whose tree and leaves these are."""
    (kind, content), *_ = tree.items()
    match kind:
        case "leaf":
            return leaves[content]
        case "constant":
            return content
        case "tuple":
            return tuple(build(item, leaves) for item in content)
        case "list":
            return [build(item, leaves) for item in content]
        case "dict":
            return {key: build(item, leaves) for key, item in content.items()}
    raise ValueError(f"{kind!r} is no kind of tree")


def match(tree: Tree, value: Any, where: str, found: dict[int, Any]) -> None:
    """Collect the leaves of `value`, which must have the form `tree`, into `found` by index.

    Raises:
        InputError: the value has another form; the message names where.
    """
    (kind, content), *_ = tree.items()
    if kind == "leaf":
        found[content] = value
    elif kind == "constant":
        if type(value) is not type(content) or value != content:
            raise InputError(f"{where}: the model was captured with {content!r} here and takes nothing else")
    elif kind == "dict":
        if not hasattr(value, "keys") or sorted(map(str, value.keys())) != sorted(content):
            raise InputError(f"{where}: expected a dict with keys {', '.join(content) or '(none)'}")
        for key, item in content.items():
            match(item, value[key], f"{where}[{key!r}]", found)
    else:
        if not isinstance(value, (list, tuple)) or len(value) != len(content):
            raise InputError(f"{where}: expected a {kind} of {len(content)}")
        for index, item in enumerate(content):
            match(item, value[index], f"{where}[{index}]", found)
