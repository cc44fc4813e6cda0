"""Objectives in Lightning: a callback that does what follows the optimiser's step."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from fairheads.constraints.processes import joined_max
from fairheads.errors import ConfigError, InputError
from fairheads.integrations._curves import Curves
from fairheads.training import Monitor, Objective


class ObjectiveCallback(Callback):
    """Three lines for a `LightningModule`: make the objective, call it in ``training_step``, and add this callback.

    ::

        class Classifier(LightningModule):
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(4, 1)
                self.objective = Lagrangian(demographic_parity(groups=2), tolerance=0.02)  # 1

            def training_step(self, batch, batch_idx):
                X, y, group = batch
                return self.objective(self.net(X), y, group)  # 2, in place of the task's loss

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters())

        model = Classifier()
        Trainer(callbacks=[ObjectiveCallback(model.objective)]).fit(model, loader)  # 3

    After every step of the optimiser (not after a batch whose gradient is only accumulated) the callback calls
    ``objective.step()`` and the monitor. Every ``log_every_n_steps`` it logs ``fairheads/constraint`` and
    ``fairheads/gap`` (of decisions) of the last batch and, for a `Lagrangian`, its largest ``fairheads/multiplier`` and
    ``fairheads/price``.

    An objective that is an attribute of the module is moved, saved, restored and, where it has parameters
    (`fairheads.training.Adversarial`), trained by Lightning, as every part of a module; give it the number of groups,
    and the width of the layer it reads, when it is made. One that is kept elsewhere (in a list, in a closure) is moved,
    put into training or eval mode, saved and restored by the callback; parameters of such a one are the caller's to
    hand to the optimiser, and are not averaged over processes.

    Parameters
    ----------
    objective : Objective
        The one that ``training_step`` calls.
    monitor : Monitor, optional
        Such as a `fairheads.monitor.HeadMonitor`, called with the network and the number of optimiser steps (from 1).
        Ends the training when it returns True. With several processes the first one asks it.
    network : str
        Path of the submodule that takes inputs to logits ("net" above): the monitor looks into it, and the layer of
        `Adversarial` is looked for in it. It must be the module that ``training_step`` calls, as ``self.net(X)``;
        by default the LightningModule itself, called as ``self(X)``.

    Raises
    ------
    ConfigError
        If there is no such submodule.
    InputError
        If a checkpoint does not hold what the objective needs to go on.

    Examples
    --------
    >>> from fairheads.constraints import demographic_parity
    >>> from fairheads.training import Lagrangian
    >>> callback = ObjectiveCallback(Lagrangian(demographic_parity(groups=2), tolerance=0.02))
    >>> callback.steps
    0
    """

    def __init__(self, objective: Objective, monitor: Monitor | None = None, *, network: str = "") -> None:
        if not isinstance(objective, Objective):
            raise ConfigError(f"`objective` must be an Objective, got {type(objective).__name__}.")
        self.objective, self.monitor, self.network = objective, monitor, network
        self.steps = 0
        """Optimiser steps so far, those before a resumed checkpoint included."""
        self._counted = 0
        self._module: LightningModule | None = None
        self._curves = Curves(objective)
        self._open = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._module = pl_module
        self._net(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_part:
            self.objective.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open.close()
        self._counted = trainer.global_step
        if not self._is_part:
            self.objective.train()
        self._open.callback(self.objective.register_forward_hook(self._keep, with_kwargs=True).remove)
        self._open.enter_context(self.objective.attached(self._net(pl_module)))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Lightning has no hook after the optimiser's step; its count of steps stands still where it accumulates.
        if trainer.global_step == self._counted:
            return
        self._counted = trainer.global_step
        self.steps += 1
        self.objective.step()
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Lightning's logger connector
        if every and self.steps % every == 0:
            pl_module.log_dict(self._curves.read(), on_step=True, on_epoch=False, batch_size=1)
        if self.monitor is not None:
            stop = trainer.is_global_zero and self.monitor(self._net(pl_module), self.steps)
            if joined_max(int(stop), pl_module.device):
                trainer.should_stop = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_part:
            self.objective.eval()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_part:
            self.objective.train()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._open.close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._open.close()

    def state_dict(self) -> dict[str, Any]:
        monitor = getattr(self.monitor, "state_dict", None)
        return {
            "steps": self.steps,
            "objective": None if self._is_part else self.objective.state_dict(),
            "monitor": monitor() if callable(monitor) else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]
        if state_dict["objective"] is not None:
            self.objective.load_state_dict(state_dict["objective"])
        elif not self._is_part:
            raise InputError(
                "the checkpoint holds the objective as a part of the module; make it an attribute of the module again."
            )
        restore = getattr(self.monitor, "load_state_dict", None)
        if callable(restore) and state_dict["monitor"] is not None:
            restore(state_dict["monitor"])

    @property
    def _is_part(self) -> bool:
        """Whether the objective is a submodule, and Lightning sees to it."""
        return self._module is not None and any(part is self.objective for part in self._module.modules())

    def _keep(self, _objective: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _loss: Tensor) -> None:
        self._curves.keep(*args, **kwargs)

    def _net(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.network)
        except AttributeError:
            parts = [name for name, _ in pl_module.named_children()]
            raise ConfigError(f"`network` must be the path of a submodule ({parts}), got {self.network!r}.") from None
