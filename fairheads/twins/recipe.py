"""The recipe for twins of a network: which, how many, from which seeds, and where they are trained and kept."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from fairheads.activations import one_thread
from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, FairheadsError
from fairheads.models import Bundle, weights_digest
from fairheads.nets import TwoHeadNet
from fairheads.training import train
from fairheads.twins.job import NETS, PLACEBO_BASE, SEED_BASE, Factory, Job, address_of
from fairheads.twins.worker import save_rows
from fairheads.workers import cores, worker

NEEDED = ("epochs", "batch_size", "learning_rate", "schedule")
"""What a record of training must say; twins follow it."""

RECORDED = frozenset(
    [
        "optimizer",
        "losses",
        "rows",
        "shares",
        "validation_losses",
        "best_epoch",
        "stopped",
        "outcome",
        "split",
        "images",
    ]
)
"""What else `History.record` and saved models say, beside settings of `train`."""


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
        Folder that keeps trained twins by content of rows and recipe. Not with a ``factory``, whose code may change.
    progress : callable, optional
        Called with the number of finished twins and how many there will be; `fairheads.progress.Bar` draws it.
    factory : callable, optional
        Builds an untrained network like the model from a seed, where the model is none of `fairheads.nets`. A function
        that can be imported by name is run in worker processes; others train one after another in this process.
    record : mapping, optional
        How a model without a training record of its own (a plain `nn.Module`) was trained: `History.record`, or the
        settings of `fairheads.training.train` by name (Adam is the only optimiser), with ``"objective": {"task":
        "cross_entropy"}`` where it has one output a class.
    placebo : int
        Number of placebo twins that `placebos` trains.

    Raises
    ------
    ConfigError
        If a number makes no sense, a factory stands beside a cache, or the record says what `train` cannot do.

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
    factory: Factory | None = None
    record: Mapping[str, Any] | None = None
    placebo: int = 0

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ConfigError(f"`n` must be at least 2 twins, got {self.n}.")
        if self.processes is not None and self.processes < 1:
            raise ConfigError(f"`processes` must be at least 1, got {self.processes}.")
        if self.placebo < 0 or self.placebo == 1:
            raise ConfigError(f"`placebo` must be 0 or at least 2 twins, got {self.placebo}.")
        if self.factory is not None and self.cache is not None:
            raise ConfigError("`cache` must be left out with a `factory`: whether its code changed cannot be known.")
        if self.record is not None:
            _refuse_other_training(self.record)

    def matches(self, model: Bundle | nn.Module) -> bool | None:
        """Whether the rows are the model's own training rows, by hash and multiplicity; None where nothing is known."""
        own = RowRecord.of(self.train_data).digest
        if isinstance(model, Bundle):
            return model.rows is not None and model.rows.digest == own
        recorded = ((self.record or {}).get("rows") or {}).get("digest")
        return None if recorded is None else bool(recorded == own)

    def train(self, model: Bundle | nn.Module) -> tuple[nn.Module, ...]:
        """The twins of the network: the objective with no weight on its constraint.

        Raises
        ------
        ConfigError
            If there is no training record to follow, or no way to build the network anew; if the factory's networks
            are unlike the model, or do not depend on the seed.
        """
        job = self._job(model)
        task = {key: value for key, value in job.objective.items() if key == "task"}
        settings = {key: value for key, value in job.settings.items() if key != "side_batch"}
        free = replace(job, objective={"name": "unconstrained", **task}, settings=settings, merge=None)
        return self._trained(free, [SEED_BASE + self.seed * 1000 + i for i in range(self.n)])

    def placebos(self, model: Bundle | nn.Module) -> tuple[nn.Module, ...]:
        """The placebo twins: the model's own objective, on groups that were permuted among the rows of each label.

        The gap in labels stays, and with it the constraint's pressure; what the inputs say of the group beyond the
        label is gone. So they show what the constraint does to a network that cannot serve it by a group estimate. Of a
        merged two-headed network the group head is trained on the permuted groups and merged with the same b and t.

        Raises
        ------
        ConfigError
            As `train`, and if the model was trained without a constraint or ``placebo`` is 0.
        """
        job = replace(self._job(model), permuted=True)
        if not self.placebo:
            raise ConfigError("`placebo` must be at least 2 twins, got 0.")
        if job.objective.get("name", "unconstrained") == "unconstrained":
            raise ConfigError("placebo twins need a model that was trained under a constraint; its record has none.")
        if job.objective["name"] == "two_headed" and job.merge is None:
            raise ConfigError("placebo twins of a two-headed network need its merge; audit the merged network.")
        return self._trained(job, [PLACEBO_BASE + self.seed * 1000 + i for i in range(self.placebo)])

    def _job(self, model: Bundle | nn.Module) -> Job:
        bundle = model if isinstance(model, Bundle) else Bundle(net=model)
        record = {**bundle.training, **(self.record or {})}
        net = bundle.net.net if isinstance(bundle.net, TwoHeadNet) else bundle.net
        if not all(key in record for key in NEEDED):
            raise ConfigError(
                "twins need a model with a training record (`record` for a plain nn.Module); train with fairheads or"
                " pass trained twins."
            )
        if self.factory is None and type(net) not in NETS.values():
            raise ConfigError(
                f"a {type(net).__name__} cannot be built anew from its record; give a `factory` that builds one from a"
                " seed, or pass trained twins."
            )
        job = Job(
            architecture={"kind": type(net).__name__, **_config(net)} if self.factory is None else None,
            address=None if self.factory is None else address_of(self.factory),
            settings={key: record[key] for key in (*NEEDED, "clip_norm", "side_batch") if key in record},
            objective=dict(record.get("objective", {})),
            merge=None if bundle.merge is None else {key: bundle.merge[key] for key in ("b", "t")},
            bootstrap=self.matches(model) is False,
            factory=self.factory,
        )
        if self.factory is not None:
            _refuse_other_networks(job, net)
        return job

    def _trained(self, job: Job, seeds: Sequence[int]) -> tuple[nn.Module, ...]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(self.cache) if self.cache is not None else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            files = {seed: folder / f"{job.key(seed, self.train_data)}.safetensors" for seed in seeds}
            missing = [seed for seed, file in files.items() if not _readable(file)]
            self._tell(len(seeds) - len(missing), len(seeds))
            workers = min(self._processes(job), len(missing))
            if workers > 1:
                self._train_apart(job, [missing[i::workers] for i in range(workers)], files, Path(scratch))
            else:
                with one_thread():
                    for done, seed in enumerate(missing, len(seeds) - len(missing) + 1):
                        job.train(self.train_data, seed, files[seed])
                        self._tell(done, len(seeds))
            return tuple(job.load(file) for file in files.values())

    def _processes(self, job: Job) -> int:
        if job.architecture is None and job.address is None:
            if self.processes not in (None, 1):
                raise ConfigError(
                    f"`processes` must be 1 for a `factory` that cannot be imported by name, got {self.processes}; move"
                    " it from the script, or out of the function it is in, to the top of a module."
                )
            return 1
        return self.processes or cores()

    def _tell(self, done: int, of: int) -> None:
        if self.progress is not None:
            self.progress(done, of)

    def _train_apart(self, job: Job, parts: Sequence[Sequence[int]], files: dict[int, Path], scratch: Path) -> None:
        """Train in worker processes that read arrays from disk: nothing is pickled, no caller's script is run again."""
        save_rows(self.train_data, scratch / "data.npz")
        finished = itertools.count(len(files) - sum(map(len, parts)) + 1)
        job_files = []
        for i, seeds in enumerate(parts):
            job_files.append(scratch / f"job-{i}.json")
            own = {str(seed): str(files[seed].resolve()) for seed in seeds}
            plain = {"job": job.to_dict(), "group_names": self.train_data.group_names, "files": own}
            job_files[-1].write_text(json.dumps(plain))
        with ThreadPoolExecutor(len(parts)) as pool:
            told = [pool.submit(_run, file, lambda: self._tell(next(finished), len(files))) for file in job_files]
            for done in told:
                done.result()


def default_cache() -> Path:
    """Where the command line keeps trained twins: ``$XDG_CACHE_HOME/fairheads/twins``, else under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairheads" / "twins"


def _config(net: nn.Module) -> dict[str, Any]:
    config: Any = net.config
    return dict(config)


def _refuse_other_training(record: Mapping[str, Any]) -> None:
    """A record of training by a loop that is not `train` would give twins that were trained in another way."""
    if not isinstance(record, Mapping):
        raise ConfigError(f"`record` must be a mapping such as `history.record()`, got {type(record).__name__}.")
    known = RECORDED | inspect.signature(train).parameters.keys()
    own_loop = "Of a loop of your own train the twins with it too, and pass them in place of the recipe."
    if unknown := sorted(str(key) for key in record if key not in known):
        near = get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"`record` must hold settings of `fairheads.training.train`, got {', '.join(map(repr, unknown))}.{hint}"
            f" {own_loop}"
        )
    if record.get("optimizer", "adam") != "adam":
        raise ConfigError(f'`record` must say "adam" for `optimizer`, got {record["optimizer"]!r}. {own_loop}')


def _refuse_other_networks(job: Job, net: nn.Module) -> None:
    """A factory's networks have the model's weights by name and shape, and other values from another seed."""
    one, two = job.fresh(SEED_BASE), job.fresh(SEED_BASE + 1)
    mine, theirs = ({k: tuple(v.shape) for k, v in n.state_dict().items()} for n in (net, one))
    other = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if other:
        raise ConfigError(f"`factory` must build networks like the model, got other weights: {', '.join(other[:3])}.")
    if weights_digest(one) == weights_digest(two):
        raise ConfigError("`factory` must draw the weights from its seed, got the same ones for two seeds.")


def _run(job_file: Path, told: Callable[[], None]) -> None:
    """Run one worker process; it writes a line for every twin that is done."""
    with worker("fairheads.twins.worker", str(job_file)) as one:
        for _ in one:
            told()
        reason = one.failure()
    if reason is not None:
        raise FairheadsError(f"a twin could not be trained: {reason}")


def _readable(file: Path) -> bool:
    try:
        load_tensors(file.read_bytes())
    except (OSError, SafetensorError):
        return False
    return True
