"""A process that trains some of the twins; run as ``python -m fairheads.twins.worker JOB``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fairheads.activations import one_thread
from fairheads.data import Dataset
from fairheads.twins.job import Job


def save_rows(data: Dataset, file: Path) -> None:
    """Write what a worker needs of the rows."""
    arrays: dict[str, Any] = {"y": data.y, "group": data.group, **{f"in_{k}": v for k, v in data.inputs.items()}}
    if data.strata is not None:
        arrays["strata"] = data.strata
    np.savez(file, **arrays)


def load_rows(file: Path, group_names: list[str]) -> Dataset:
    """The rows that `save_rows` wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        inputs = {key.removeprefix("in_"): arrays[key] for key in arrays.files if key.startswith("in_")}
        strata = arrays["strata"] if "strata" in arrays.files else None
        return Dataset(inputs, arrays["y"], arrays["group"], group_names=group_names, strata=strata)


def work(job_file: Path) -> None:
    """Train the twins of a job file, with a line on stdout for each."""
    plain = json.loads(job_file.read_text())
    job, data = Job(**plain["job"]), load_rows(job_file.parent / "data.npz", plain["group_names"])
    with one_thread():
        for seed, file in plain["files"].items():
            job.train(data, int(seed), Path(file))
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
