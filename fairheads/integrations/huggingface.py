"""Objectives in the Trainer of Hugging Face's transformers: a loss function and a callback."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from fairheads.constraints.processes import joined_max, joined_sum, processes
from fairheads.errors import ConfigError, InputError
from fairheads.integrations._trainer_loss import logits_of, objective_loss
from fairheads.training import Constrained, Monitor, Objective

__all__ = ["ObjectiveTrainerCallback", "OneLogit", "objective_loss"]


class ObjectiveTrainerCallback(TrainerCallback, ExportableState):
    """What goes with `objective_loss`: steps of the objective, its state in checkpoints, curves, the monitor.

    ``objective.step()`` follows every step of the optimiser, not every batch whose gradient is accumulated. The state
    of objective and monitor is in ``trainer_state.json`` of each checkpoint and is restored from it by
    ``trainer.train(resume_from_checkpoint=...)``. Every log entry of the Trainer gets ``fairheads/constraint`` and
    ``fairheads/gap`` (of decisions) of the last batch and, for a `Lagrangian`, its largest ``fairheads/multiplier`` and
    ``fairheads/price``; they stand in ``trainer.state.log_history`` and reach callbacks that come after this one (the
    writers of ``report_to`` come before: to have the curves there, leave them out of ``report_to`` and pass them in
    ``callbacks`` after this one).

    With several processes the gradients of the objective's own parameters are averaged, as those of the model are.

    Parameters
    ----------
    loss : objective_loss
    monitor : Monitor, optional
        Such as a `fairheads.monitor.HeadMonitor`, called after every optimiser step with an `OneLogit` of the model
        and the number of the step; it ends the training when it returns True. With several processes the first one
        asks it.
    inputs : sequence of str
        Names under which the model takes the inputs of the monitor's rows, in their order.

    Raises
    ------
    ConfigError
        For settings of the Trainer that cannot work: data parallelism in one process, and
        ``restore_callback_states_from_checkpoint`` (which makes callbacks anew, from JSON alone).
    InputError
        If a checkpoint that is resumed from was written without this callback.
    """

    def __init__(
        self,
        loss: objective_loss,
        monitor: Monitor | None = None,
        *,
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
    ) -> None:
        if not isinstance(loss, objective_loss):
            raise ConfigError(f"`loss` must be the objective_loss that the Trainer gets, got {type(loss).__name__}.")
        self.loss, self.monitor, self.inputs = loss, monitor, tuple(inputs)
        self._open = ExitStack()

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if args.n_gpu > 1:
            raise ConfigError(f"one process must use one GPU, got {args.n_gpu}; start the processes with torchrun.")
        if args.restore_callback_states_from_checkpoint:
            raise ConfigError(
                "`restore_callback_states_from_checkpoint` must be False: it makes callbacks anew, without their"
                " objective. The objective's state is restored in any case."
            )
        self.loss.attach(event["model"])
        self.loss.objective.to(args.device)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any
    ) -> None:
        if state.global_step > 0:
            kept: Any = state.stateful_callbacks  # a list when the Trainer makes it, a dictionary ever after
            self._restore(kept.get(type(self).__name__))
        self._open.close()
        self.loss.objective.zero_grad()
        self._open.enter_context(self.loss.objective.attached(event["model"]))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any
    ) -> None:
        world = processes()
        if world > 1:
            for parameter in self.loss.objective.parameters():
                if parameter.grad is not None:
                    parameter.grad = joined_sum(parameter.grad) / world

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any
    ) -> None:
        self.loss.objective.step()
        self.loss.objective.zero_grad()  # the Trainer clears the gradients of the model only

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any) -> Any:
        if self.monitor is not None:
            net = OneLogit(event["model"], self.inputs, favourable=_favourable(self.loss.objective))
            stop = state.is_world_process_zero and self.monitor(net, state.global_step)
            if joined_max(int(stop), args.device):
                control.should_training_stop = True
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        if "loss" not in event["logs"]:
            return  # of an evaluation, or the summary at the end
        curves = self.loss.curves.read()
        event["logs"].update(curves)
        state.log_history[-1].update(curves)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        self._open.close()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: tensors as base64 of safetensors, exact and without code."""
        tensors = {
            name: values.detach().cpu().contiguous() for name, values in self.loss.objective.state_dict().items()
        }
        monitor = getattr(self.monitor, "state_dict", None)
        kept = {
            "objective": base64.b64encode(safetensors.torch.save(tensors)).decode("ascii"),
            "monitor": monitor() if callable(monitor) else None,
        }
        return {"args": {}, "attributes": kept}

    def _restore(self, state: dict[str, Any] | None) -> None:
        if not isinstance(state, dict) or "objective" not in state.get("attributes", {}):
            raise InputError("the checkpoint has no state of an objective: it was written without this callback.")
        kept = state["attributes"]
        self.loss.objective.load_state_dict(safetensors.torch.load(base64.b64decode(kept["objective"])))
        restore = getattr(self.monitor, "load_state_dict", None)
        if callable(restore) and kept["monitor"] is not None:
            restore(kept["monitor"])


class OneLogit(nn.Module):
    """A model of transformers as a network that takes tensors and returns one logit a row, as audits need it.

    Parameters
    ----------
    model : nn.Module
        Its output has ``logits``.
    inputs : sequence of str
        Names of the model's inputs, in the order in which they are passed here.
    favourable : int, optional
        For one logit a class: the class whose log-odds against all others are returned.

    Examples
    --------
    >>> OneLogit(nn.Bilinear(2, 2, 3), ("input1", "input2"), favourable=1)(torch.ones(4, 2), torch.ones(4, 2)).shape
    torch.Size([4])
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str], *, favourable: int | None = None) -> None:
        super().__init__()
        self.model, self.inputs, self.favourable = model, tuple(inputs), favourable

    def forward(self, *values: Tensor) -> Tensor:
        """Logit of the favourable outcome, (n,)."""
        logits = logits_of(self.model(**dict(zip(self.inputs, values, strict=True))))
        if self.favourable is None:
            return logits[:, 0] if logits.ndim == 2 else logits
        others = torch.arange(logits.shape[1], device=logits.device) != self.favourable
        return logits[:, self.favourable] - logits[:, others].logsumexp(1)


def _favourable(objective: Objective) -> int | None:
    return objective.constraint.favourable if isinstance(objective, Constrained) else None
