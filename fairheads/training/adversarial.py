"""Training against an adversary that reads the group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from fairheads.activations import device_of, evaluation_state, tap_outputs
from fairheads.constraints.assignment import memberships
from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError
from fairheads.training.objective import Objective, codes_of, known_groups, weight_of
from fairheads.training.rows import Rows
from fairheads.training.tasks import Task, binary_cross_entropy


class _Reversed(Function):
    """The identity; backward the gradient is multiplied by ``-weight``."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


class Adversarial(Objective):
    """The task's loss plus that of an adversary that reads the group; the network gets its gradient reversed.

    The adversary is a small network with parameters of its own, which the optimiser needs beside those of the network
    (`fairheads.training.train` sees to it)::

        objective = Adversarial(weight=1.0, groups=2)
        optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()])

    Parameters
    ----------
    weight : float
        Of the reversed gradient. 0 is `Unconstrained`, bit for bit; large ones make training unstable, so watch the
        accuracy.
    layer : str, optional
        Dotted path of the layer that the adversary reads, averaged over positions; by default the logits. A layer
        asks more than parity does: the group must not be readable even where merit tells the groups apart.
    given_label : bool
        Show the adversary the label too: equalized odds instead of demographic parity.
    hidden : sequence of int
        Widths of the adversary's hidden layers. A stronger adversary finds more, and is harder to train against.
    groups, width : int, optional
        Number of groups, and of units that the adversary reads. `start` finds both out; in a loop of your own
        give them (``width`` only for a layer), and open ``objective.attached(net)`` around the loop for a layer.
    seed : int
        Of the adversary's weights.
    task : callable
        See `Objective`.

    Raises
    ------
    ConfigError
        On a weight below 0, or when called before the number of groups is known.

    References
    ----------
    Ganin et al., JMLR 2016 (gradient reversal); Zhang, Lemoine and Mitchell, AIES 2018 (reading the prediction, and
    the label for equalized odds).

    Notes
    -----
    That this adversary fails does not show that none would succeed, nor that the network treats people alike.

    Examples
    --------
    >>> import torch
    >>> objective = Adversarial(weight=1.0, groups=2)
    >>> logits = torch.zeros(4, requires_grad=True)
    >>> loss = objective(logits, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]))
    >>> loss.backward()
    """

    def __init__(
        self,
        weight: float = 1.0,
        *,
        layer: str | None = None,
        given_label: bool = False,
        hidden: Sequence[int] = (32,),
        groups: int | None = None,
        width: int | None = None,
        seed: int = 0,
        task: Task = binary_cross_entropy,
    ) -> None:
        super().__init__(task)
        if not all(units >= 1 for units in hidden):
            raise ConfigError(f"`hidden` must be widths of at least 1, got {list(hidden)}.")
        if groups is not None and groups < 2:
            raise ConfigError(f"`groups` must be at least 2, got {groups}.")
        self.weight, self.layer, self.given_label = weight_of(weight), layer, given_label
        self.hidden, self.seed = tuple(hidden), seed
        self.adversary: nn.Sequential | None = None
        self._seen: Tensor | None = None
        if layer is None and width is None and task is binary_cross_entropy:
            width = 1
        self._width = width
        if groups is not None and width is not None:
            self._make(groups, width)

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        task = self.task_loss(logits, y, group)
        if self.weight == 0:
            self._seen = None
            return task
        return task + self._adversary_loss(logits, y, group)

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        groups = known_groups(data)
        if self.adversary is None:
            device = device_of(net)
            first = Rows.of(next(iter(data)).take(slice(0, 1)), device)
            with self.attached(net), evaluation_state(net):
                logits = first.through(net)
                self._make(groups, self._read(logits).shape[1])
            self.to(device)
        elif self.adversary[-1].out_features != groups:
            raise ConfigError(f"`groups` is {self.adversary[-1].out_features}, but the data have {groups}.")
        return data

    @contextmanager
    def attached(self, net: nn.Module) -> Iterator[None]:
        if self.layer is None:
            yield
            return

        def keep(_name: str, output: Tensor) -> None:
            self._seen = output

        with tap_outputs(net, [self.layer], keep, live=True):
            try:
                yield
            finally:
                self._seen = None

    @torch.no_grad()
    def judge(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> float:
        """The task's loss alone: how well an adversary does that is still learning says little."""
        return float(self.task_loss(logits, y, group))

    def to_dict(self) -> dict[str, Any]:
        plain = {"name": "adversarial", "weight": self.weight, "given_label": self.given_label, "seed": self.seed}
        return {**plain, "hidden": list(self.hidden), "layer": self.layer, **super().to_dict()}

    def _make(self, groups: int, width: int) -> None:
        widths = [width + self.given_label, *self.hidden]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)  # torch.manual_seed would seed the accelerators as well
            layers: list[nn.Module] = []
            for before, after in pairwise(widths):
                layers += [nn.Linear(before, after), nn.ReLU()]
            self.adversary = nn.Sequential(*layers, nn.Linear(widths[-1], groups))

    def _read(self, logits: Tensor) -> Tensor:
        """What the adversary looks at, (n, units)."""
        if self.layer is None:
            return logits.reshape(len(logits), -1)
        if self._seen is None:
            raise ConfigError(f"open `objective.attached(net)` around the loop: it reads the layer {self.layer!r}.")
        output, self._seen = self._seen, None
        if output.ndim > 3:
            return output.flatten(2).mean(2)
        return output.mean(1) if output.ndim == 3 else output.reshape(len(output), -1)

    def _adversary_loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        seen = self._read(logits)
        if self.adversary is None:
            raise ConfigError(
                "`groups` (and `width`, for a layer) must be given, or `start` be called, before the loop."
            )
        seen = seen.to(next(self.adversary.parameters()).dtype)
        units = _Reversed.apply(seen, self.weight)  # type: ignore[no-untyped-call]
        if self.given_label:
            units = torch.cat([units, y[:, None].to(units.dtype)], dim=1)
        guess = self.adversary(units)
        if group.is_floating_point():
            return functional.cross_entropy(guess, memberships(group, guess.shape[1]).to(guess.dtype))
        group = codes_of(group, guess.shape[1])
        total = functional.cross_entropy(guess, group, ignore_index=-1, reduction="sum")
        return total / (group >= 0).sum().clamp(min=1)
