"""JSON values in place of any one value of a valid file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
Place = tuple[str | int, ...]


def places(data: Any, at: Place = ()) -> Iterator[Place]:
    """Paths to all values within, the whole included."""
    yield at
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield from places(item, (*at, key))


def value_at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def replaced(data: Any, place: Place, value: Any) -> Any:
    """A copy with another value there."""
    if not place:
        return value
    data = copy.deepcopy(data)
    value_at(data, place[:-1])[place[-1]] = value
    return data


def like(old: Any, new: Any) -> bool:
    """Whether a reader that takes `old` may take `new`: one of its type, none, or a number where one is wanted."""
    return old is None or new is None or type(old) is type(new) or (type(old) is float and type(new) is int)
