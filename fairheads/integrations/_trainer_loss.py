"""The objective as a loss function of the Trainer of transformers, which needs nothing of that package."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError
from fairheads.integrations._curves import Curves
from fairheads.training import Objective

IGNORED = -100
"""The label that transformers gives to what has none."""


class objective_loss:  # noqa: N801
    """The ``compute_loss_func`` of a Trainer: an objective that finds the group of every row among the inputs.

    ::

        objective = Lagrangian(demographic_parity(favourable=1), tolerance=0.02, task=cross_entropy)
        loss = objective_loss(objective)  # 1
        trainer = Trainer(
            model,
            TrainingArguments(label_names=["labels", "group"]),
            train_dataset=rows,  # each with "labels" and "group" beside the inputs of the model
            compute_loss_func=loss,  # 2
            callbacks=[ObjectiveTrainerCallback(loss)],  # 3
        )

    How the group gets here. A Trainer drops columns that ``model.forward`` does not name, unless they are labels: hence
    ``label_names`` (or ``remove_unused_columns=False``). It hands all columns but "labels" to the model and only
    "labels" to the loss: a hook on the model, which the callback registers, takes the group out of the call before the
    model sees it. The Trainer needs no subclass. ``compute_metrics`` gets the group too, second in ``label_ids``.

    How gradients are accumulated. The Trainer leaves the scale to such a loss: the loss of each batch is weighted by
    its share of the rows of the step, which for equal batches is one over their number. A constraint is taken batch by
    batch; where batches are small give it ``memory``.

    Parameters
    ----------
    objective : Objective
        For a model with one logit a class (n, C) give it ``task=cross_entropy`` and its constraint ``favourable``; one
        logit a row (``num_labels=1``) needs neither. The hook puts it into training or eval mode as the model is.
    group_key, strata_key : str
        Names of the columns; by default there are no strata.

    Raises
    ------
    InputError
        When called without the group: the Trainer dropped the column, or the callback is missing.

    Notes
    -----
    An objective with parameters of its own (`fairheads.training.Adversarial`) needs them in the optimiser::

        Trainer(..., optimizers=(AdamW([*model.parameters(), *objective.parameters()], lr=1e-4), None))

    The Trainer clips the gradient of the model alone (``max_grad_norm``), and not theirs.

    A Trainer that makes its model anew in each run (``model_init``) does not show it to callbacks: call ``attach`` on
    the model in that function. Data parallelism in one process (several GPUs without ``torchrun``) is refused.

    Examples
    --------
    >>> from fairheads.constraints import demographic_parity
    >>> from fairheads.training import Penalized, cross_entropy
    >>> loss = objective_loss(Penalized(demographic_parity(favourable=1), task=cross_entropy))
    >>> loss.attach(nn.Identity())
    >>> loss.detach()
    """

    def __init__(self, objective: Objective, group_key: str = "group", strata_key: str | None = None) -> None:
        if not isinstance(objective, Objective):
            raise ConfigError(f"`objective` must be an Objective, got {type(objective).__name__}.")
        self.objective, self.group_key, self.strata_key = objective, group_key, strata_key
        self.curves = Curves(objective)
        self._group: Tensor | None = None
        self._strata: Tensor | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Loss of a batch, weighted by its share of the ``num_items_in_batch`` rows of the step."""
        if self._group is None:
            raise InputError(
                f"the batch must have {self.group_key!r}, which did not arrive: name it in"
                f' `TrainingArguments(label_names=["labels", "{self.group_key}"])`, give the Trainer an'
                " ObjectiveTrainerCallback, and with `model_init` call `attach` there."
            )
        logits = logits_of(outputs)
        group, strata, self._group, self._strata = self._group, self._strata, None, None
        self.curves.keep(logits, labels, group, strata)
        loss: Tensor = self.objective(logits, labels, group, strata)
        if num_items_in_batch is None:
            return loss
        return loss * (labels != IGNORED).sum() / num_items_in_batch

    def attach(self, model: nn.Module) -> None:
        """Take the group out of every call of ``model``; only one model at a time."""
        self.detach()
        self._hook = model.register_forward_pre_hook(self._take, with_kwargs=True)

    def detach(self) -> None:
        """Leave the model alone again."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._group = self._strata = None

    def _take(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.objective.train(model.training)
        rest = dict(kwargs)
        self._group = rest.pop(self.group_key, None)
        self._strata = None if self.strata_key is None else rest.pop(self.strata_key, None)
        return args, rest


def logits_of(outputs: Any) -> Tensor:
    """Of what a model returns when it was given no labels."""
    if isinstance(outputs, Tensor):
        return outputs
    logits: Tensor = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
    return logits
