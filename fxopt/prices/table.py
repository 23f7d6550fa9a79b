"""The kernel table: what pieces of Programs were measured to take, in an SQLite file that many processes share."""

from __future__ import annotations

import fcntl
import itertools
import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from fxopt.prices.place import Place

T = TypeVar("T")

Source = Literal["profile", "micro"]

VERSION = 7  # of the tables below, and of what is measured for them; another one lies in a file of another name
_WAIT_S = 10.0  # for another process to end its writing
_MOST = 50  # observations that a mean remembers: what is measured later counts, also where much was measured before
_TABLES = """
CREATE TABLE IF NOT EXISTS places (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS kernels (
    id INTEGER PRIMARY KEY, kernel TEXT NOT NULL UNIQUE, features TEXT NOT NULL CHECK (json_valid(features))
) STRICT;
CREATE TABLE IF NOT EXISTS prices (
    place INTEGER NOT NULL REFERENCES places, kernel INTEGER NOT NULL REFERENCES kernels, source TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0), mean REAL NOT NULL, squares REAL NOT NULL CHECK (squares >= 0),
    PRIMARY KEY (place, kernel, source)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fusions (
    place INTEGER NOT NULL REFERENCES places, edge TEXT NOT NULL,
    joined INTEGER NOT NULL CHECK (joined >= 0), apart INTEGER NOT NULL CHECK (apart >= 0),
    PRIMARY KEY (place, edge)
) STRICT, WITHOUT ROWID;
"""
# Of logarithms: their mean, and the sum of squared differences to it, as Welford's method keeps both.
_RECORD = f"""
INSERT INTO prices SELECT p.id, k.id, :source, 1, :log, 0.0 FROM places p, kernels k
    WHERE p.place = :place AND k.kernel = :kernel
ON CONFLICT DO UPDATE SET
    count = min(count + 1, {_MOST}),
    mean = mean + (excluded.mean - mean) / (count + 1),
    squares = squares * iif(count < {_MOST}, 1.0, {_MOST - 1} / {_MOST}.0)
        + (excluded.mean - mean) * (excluded.mean - mean) * count / (count + 1)
"""
_JOIN = """
INSERT INTO fusions SELECT id, ?, ?, ? FROM places WHERE place = ?
ON CONFLICT DO UPDATE SET joined = joined + excluded.joined, apart = apart + excluded.apart
"""
_READ = """
SELECT k.kernel, k.features, r.source, r.count, r.mean, r.squares
    FROM prices r JOIN places p ON p.id = r.place JOIN kernels k ON k.id = r.kernel WHERE p.place = ?
"""


@dataclass(frozen=True)
class Observation:
    """A kernel, once measured.

    Attributes:
        kernel: what identifies it (`fxopt.prices.pieces`).
        milliseconds: of a call, more than 0.
        source: the profile of a whole build, or a measurement of the kernel alone.
        features: what it computes and moves, from which prices of others are estimated.
    """

    kernel: str
    milliseconds: float
    source: Source = "profile"
    features: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Price:
    """What a kernel takes.

    Attributes:
        milliseconds: of a call; the geometric mean of what was measured.
        spread: standard deviation of the logarithm of what was measured; infinite after one observation.
        count: how often it was measured, up to a few dozen.
        source: as in `Observation`.
        features: likewise.
    """

    milliseconds: float
    spread: float
    count: int
    source: Source
    features: Mapping[str, Any]


def folder() -> Path:
    """Where prices are kept: what `FXOPT_PRICES` says, or a folder in the user's cache."""
    given = os.environ.get("FXOPT_PRICES")
    return Path(given) if given else platformdirs.user_cache_path("fxopt") / "prices"


class KernelTable:
    """What was measured, by place and kernel.

    A table is never a reason for a run to fail: a damaged one is set aside and begun anew; one that cannot be read or
    written, as it is locked for long or its folder is not writable, stands for an empty one whose entries are not kept.
    Each time `note` is told in one line.
    """

    def __init__(self, file: Path | None = None, note: Callable[[str], None] = lambda text: None) -> None:
        """A table that is opened, or begun, when it is first asked or told something.

        Args:
            file: of the table; by default in `folder()`.
            note: is called with a line for the user.
        """
        self.file = file or folder() / f"kernels-{VERSION}.sqlite"
        self._note = note

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        return self._open()

    def close(self) -> None:
        """Let go of the file."""
        if "_connection" in vars(self):
            self._connection.close()

    def record(self, place: Place, observations: Iterable[Observation]) -> None:
        """Add what was measured, all or nothing. What is not a positive finite time says nothing, and is left out."""
        rows = [
            {
                "place": str(place),
                "kernel": seen.kernel,
                "source": seen.source,
                "log": math.log(seen.milliseconds),
                "features": json.dumps(dict(seen.features or {}), sort_keys=True),
            }
            for seen in observations
            if math.isfinite(seen.milliseconds) and seen.milliseconds > 0
        ]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT OR IGNORE INTO places (place) VALUES (?)", (str(place),))
                connection.executemany(
                    "INSERT INTO kernels (kernel, features) VALUES (:kernel, :features)"
                    " ON CONFLICT DO UPDATE SET features = iif(excluded.features = '{}', features, excluded.features)",
                    rows,
                )
                connection.executemany(_RECORD, rows)

        if rows:
            self._do(write, None)

    def prices(self, place: Place) -> dict[str, Price]:
        """All that is known of a place, by kernel; of what was measured both ways, what it took in a whole build."""

        def read(connection: sqlite3.Connection) -> dict[str, Price]:
            found: dict[str, Price] = {}
            for kernel, features, source, count, mean, squares in connection.execute(_READ, (str(place),)):
                if source == "profile" or kernel not in found:
                    spread = math.sqrt(squares / (count - 1)) if count > 1 else math.inf
                    found[kernel] = Price(math.exp(mean), spread, count, source, json.loads(features))
            return found

        return self._do(read, {})

    def record_fusions(self, place: Place, seen: Mapping[str, tuple[int, int]]) -> None:
        """Add how often calls were run together, and how often not, as `FusionRules.seen` has it."""
        rows = [(edge, joined, apart, str(place)) for edge, (joined, apart) in seen.items()]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT OR IGNORE INTO places (place) VALUES (?)", (str(place),))
                connection.executemany(_JOIN, rows)

        if rows:
            self._do(write, None)

    def fusions(self, place: Place) -> dict[str, tuple[int, int]]:
        """All that is known of a place, as `FusionRules.seen`."""

        def read(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
            rows = connection.execute(
                "SELECT edge, joined, apart FROM fusions f JOIN places p ON p.id = f.place WHERE p.place = ?",
                (str(place),),
            )
            return {edge: (joined, apart) for edge, joined, apart in rows}

        return self._do(read, {})

    def _do(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What an action on the table gives; where the table turns out to be damaged, what it gives on an empty one."""
        try:
            return action(self._connection)
        except sqlite3.OperationalError as error:
            self._connection.close()
            self._connection = self._aside(str(error))
            return otherwise
        except sqlite3.DatabaseError as error:
            self._connection.close()
            _set_aside(self.file, str(error), self._note)
            self._connection = self._open()
            return action(self._connection)

    def _open(self) -> sqlite3.Connection:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _connect(self.file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                _set_aside(self.file, str(error), self._note)
                return _connect(self.file)
        except (OSError, sqlite3.OperationalError) as error:
            return self._aside(str(error))

    def _aside(self, reason: str) -> sqlite3.Connection:
        """A table in memory, in place of the file."""
        self._note(f"the kernel table {self.file} is not used ({reason}): prices are of this run alone, and not kept")
        return _prepared(sqlite3.connect(":memory:", isolation_level=None))


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        with closing(connection.execute("PRAGMA quick_check(1)")) as rows:
            if (answer := rows.fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(answer)
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.executescript(_TABLES)
    return connection


def _set_aside(file: Path, reason: str, note: Callable[[str], None]) -> None:
    """Rename a damaged table, and what SQLite keeps beside it, so that another can be begun."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:  # another process may have done so meanwhile
            _connect(file).close()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            free = next(
                path
                for number in itertools.count(1)
                if not (path := file.with_name(f"{file.name}.damaged{number}")).exists()
            )
            for suffix in ("", "-wal", "-shm"):
                part = file.with_name(file.name + suffix)
                if part.exists():
                    part.rename(free.with_name(free.name + suffix))
            note(f"the kernel table was damaged ({reason}): it is set aside as {free}, and begun anew")
