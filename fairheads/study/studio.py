"""One folder of a study: networks, their scores on validation and test rows, and what was measured of each."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import one_thread
from fairheads.data import Dataset, blocks
from fairheads.nets import TwoHeadNet
from fairheads.results._saving import save_texts
from fairheads.results.record import json_text
from fairheads.study.effects import Effects
from fairheads.study.networks import fresh, keep, kept
from fairheads.study.rows import Parts
from fairheads.study.setting import PaperSetting, Task
from fairheads.training import Massaged, Unconstrained, train
from fairheads.twoheads import Frontier, attach_group_head, fit_frontier, two_head_scores

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Studio:
    """Trains and measures the networks of a setting; what is in ``folder`` already is not made again."""

    setting: PaperSetting
    parts: Parts
    folder: Path
    _scores: dict[str, Floats] = field(default_factory=dict)
    _merges: dict[int, Frontier] = field(default_factory=dict)

    @property
    def fit(self) -> NDArray[np.bool_]:
        """Of validation rows followed by test rows, those that choose."""
        return np.arange(len(self.y)) < len(self.parts.validation)

    @cached_property
    def y(self) -> NDArray[np.int64]:
        """Labels of validation rows followed by test rows."""
        return np.concatenate([self.parts.validation.y, self.parts.test.y])

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """Group codes of the same rows."""
        return np.concatenate([self.parts.validation.group, self.parts.test.group])

    @cached_property
    def effects(self) -> Effects:
        """Where networks are audited beside the unconstrained ones."""
        twins = [self.network(Task("unconstrained", 0.0, seed)) for seed in range(self.setting.seeds)]
        return Effects.of(self.setting, self.parts, twins)

    # ------------------------------------------------------------ networks

    def is_trained(self, task: Task) -> bool:
        return self._scores_file(task).is_file()

    def is_possible(self, task: Task) -> bool:
        """Massaging ranks all training rows, so they must be in memory."""
        return task.kind != "massaging" or isinstance(self.parts.train, Dataset)

    @one_thread()
    def train(self, task: Task, device: str | None = None) -> None:
        """Train a network, keep it and its scores."""
        net = self._network_folder(task)
        made = kept(net, setting=self.setting, parts=self.parts, task=task)
        if made is None:
            made = self._trained(task, device)
        two = made if isinstance(made, TwoHeadNet) else attach_group_head(made, self.parts.train)
        outputs = [two_head_scores(two, part) for part in (self.parts.validation, self.parts.test)]
        scores = io.BytesIO()
        np.save(scores, np.concatenate(outputs))
        _write(self._scores_file(task), scores.getvalue())

    def _trained(self, task: Task, device: str | None) -> nn.Module:
        setting, rows = self.setting, self.parts.train
        objective = task.objective()
        if isinstance(objective, Massaged) and setting.size and isinstance(rows, Dataset):
            # A logistic regression of pixels ranks nobody: the unconstrained network of the same seed does.
            ranking = two_head_scores(self.network(Task("unconstrained", 0.0, task.seed)), rows)[:, 0]
            rows, objective = rows.relabelled(objective.labels(rows, ranking)), Unconstrained()
        net = fresh(setting, next(blocks(rows)), task, len(rows.group_names))
        history = train(
            net,
            rows,
            objective,
            epochs=setting.epochs,
            batch_size=setting.batch_size,
            learning_rate=setting.learning_rate,
            seed=task.seed,
            device=device,
        )
        keep(net, self._network_folder(task), setting=setting, parts=self.parts, history=history)
        return net

    def network(self, task: Task) -> nn.Module:
        """A network that was trained."""
        net = kept(self._network_folder(task), setting=self.setting, parts=self.parts, task=task)
        if net is None:
            raise FileNotFoundError(f"{task.name} was not trained")
        return net

    def outputs(self, task: Task) -> Floats:
        """Task logit and group head, (n, 2), of a trained network on validation rows followed by test rows."""
        if task.name not in self._scores:
            self._scores[task.name] = np.load(self._scores_file(task), allow_pickle=False)
        return self._scores[task.name]

    def merges(self, seed: int) -> Frontier:
        """The front of merges of the two-headed network of a seed, on the validation rows; fitted once."""
        if seed not in self._merges:
            two, rows = self.outputs(Task("two-headed", 0.0, seed)), self.fit
            self._merges[seed] = fit_frontier(two[rows, 0], two[rows, 1], self.y[rows], self.group[rows])
        return self._merges[seed]

    # ------------------------------------------------------------ measurements

    def is_measured(self, name: str) -> bool:
        return self._measured_file(name).is_file()

    def write(self, name: str, found: Any) -> None:
        """Keep what was measured under a name, whole or not at all."""
        _write(self._measured_file(name), json_text(found))

    def read(self, name: str) -> Any:
        """What was measured under a name."""
        return json.loads(self._measured_file(name).read_text(encoding="utf-8"))

    def _network_folder(self, task: Task) -> Path:
        return self.folder / "networks" / task.name

    def _scores_file(self, task: Task) -> Path:
        return self.folder / "scores" / f"{task.name}.npy"

    def _measured_file(self, name: str) -> Path:
        return self.folder / "measured" / f"{name}.json"


def _write(file: Path, content: str | bytes) -> None:
    save_texts(file.parent, {file.name: content})
