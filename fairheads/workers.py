"""Worker processes: how many there may be, and one that runs a module of the package with one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

SILENT = "the worker process ended without a message"


def cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class Worker:
    """A worker process that answers in lines."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def __iter__(self) -> Iterator[str]:
        """The lines that it writes until it ends."""
        return iter(self.process.stdout or ())

    def ask(self, line: str) -> str:
        """The line that it answers to one; empty where it has ended.

        Raises
        ------
        BrokenPipeError
            If it has ended before.
        """
        if self.process.stdin is None or self.process.stdout is None:
            return ""
        self.process.stdin.write(f"{line}\n")
        return self.process.stdout.readline()

    def failure(self) -> str | None:
        """The last line of its errors if it failed; waits until it ends, as it does when it is asked nothing more."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        if self.process.wait() == 0:
            return None
        self.errors.seek(0)
        return (self.errors.read().strip().splitlines() or [SILENT])[-1]


@contextmanager
def worker(module: str, *arguments: str) -> Iterator[Worker]:
    """A process that runs ``python -m module`` with this one's import path: no caller's script is run again.

    Its errors are kept in a file, so that it never waits for somebody to read them.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command, pipe = [sys.executable, "-m", module, *arguments], subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, env=environment, text=True, bufsize=1
        ) as process,
    ):
        yield Worker(process, errors)
