"""A network whose last layer has two heads: the task and the group."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError
from fairheads.nets.final import final_linear, logits_of, refuse_other_output, replace_layer
from fairheads.nets.heads import TwoHeads, WithHead, group_outputs, join_heads, linear_of


class TwoHeadNet(nn.Module):
    """A network whose last linear layer is widened to give ``z_y`` (task) and ``z_g`` (group).

    Parameters
    ----------
    net : nn.Module
        Any network whose logits are the output of a linear layer: `MLP`, a CNN that ends in ``fc``, a Hugging Face
        model for classification of sequences or images, one's own. Its weights are copied; the network itself is
        left alone. The task head may have one output (a logit) or one a class.
    n_groups : int
        Two groups have one group output, trained towards 1 for group code 1; K > 2 groups have K.
    layer : str, optional
        Dotted name of the final linear layer. By default ``head`` if there is such a one, else the linear layer
        that was registered last. The first forward pass makes sure that its output is the network's.
    separate : bool
        Two layers side by side instead of one wider layer, for instance to give them learning rates of their own.
        The sums are the same.
    features : int, optional
        For a backbone that ends in features (n, ``features``) and has no head: a task head with one output and a
        group head are put on top of it. A ``layer`` cannot be named then.
    favourable : int
        Class of the favourable outcome where the task has one output a class; 0 or 1 of two.
    seed : int
        Of the group head's initial weights (and the task head's, on a backbone without one). The global random state
        is left as it was.

    Attributes
    ----------
    net : nn.Module
        The copy, with the wider head.
    layer : str
        Name of the head in it.
    n_groups, group_outputs, task_outputs, favourable : int

    Raises
    ------
    ConfigError
        If the network has no final linear layer, or a setting makes no sense. In the first forward pass, if the
        output of the layer is not the output of the network.
    LayerNotFoundError
        If there is no layer of that name.

    Notes
    -----
    ``forward`` takes what the network takes and returns a tensor (n, task outputs + group outputs), task first. A
    Hugging Face model is called without labels: it would compute its own loss over both heads. The group output is
    raw (no sigmoid) and trained by squared error against 0/1, so that it stays near 0/1 and can be added to the task
    logit. Weights that the head shared with another layer are its own from here on.

    References
    ----------
    Lohaus et al., Are Two Heads the Same as One?, NeurIPS 2022 (arXiv 2204.04440), section 5.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> two = TwoHeadNet(MLP(5, hidden=(8, 4)), n_groups=3)
    >>> two(torch.zeros(2, 5)).shape, two.layer, two.head
    (torch.Size([2, 4]), 'head', Linear(in_features=4, out_features=4, bias=True))
    """

    def __init__(
        self,
        net: nn.Module,
        n_groups: int = 2,
        *,
        layer: str | None = None,
        separate: bool = False,
        features: int | None = None,
        favourable: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_groups, self.group_outputs = n_groups, group_outputs(n_groups)
        if features is not None:
            if features < 1 or layer is not None:
                raise ConfigError(
                    f"`features` must be at least 1 and stand without `layer`, got {features}, {layer!r}."
                )
            net, layer = WithHead(net, _task_head(net, features, seed)), "head"
        self.layer = final_linear(net, layer)
        own = copy.deepcopy(net)
        head = own.get_submodule(self.layer)
        if not isinstance(head, nn.Linear):
            raise ConfigError(f"`layer` must be a linear layer, but {self.layer!r} is a {type(head).__name__}.")
        self.task_outputs = head.out_features
        if self.task_outputs > 1 and not 0 <= favourable < self.task_outputs:
            raise ConfigError(f"`favourable` must be a class from 0 to {self.task_outputs - 1}, got {favourable}.")
        self.favourable = favourable
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
            two = nn.Linear(head.in_features, self.task_outputs + self.group_outputs).to(head.weight)
        with torch.no_grad():
            two.weight[: self.task_outputs] = head.weight
            two.bias[: self.task_outputs] = 0.0 if head.bias is None else head.bias
        replace_layer(own, self.layer, TwoHeads(*_parted(two, self.task_outputs)) if separate else two)
        self.net = own
        self._known_to_end_in_the_head = False
        self.register_load_state_dict_pre_hook(_from_older_names)  # type: ignore[no-untyped-call]

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        logits = self._first_pass(inputs, named)
        if logits is None:
            logits = logits_of(self.net(*inputs, **named))
        return logits.reshape(-1, self.task_outputs + self.group_outputs) if logits.ndim == 1 else logits

    @property
    def head(self) -> nn.Module:
        """The layer with both heads: a Linear, or `TwoHeads` where they are separate."""
        return self.net.get_submodule(self.layer)

    @property
    def backbone(self) -> nn.Module:
        """The part of that name, in networks that have one."""
        return self.net.get_submodule("backbone")

    @property
    def separate(self) -> bool:
        """Whether the heads are two layers."""
        return isinstance(self.head, TwoHeads)

    @property
    def joined(self) -> nn.Linear:
        """Both heads as one linear layer, task outputs first: the head itself, or a copy of the two."""
        head = self.head
        if isinstance(head, TwoHeads):
            return join_heads(head.task, head.group)
        if not isinstance(head, nn.Linear):
            raise ConfigError(f"the head must be linear, but {self.layer!r} was replaced by a {type(head).__name__}.")
        return head

    def single(self, head: nn.Linear) -> nn.Module:
        """A single-head network of the original class: a copy of this one with ``head`` in place of both."""
        net = copy.deepcopy(self.net)
        replace_layer(net, self.layer, copy.deepcopy(head))
        return net

    def _first_pass(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor | None:
        """In the first pass the logits, once it is known that they are the output of the head; else None."""
        if self._known_to_end_in_the_head:
            return None
        seen: list[Tensor] = []
        # A copy: what comes after the head might change its output in place.
        handle = self.head.register_forward_hook(lambda _layer, _inputs, output: seen.append(output.detach().clone()))
        try:
            output = self.net(*inputs, **named)
        except RuntimeError as error:
            if seen:  # what comes after the layer does not take its wider output
                refuse_other_output(self.layer, self.net, seen, None, because=error)
            raise
        finally:
            handle.remove()
        logits = logits_of(output)
        refuse_other_output(self.layer, self.net, seen, logits)
        self._known_to_end_in_the_head = True
        return logits


def _task_head(backbone: nn.Module, features: int, seed: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed + 1)  # not the seed of the group head: the two would be alike
        head = nn.Linear(features, 1)
    like = next((weights for weights in backbone.parameters() if weights.is_floating_point()), None)
    return head if like is None else head.to(like)


def _parted(two: nn.Linear, task: int) -> tuple[nn.Linear, nn.Linear]:
    weight, bias = two.weight.detach(), two.bias.detach()
    return linear_of(weight[:task], bias[:task]), linear_of(weight[task:], bias[task:])


def _from_older_names(net: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Weights saved before other networks than `MLP` could have two heads: ``head.weight`` for ``net.head.weight``."""
    own = [name for name in state if name.startswith(prefix)]
    if any(name.startswith(f"{prefix}net.") for name in own):
        return
    for name in own:
        state[f"{prefix}net.{name.removeprefix(prefix)}"] = state.pop(name)
