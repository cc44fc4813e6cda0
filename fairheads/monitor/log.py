"""Readings as a CSV file that grows line by line, and never holds a step twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fairheads.errors import ConfigError, InputError
from fairheads.monitor.reading import COLUMNS, Reading
from fairheads.results._csv import csv_text
from fairheads.results._saving import save_texts

HEAD = csv_text(COLUMNS, ())


class CsvLog:
    """The file at ``path``; nothing is written before the first reading.

    A reading is appended by one write, so a killed run leaves whole lines. A reading whose step the file has already
    reached (a run that was resumed from before, or started anew) replaces the lines from that step on.

    Raises
    ------
    ConfigError
        If there is a file with other columns: it is somebody else's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: int | None = None  # the step that the file ends with; None before it was looked at
        if path.exists() and path.stat().st_size and not _text(path).startswith(HEAD):
            raise ConfigError(f"`csv` must be a new file or one that a monitor wrote, got {str(path)!r}.")

    def add(self, reading: Reading) -> None:
        """Write the reading, after what came before it."""
        if self._last is None or reading.step <= self._last:
            self._keep_before(reading.step)
        lines = csv_text(COLUMNS, reading.rows()).removeprefix(HEAD)
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(lines.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise InputError(f"{str(self.path)!r} cannot be written: {error.strerror}.") from error
        self._last = reading.step

    def _keep_before(self, step: int) -> None:
        """Make the file hold the whole lines of earlier steps, and no others."""
        old = _text(self.path) if self.path.exists() else ""
        kept = [row for row in _whole(old) if int(row[0]) < step]
        text = _joined(kept)
        if text != old:
            save_texts(self.path.parent, {self.path.name: text})


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _whole(text: str) -> list[list[str]]:
    """The rows that are there to the end: a killed machine, or a full disk, can leave part of one."""
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))[1:]
    return [row for row in rows if len(row) == len(COLUMNS) and row[0].isdecimal()]


def _joined(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([COLUMNS, *rows])
    return buffer.getvalue()
