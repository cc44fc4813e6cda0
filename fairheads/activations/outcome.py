"""What a network's outputs say of the favourable outcome: the score, whatever they are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

import torch
from torch import Tensor

from fairheads.errors import ConfigError, InputError

Kind = Literal["logit", "sigmoid", "softmax", "probability", "regression"]

KINDS: tuple[Kind, ...] = get_args(Kind)

_TEXT = re.compile(r"(?P<kind>[a-z]+)(?::(?P<favourable>.+?))?(?:@(?P<threshold>[^@]+))?")


@dataclass(frozen=True)
class Outcome:
    """How the outputs of a network become the score: the logit of the favourable outcome, above 0 where it is decided.

    Parameters
    ----------
    kind : str
        What the network returns, by row:

        - ``logit``: one logit, or one a class. Of classes the score is the favourable one's logit minus the largest
          other.
        - ``sigmoid``: the probability of one thing, or of several that do not exclude each other. The score is
          ``log(p / (1 - p))`` of the favourable one.
        - ``softmax``: probabilities of classes that add up to 1. The score is ``log p`` of the favourable one minus
          the largest other: that of the logits, had the network returned them.
        - ``probability``: ``sigmoid`` where there is one column, ``softmax`` where there are more.
        - ``regression``: one number. The score is its distance from the threshold, in its own units.
    favourable : int, optional
        The favourable class, the number of its column. One column decides between two classes: 1, by default, above
        the threshold, and 0 below it, which turns the score round.
    threshold : float, optional
        Where the decision is made, on the scale of the output: 0.5 for probabilities and else 0. More than two
        classes that exclude each other have none.

    Raises
    ------
    ConfigError
        On another kind, or a threshold that is no number or, of a probability, not between 0 and 1.

    Notes
    -----
    A probability nearer to 0 or 1 than its type can tell from them has no logit, and takes that of the nearest it can
    (15.9 in float32). `clipped` counts such rows: there the order of scores is lost, and so is what an edit does. Of
    softmax only a probability of 0 is clipped, for a small one is exact.

    Examples
    --------
    >>> outcome = Outcome("softmax", 1)
    >>> outcome.score(torch.tensor([[0.25, 0.75], [0.5, 0.5]])).round(decimals=4).tolist()
    [1.0986, 0.0]
    >>> Outcome.parse("probability:Female", ["Male", "Female"])
    Outcome(kind='probability', favourable=1, threshold=None)
    >>> str(Outcome("regression", 0, 50_000))
    'regression:0@50000'
    """

    kind: Kind = "logit"
    favourable: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = get_close_matches(str(self.kind), KINDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"the kind of an outcome must be one of {', '.join(KINDS)}, got {self.kind!r}.{hint}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ConfigError(f"the threshold of an outcome must be a finite number, got {self.threshold}.")
        if self.threshold is not None and self._is_probability and not 0 < self.threshold < 1:
            raise ConfigError(f"the threshold of a probability must lie between 0 and 1, got {self.threshold}.")

    @classmethod
    def parse(cls, text: str, classes: Sequence[str] = ()) -> Outcome:
        """The outcome that a text such as ``logit``, ``softmax:2`` or ``regression@3.5`` stands for.

        The grammar is ``KIND[:CLASS][@THRESHOLD]``, where CLASS is the number of a column, from 0, or one of
        ``classes``, the names of the columns in order. A single column has the classes 0 and 1.

        Raises
        ------
        ConfigError
            If it is no such text, or names a class that there is not.

        Examples
        --------
        >>> Outcome.parse("sigmoid:0@0.3")
        Outcome(kind='sigmoid', favourable=0, threshold=0.3)
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                "an outcome must be written KIND[:CLASS][@THRESHOLD], as in 'logit', 'softmax:2' or 'regression@3.5',"
                f" got {text!r}."
            )
        name, _, rest = text.strip().partition(":")
        if rest in classes:  # a name may hold an @
            return cls(name, list(classes).index(rest))  # type: ignore[arg-type]
        threshold = found["threshold"]
        try:
            number = None if threshold is None else float(threshold)
        except ValueError:
            raise ConfigError(f"the threshold of an outcome must be a number, got {threshold!r}.") from None
        said = found["favourable"]
        return cls(found["kind"], None if said is None else _column(said, classes), number)  # type: ignore[arg-type]

    def __str__(self) -> str:
        said = "" if self.favourable is None else f":{self.favourable}"
        return f"{self.kind}{said}" + (
            "" if self.threshold is None else f"@{float(self.threshold)!r}".removesuffix(".0")
        )

    def score(self, outputs: Tensor) -> Tensor:
        """The score of each row, (n,); in float64 where outputs are probabilities, else in their own type.

        Parameters
        ----------
        outputs : Tensor (n,), (n, 1) or (n, classes)
            In floating point.

        Raises
        ------
        InputError
            If the outputs are of another shape, no probabilities where they should be or such where they should be
            logits, or nothing says which class is favourable.
        ConfigError
            If there is no such class, or no threshold where there are so many.
        """
        columns = self._columns(outputs)
        if columns.ndim == 1:
            score = self._moved(_logit(columns) if self._is_probability else columns)
            return -score if self.favourable == 0 else score
        favourable = self._favourable(columns.shape[1])
        if self.kind == "sigmoid":
            return self._moved(_logit(columns[:, favourable]))
        logs = columns if self.kind == "logit" else _log(columns)
        others = torch.cat([logs[:, :favourable], logs[:, favourable + 1 :]], dim=1)
        return self._moved(logs[:, favourable] - others.max(1).values)

    def clipped(self, outputs: Tensor) -> int:
        """Rows whose score is that of the nearest probability that has a logit."""
        if not self._is_probability:
            return 0
        columns = self._columns(outputs)
        if columns.ndim == 2 and self.kind != "sigmoid":
            return int((columns < _smallest(columns)).any(1).sum())
        p = columns if columns.ndim == 1 else columns[:, self._favourable(columns.shape[1])]
        margin = torch.finfo(p.dtype).eps
        return int(((p < margin) | (p > 1 - margin)).sum())

    @property
    def _is_probability(self) -> bool:
        return self.kind in ("sigmoid", "softmax", "probability")

    def _columns(self, outputs: Tensor) -> Tensor:
        """Outputs (n,) or (n, 2 and more), looked at."""
        columns = outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
        if columns.ndim not in (1, 2):
            what = "number" if self.kind == "regression" else "probability" if self._is_probability else "logit"
            raise InputError(
                f"the network must return one {what} a row, got an output of shape {tuple(columns.shape)}."
            )
        if columns.ndim == 2 and self.kind == "regression":
            raise InputError(f"a regression must return one number a row, got {columns.shape[1]}.")
        if columns.ndim == 1 and self.kind == "softmax":
            raise InputError("softmax must have two columns or more, got one; say 'sigmoid' of a single probability.")
        if columns.ndim == 1 and self.favourable not in (None, 0, 1):
            raise ConfigError(f"`favourable` must be 0 or 1 where the network has one output, got {self.favourable}.")
        if self._is_probability and len(columns):
            self._refuse_other_than_probabilities(columns.detach())
        elif self.kind == "logit" and columns.ndim == 2 and len(columns):
            self._refuse_probabilities(columns.detach())
        return columns

    def _refuse_probabilities(self, columns: Tensor) -> None:
        off = (columns.double().sum(1) - 1).abs().max()
        if (
            columns.min() >= 0
            and columns.max() <= 1
            and off <= max(1e-4, columns.shape[1] * torch.finfo(columns.dtype).eps)
        ):
            outcome = f"Outcome('softmax', {1 if self.favourable is None else self.favourable})"
            raise InputError(
                "the network returns probabilities, which add up to 1 in every row, and no logits; say so by"
                f" `outcome`, as in TorchNetwork(net, outcome={outcome})."
            )

    def _refuse_other_than_probabilities(self, columns: Tensor) -> None:
        low, high = float(columns.min()), float(columns.max())
        if low < 0 or high > 1:
            raise InputError(
                f"`outcome` is {str(self)!r}, but the network returns numbers from {low:.4g} to {high:.4g}, which are"
                " no probabilities; logits are said by 'logit'."
            )
        if columns.ndim == 2 and self.kind != "sigmoid":
            worst = float((columns.double().sum(1) - 1).abs().max())
            if worst > 0.01:
                raise InputError(
                    f"`outcome` is {str(self)!r}, but the probabilities of a row add up to 1 but for {worst:.4g}; say"
                    " 'sigmoid' of classes that do not exclude each other."
                )

    def _favourable(self, classes: int) -> int:
        if self.favourable is None:
            of_logits = self.kind == "logit"
            what, say = "logits" if of_logits else "probabilities", f"outcome=Outcome({self.kind!r}, 1)"
            raise InputError(
                f"the network returns {classes} {what} a row; say which class is favourable (`favourable`, 0 to"
                f" {classes - 1}, as in TorchNetwork(net, {'favourable=1' if of_logits else say})), or merge its heads"
                " first if they are a task's and a group's (fairheads.twoheads)."
            )
        if not 0 <= self.favourable < classes:
            raise ConfigError(f"`favourable` must be a class from 0 to {classes - 1}, got {self.favourable}.")
        if self.threshold is not None and classes > 2 and self.kind != "sigmoid":
            raise ConfigError(f"{classes} classes that exclude each other have no threshold, got {self.threshold}.")
        return self.favourable

    def _moved(self, score: Tensor) -> Tensor:
        if self.threshold is None:
            return score
        return score - (math.log(self.threshold / (1 - self.threshold)) if self._is_probability else self.threshold)


def _column(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return list(classes).index(name)
    if re.fullmatch(r"\d+", name):
        return int(name)
    if not classes:
        raise ConfigError(f"the favourable class {name!r} has no number: give the names of the classes, or the number.")
    near = get_close_matches(name, classes, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"there is no class {name!r}.{hint} There are: {', '.join(classes)}.")


def _smallest(p: Tensor) -> float:
    return torch.finfo(p.dtype).smallest_normal


def _log(p: Tensor) -> Tensor:
    return p.double().clamp(min=_smallest(p)).log()


def _logit(p: Tensor) -> Tensor:
    margin = torch.finfo(p.dtype).eps
    p = p.double().clamp(margin, 1 - margin)
    return p.log() - torch.log1p(-p)
