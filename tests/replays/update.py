"""Keep the plans that are found now, where a fragment of the changelog tells why they changed:

python -m tests.replays.update --because changelog.d/FRAGMENT.md

For each model whose plan changed the fragment must have a line `- Plans change: MODEL: why`. The command adds to it the
digest of the new files, so that no line explains two changes. To capture a model anew, delete its before.fx first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fxopt.ir.text import to_text
from tests.replays.models import MODELS
from tests.replays.replays import FOLDER, ROOT, Kept


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replays.update", description="Keep the plans found now.")
    parser.add_argument("--because", type=Path, required=True, metavar="FRAGMENT", help="tells why, in changelog.d/")
    fragment: Path = parser.parse_args(arguments).because.resolve()
    if fragment.parent != (root / "changelog.d").resolve() or not fragment.is_file():
        parser.error(f"{fragment.name} is no fragment in changelog.d/: write it first")
    found = {name: found_now(folder / name, name) for name in MODELS}
    changed = {name: kept for name, kept in found.items() if not same(folder / name, kept)}
    text = fragment.read_text()
    for name, kept in changed.items():
        line = re.compile(rf"^(.*Plans change: {name}: \S.*?)(?<!-->)$", re.MULTILINE)
        text, count = line.subn(rf"\1 <!-- {kept.digest} -->", text, count=1)
        if not count:
            parser.error(f"the plan of {name} changed: {fragment.name} needs a new line `- Plans change: {name}: why`")
    fragment.write_text(text)
    for name, kept in changed.items():
        kept.write(folder / name)
    print("changed:", ", ".join(changed) or "nothing")
    return 0


def found_now(folder: Path, name: str) -> Kept:
    before = folder / "before.fx"
    return Kept.search(before.read_text() if before.exists() else to_text(MODELS[name](), digests=False))


def same(folder: Path, kept: Kept) -> bool:
    return (
        all((folder / name).exists() for name in ("before.fx", "steps.json", "after.fx")) and Kept.read(folder) == kept
    )


if __name__ == "__main__":
    sys.exit(main())
