"""A listener: what happens in runs goes into a CSV file, a row an event."""

import csv
import datetime
import os
from pathlib import Path
from typing import Any

from fxopt import hookimpl

VARIABLE = "FXOPT_EXAMPLE_EVENTS"  # names the file; nothing is written without it
COLUMNS = ("time", "kind", "id", "rule", "out", "verdict")


@hookimpl
def fxopt_event(kind: str, data: dict[str, Any]) -> None:
    """Append the event to the file. What it tells beside the known columns is left out."""
    file = os.environ.get(VARIABLE)
    if not file:
        return
    new = not Path(file).exists()
    with Path(file).open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
        if new:
            writer.writeheader()
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        writer.writerow({**data, "time": now, "kind": kind})
