"""Code run in a process of its own, whose peak of memory is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SMALL = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"


def printed(code: str, *arguments: object) -> str:
    """What ``code`` prints, run in this folder.

    A child starts with the peak of its parent where it is forked, and the parent here has run other benchmarks; so a
    small process stands between.
    """
    words = [sys.executable, "-c", SMALL, code, *map(str, arguments)]
    # As at a user's, what was compiled once is kept, whatever is set for the tests.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout
