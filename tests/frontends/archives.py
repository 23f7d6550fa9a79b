"""Archives to plant things in."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Members = dict[str, bytes]


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (open, (str(self.trace), "w"))


def write(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def planted(tmp_path: Path, sound: Members, change: Callable[[Members], None]) -> Path:
    members = dict(sound)
    change(members)
    return write(tmp_path / "net.pt2", members)


def edit_json(members: Members, member: str, change: Callable[[Any], None]) -> None:
    name = find(members, member)
    data = json.loads(members[name])
    change(data)
    members[name] = json.dumps(data).encode()


def find(members: Members, end: str) -> str:
    return next(name for name in members if name.endswith(end))


def evaluated(trace: Path) -> str:
    return f"open({str(trace)!r}, 'w')"
