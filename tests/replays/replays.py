"""Plans that are kept: a graph, the steps that were found on it, and the graph that they lead to.

A folder a model holds `before.fx`, `steps.json` and `after.fx`, all free of weights: these are drawn from the names of
tensors. A line in a fragment of the changelog, or in CHANGELOG.md once it was released, tells why the files are what
they are:

    - Plans change: mobilenet_v2: padding is folded into depthwise convolutions too. <!-- 0123456789ab -->

It carries the digest of the three files, so that a plan cannot change without a new line.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from fxopt.compiler.context import Context
from fxopt.compiler.search import Search, follow, search
from fxopt.contracts.candidate import Step
from fxopt.ir.program import Program
from fxopt.ir.text import to_text
from fxopt.registry import Registry

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
UPDATE = "python -m tests.replays.update --because FRAGMENT"
EXACT = Context(lossy=False)
_SHOWN = 60  # lines of a difference


@dataclass(frozen=True)
class Kept:
    """The three files of a model, as text."""

    before: str
    steps: str
    after: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What is committed."""
        return cls(*((folder / name).read_text() for name in ("before.fx", "steps.json", "after.fx")))

    @classmethod
    def search(cls, before: str) -> Self:
        """What the search makes of a graph now."""
        registry = built_ins()
        found = search(program(before), registry.make_passes(None), registry, EXACT)
        assert not found.faults, found.faults
        return cls(before, written(found.steps), to_text(found.program, digests=False))

    def follow(self) -> Search:
        """The steps, done anew."""
        steps = [Step.from_json(json.loads(line)) for line in self.steps.splitlines()]
        return follow(program(self.before), steps, built_ins(), EXACT)

    def write(self, folder: Path) -> None:
        """Keep it."""
        folder.mkdir(exist_ok=True)
        for name, text in (("before.fx", self.before), ("steps.json", self.steps), ("after.fx", self.after)):
            (folder / name).write_text(text)

    @property
    def digest(self) -> str:
        """Of all three."""
        return hashlib.sha256("\0".join((self.before, self.steps, self.after)).encode()).hexdigest()[:12]


@functools.cache
def built_ins() -> Registry:
    """Passes of fxopt alone: what else is installed finds its own rewrites."""
    others = [plugin.name for plugin in Registry.load().plugins if plugin.distribution != "fxopt"]
    return Registry.load(others)


def program(text: str) -> Program:
    """A graph with weights of a sensible size, drawn by name and shape."""
    tensors = {}
    for name, dtype, shape in re.findall(r"^tensor (\w+) : (\w+)\[(.*?)\]", text, flags=re.MULTILINE):
        sizes = [int(size) for size in shape.split(",") if size.strip()]
        tensors[name] = _drawn(name, getattr(torch, dtype), sizes)
    return Program.parse(text, tensors)


def _drawn(name: str, dtype: torch.dtype, sizes: Sequence[int]) -> torch.Tensor:
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if not dtype.is_floating_point:
        return torch.randint(0, 2, sizes, generator=random).to(dtype)
    if name.endswith(("var", "std")) or (len(sizes) == 1 and name.endswith("weight")):
        return (torch.rand(sizes, generator=random) + 0.5).to(dtype)
    inputs = torch.Size(sizes[1:]).numel()  # activations neither grow nor fade (He et al., 2015)
    scale = (2 / inputs) ** 0.5 if len(sizes) > 1 else 0.1
    return (torch.randn(sizes, generator=random) * scale).to(dtype)


def written(steps: Sequence[Step]) -> str:
    """Steps as plans hold them, a line each, but for the digests of tensors, which depend on how a machine rounds."""
    return "".join(json.dumps(step.to_json() | {"tensors": {}}) + "\n" for step in steps)


def difference(committed: str, found: str) -> str:
    """A unified diff of two texts; empty where they are equal."""
    lines = list(difflib.unified_diff(committed.splitlines(), found.splitlines(), "committed", "found", "", "", 1, ""))
    more = [f"({len(lines) - _SHOWN} lines more)"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def explanations(root: Path = ROOT) -> str:
    """All that the changelog says, released or not."""
    return "\n".join(path.read_text() for path in (*sorted((root / "changelog.d").glob("*.md")), root / "CHANGELOG.md"))


def explained(model: str, digest: str, changelog: str) -> bool:
    """Whether a line of the changelog tells why the files of a model are what they are."""
    return re.search(rf"Plans change: {model}: \S.*<!-- {digest} -->", changelog) is not None
