"""Open changed models, folders of models and tables for a while, and keep what breaks the readers.

Run by `make fuzz`, ten minutes of CPU (SECONDS=N for others); needs the extra `integrations`. Files are changed by
tests/mutations_for_tests.py, opened in a process of their own by tests/fuzzed_for_tests.py, and what is wrong is told
and kept in --work: mend the reader, and put the file into tests/hostile_for_tests.py. With --atheris the same changes
are led by the code that they reach; atheris is no dependency of the project (`pip install atheris`, Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent


def fuzzed(folder: Path, seconds: float, seed: int, *, files: int = 10**9, atheris: bool = False) -> dict[str, Any]:
    """Findings of one process, with what it did; a process that died is a finding with the file that it died of."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "here").mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", str(TESTS / "fuzzed_for_tests.py"), str(folder / "files")]
    command += ["--seconds", str(seconds), "--seed", str(seed), "--files", str(files)]
    command += ["--atheris"] if atheris else []
    paths = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        cwd=folder / "here",
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    findings = [line for line in lines if "finding" in line]
    report = next((line for line in reversed(lines) if "files" in line), {"files": 0, "ran": 0, "seconds": seconds})
    if done.returncode or not any("files" in line for line in lines):
        kept = [shutil.copy(path, folder / f"died{path.suffix}") for path in (folder / "files").glob("case.*")]
        said = done.stderr.strip().splitlines()[-1:]
        findings.append({"finding": f"ended with {done.returncode}: {said}", "file": str(kept[0]) if kept else ""})
    if left := list((folder / "here").iterdir()):
        findings.append({"finding": f"left {left} in the current folder", "file": ""})
    return {**report, "findings": findings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of CPU; of the clock with --atheris")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "work" / "fuzz")
    parser.add_argument("--atheris", action="store_true", help="led by coverage")
    given = parser.parse_args()
    left, seed, found = given.seconds, given.seed, 0
    while left > 5:
        start = time.monotonic()
        done = fuzzed(given.work / str(seed), left, seed, atheris=given.atheris)
        spent = time.monotonic() - start if given.atheris else done["seconds"]
        left, seed, found = left - max(spent, 1.0), seed + 1, found + len(done["findings"])
        print(json.dumps(done, indent=1), flush=True)
    sys.exit(f"{found} findings" if found else 0)


if __name__ == "__main__":
    main()
