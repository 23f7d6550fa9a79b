"""Every value of a `.pt2`'s tables may be replaced: it is refused in one line, or loads, and nothing is evaluated."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frontends.archives import Members, evaluated, find, write
from tests.frontends.loading import loads_or_says_why


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in items] + [found for key, item in items for found in places(item, (*path, key))]


def value_at(holder: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        holder = holder[key]
    return holder


def with_each_replaced(folder: Path, sound: Members, member: str, replacement: Any, step: int) -> Iterator[Any]:
    """Load the file with each value of a JSON member in turn replaced; nothing but an InputError may be raised."""
    data = json.loads(sound[find(sound, member)])
    for path in places(data)[::step]:
        if isinstance(value_at(data, path), str) != isinstance(replacement, str):
            continue
        changed = copy.deepcopy(data)
        value_at(changed, path[:-1])[path[-1]] = replacement
        file = write(folder / "net.pt2", {**sound, find(sound, member): json.dumps(changed).encode()})
        yield path, loads_or_says_why(file)


@pytest.mark.parametrize("member", ["model.json", "model_weights_config.json", "model_constants_config.json"])
def test_no_text_is_evaluated(tmp_path: Path, sound: Members, trace: Path, member: str) -> None:
    for path, loaded in with_each_replaced(tmp_path, sound, member, evaluated(trace), step=1):
        if loaded is not None:
            loaded.exported.module()
        assert not trace.exists(), path


@pytest.mark.parametrize("replacement", [None, -1, 1 << 70, [], {"as_int": 3}])
@pytest.mark.parametrize(("member", "step"), [("model.json", 5), ("model_weights_config.json", 1)])
def test_a_value_of_another_kind_is_refused_in_one_line_or_does_no_harm(
    tmp_path: Path, sound: Members, member: str, step: int, replacement: Any
) -> None:
    outcomes = [loaded for _, loaded in with_each_replaced(tmp_path, sound, member, replacement, step)]
    assert None in outcomes
