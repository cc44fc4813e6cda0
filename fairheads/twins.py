"""Twins: the same network, rows and recipe without the constraint, trained again from other seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from fairheads.activations import one_thread
from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, FairheadsError
from fairheads.models import Bundle
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import Unconstrained, train

SEED_BASE = 1_000_000
"""Twins' seeds start here, away from the seeds that people give their networks."""


@dataclass(frozen=True, eq=False)
class TwinRecipe:
    """How to train twins of a network: its architecture, optimiser and epochs, the constraint left out.

    Parameters
    ----------
    train_data : Dataset
        The model's own training rows, encoded by its encoder. Other rows are allowed and weaken the verdict; then
        each twin is trained on a bootstrap sample of them.
    n : int
        Number of twins. The smallest p that their rank can give is 1 / (n + 1).
    seed : int
    processes : int, optional
        Worker processes, each with one thread; by default one per core. The twins do not depend on it.
    cache : path, optional
        Folder that keeps trained twins by content of rows and recipe.
    progress : callable, optional
        Called with the number of finished twins and n.

    Examples
    --------
    >>> from fairheads.data import adult
    >>> train_set, test_set = adult().split()
    >>> TwinRecipe(train_set, n=5).n
    5
    """

    train_data: Dataset
    n: int = 12
    seed: int = 0
    processes: int | None = None
    cache: str | Path | None = None
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ConfigError(f"`n` must be at least 2 twins, got {self.n}.")
        if self.processes is not None and self.processes < 1:
            raise ConfigError(f"`processes` must be at least 1, got {self.processes}.")

    def matches(self, bundle: Bundle) -> bool:
        """Whether the rows are the model's own training rows, by hash and multiplicity."""
        return bundle.rows is not None and bundle.rows.digest == RowRecord.of(self.train_data).digest

    def train(self, bundle: Bundle) -> tuple[nn.Module, ...]:
        """The twins of the network in ``bundle``.

        Raises
        ------
        ConfigError
            If the bundle has no training record to follow.
        """
        job = self._job(bundle)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(self.cache) if self.cache is not None else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            files = {seed: folder / f"{_key(job, seed, self.train_data)}.safetensors" for seed in job["seeds"]}
            missing = [seed for seed, file in files.items() if not _readable(file)]
            self._tell(self.n - len(missing))
            if missing:
                workers = min(self.processes or os.cpu_count() or 1, len(missing))
                parts = [missing[i::workers] for i in range(workers)]
                if workers == 1:
                    with one_thread():
                        for done, seed in enumerate(missing, self.n - len(missing) + 1):
                            _train_one(job, self.train_data, seed, files[seed])
                            self._tell(done)
                else:
                    self._train_apart(job, parts, files, Path(scratch))
            return tuple(_load(job, file) for file in files.values())

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.n)

    def _job(self, bundle: Bundle) -> dict[str, Any]:
        net = bundle.net.template if isinstance(bundle.net, TwoHeadNet) else bundle.net
        needed = ("epochs", "batch_size", "learning_rate", "schedule")
        if not isinstance(net, MLP) or not all(key in bundle.training for key in needed):
            raise ConfigError("twins need a bundle with a training record; train with fairheads or pass trained twins.")
        return {
            "architecture": net.config,
            "recipe": {key: bundle.training[key] for key in (*needed, "clip_norm") if key in bundle.training},
            "bootstrap": not self.matches(bundle),
            "seeds": [SEED_BASE + self.seed * 1000 + i for i in range(self.n)],
        }

    def _train_apart(
        self, job: dict[str, Any], parts: Sequence[Sequence[int]], files: dict[int, Path], scratch: Path
    ) -> None:
        """Train in worker processes that read arrays from disk: nothing is pickled, no caller's script is run again."""
        data = self.train_data
        arrays: dict[str, Any] = {"y": data.y, "group": data.group, **{f"in_{k}": v for k, v in data.inputs.items()}}
        np.savez(scratch / "data.npz", **arrays)
        waiting = sum(len(seeds) for seeds in parts)
        finished = itertools.count(self.n - waiting + 1)
        job_files = []
        for i, seeds in enumerate(parts):
            job_files.append(scratch / f"job-{i}.json")
            own = {**job, "group_names": data.group_names, "files": {str(s): str(files[s].resolve()) for s in seeds}}
            job_files[-1].write_text(json.dumps(own))
        with ThreadPoolExecutor(len(parts)) as pool:
            for done in [pool.submit(_run_worker, file, lambda: self._tell(next(finished))) for file in job_files]:
                done.result()


def default_cache() -> Path:
    """Where the command line keeps trained twins: ``$XDG_CACHE_HOME/fairheads/twins``, else under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairheads" / "twins"


def _run_worker(job_file: Path, told: Callable[[], None]) -> None:
    """Run one worker process; it writes a line for every twin that is done."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "fairheads.twins", str(job_file)]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True) as worker:
            for _ in worker.stdout or ():
                told()
        errors.seek(0)
        message = errors.read()
    if worker.returncode != 0:
        reason = (message.strip().splitlines() or ["the worker process ended without a message"])[-1]
        raise FairheadsError(f"a twin could not be trained: {reason}")


def _key(job: dict[str, Any], seed: int, data: Dataset) -> str:
    content = hashlib.sha256()
    for array in (*data.inputs.values(), data.y, data.group):
        content.update(np.ascontiguousarray(array).data)
    settings = {k: job[k] for k in ("architecture", "recipe", "bootstrap")}
    made_with = {"torch": torch.__version__, "fairheads": version("fairheads"), "seed": seed}
    content.update(json.dumps({**settings, **made_with}, sort_keys=True).encode())
    return content.hexdigest()[:32]


def _readable(file: Path) -> bool:
    try:
        load_tensors(file.read_bytes())
    except (OSError, SafetensorError):
        return False
    return True


def _load(job: dict[str, Any], file: Path) -> nn.Module:
    net = _fresh(job, 0)
    net.load_state_dict(load_tensors(file.read_bytes()))
    return net.eval()


def _fresh(job: dict[str, Any], seed: int) -> MLP:
    config = dict(job["architecture"])
    return MLP(config.pop("in_features"), **config, seed=seed)


def _train_one(job: dict[str, Any], data: Dataset, seed: int, file: Path) -> None:
    if job["bootstrap"]:
        data = data.take(np.random.default_rng(seed).integers(0, len(data), len(data)))
    net = _fresh(job, seed)
    train(net, data, Unconstrained(), seed=seed, **job["recipe"])
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_bytes(save_tensors({k: v.detach().contiguous() for k, v in net.state_dict().items()}))
    part.replace(file)


def _work(job_file: Path) -> None:
    job = json.loads(job_file.read_text())
    with np.load(job_file.parent / "data.npz", allow_pickle=False) as arrays:
        inputs = {key.removeprefix("in_"): arrays[key] for key in arrays.files if key.startswith("in_")}
        data = Dataset(inputs, arrays["y"], arrays["group"], group_names=job["group_names"])
    with one_thread():
        for seed, file in job["files"].items():
            _train_one(job, data, int(seed), Path(file))
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
