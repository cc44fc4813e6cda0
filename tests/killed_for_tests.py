"""A command that is killed at a change of its files, in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def command(words: list[str], folder: str, kill_at: int | None, log: str | None = None) -> None:
    """Run the command line in ``folder`` and die before its ``kill_at``-th change of a file there.

    With a ``log`` it counts the changes instead, and writes what they were.
    """
    from fairheads_cli.main import fairheads

    if words[0] == "demo":
        _on_rows()
    _die(lambda: fairheads(words, standalone_mode=False), folder, kill_at, log)


def overwrite(folder: str, kill_at: int | None, log: str | None = None) -> None:
    """The same of saving the model ``net1`` in the place of ``net0``."""
    from fairheads.models import load_bundle, save_bundle

    new = load_bundle(Path(folder) / "net1")
    _die(lambda: save_bundle(new, Path(folder) / "net0", overwrite=True), folder, kill_at, log)


def _die(work: Callable[[], object], folder: str, kill_at: int | None, log: str | None) -> None:
    os.chdir(folder)
    seen: list[str] = []

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            changes = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        else:
            changes = event in CHANGES
        if not changes or not isinstance(args[0], str | os.PathLike):
            return
        path = os.path.abspath(args[0])  # noqa: PTH100
        if path.startswith(folder) and path != log:
            seen.append(f"{event} {os.path.relpath(path, folder)}")
            if len(seen) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    os.environ["XDG_CACHE_HOME"] = folder + "/cache"
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    sys.addaudithook(watch)
    work()
    if log is not None:
        with open(log, "w") as file:  # noqa: PTH123
            file.write("\n".join(seen))


def _on_rows() -> None:
    """The demo on ``rows.csv`` instead of Adult, merged at a gap that so few rows can keep."""
    import fairheads.data
    import fairheads_cli.demo

    fairheads.data.adult = lambda sensitive: fairheads.data.read_table("rows.csv", label="hired", group=[sensitive])
    fairheads_cli.demo.MAX_GAP, fairheads_cli.demo.TWINS = 0.4, 2
