"""What the paper's study trains, on which rows, and how: plain data that a folder of results is kept under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fairheads.errors import ConfigError
from fairheads.training import Massaged, Objective, Penalized, TwoHeaded, Unconstrained

DATA = ("adult", "compas", "fairface", "celeba")
PENALTIES = ("squared", "absolute")
"""The two that the paper trains with."""

WEIGHTS = (1.0, 3.0, 5.0, 10.0, 15.0, 30.0)
"""Of the penalty, beside 0."""

GAPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15)
"""Largest gaps that merges and thresholds are asked for on the validation rows."""

MOST_SEEDS = 100
LEAST = 100
"""Rows of a sample that interventions can be asked on."""


@dataclass(frozen=True, kw_only=True)
class PaperSetting:
    """Data, network and recipe of a study; see `SETTINGS` for those of each data set.

    Attributes
    ----------
    data : str
        One of `DATA`.
    network : str
        ``mlp`` for tables; for images ``resnet`` (`fairheads.nets.ResNet`), ``resnet50`` or ``mobilenet_v3_small``
        (torchvision's, from random weights).
    widths : tuple of int
        Of the hidden layers of the MLP, or of the stages of the ResNet.
    stem_stride : int
        Of the ResNet.
    size : int
        Height and width of images in pixels, 0 for tables.
    train_rows, validation_rows, test_rows : int
        Rows at most; 0 takes all there are. Of tables all are taken.
    epochs, batch_size, learning_rate
        Of `fairheads.training.train`, the same for every objective.
    weights : tuple of float
        Of the penalty on demographic parity, beside 0.
    penalties : tuple of str
    seeds : int
        Networks of every kind.
    sample : int
        Test rows that interventions run on.
    last_layer : bool
        Whether interventions look at the last layer alone, as the paper does, instead of at all. It is cheaper, and
        the verdict may then miss a head that earlier layers show.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    """

    data: str
    network: str = "mlp"
    widths: tuple[int, ...] = (128, 128, 128)
    stem_stride: int = 1
    size: int = 0
    train_rows: int = 0
    validation_rows: int = 0
    test_rows: int = 0
    epochs: int = 8
    batch_size: int = 512
    learning_rate: float = 1e-3
    weights: tuple[float, ...] = WEIGHTS
    penalties: tuple[str, ...] = PENALTIES
    seeds: int = 5
    sample: int = 20_000
    last_layer: bool = False

    def __post_init__(self) -> None:
        if self.data not in DATA:
            raise ConfigError(f"`data` must be one of {', '.join(DATA)}, got {self.data!r}.")
        images = self.data in ("fairface", "celeba")
        known = ("resnet", "resnet50", "mobilenet_v3_small") if images else ("mlp",)
        if self.network not in known:
            raise ConfigError(f"`network` must be one of {', '.join(known)} for {self.data}, got {self.network!r}.")
        if images != (self.size > 0):
            raise ConfigError(f"`size` is that of images in pixels, 0 for tables, got {self.size} for {self.data}.")
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise ConfigError(f"`seeds` must lie between 1 and {MOST_SEEDS}, got {self.seeds}.")
        known_weights = all(math.isfinite(weight) and weight > 0 for weight in self.weights)
        if not self.weights or not known_weights or len({f"{w:g}" for w in self.weights}) < len(self.weights):
            raise ConfigError(f"`weights` must differ and be above 0 (0 is always trained), got {self.weights}.")
        if not set(self.penalties) <= set(PENALTIES) or len(set(self.penalties)) < len(self.penalties):
            raise ConfigError(f"`penalties` must be of {', '.join(PENALTIES)}, each once, got {self.penalties}.")
        if "squared" not in self.penalties:
            raise ConfigError(f"`penalties` must have squared, which the claims are asked of, got {self.penalties}.")
        rows = (self.train_rows, self.validation_rows, self.test_rows)
        if min(rows) < 0 or (any(rows) and not images):
            raise ConfigError("`train_rows`, `validation_rows` and `test_rows` are of images, and at least 0.")
        if self.sample < LEAST or not self.widths or min(*self.widths, self.stem_stride) < 1:
            raise ConfigError(f"`sample` must be at least {LEAST}, `widths` and `stem_stride` at least 1.")
        if min(self.epochs, self.batch_size) < 1 or not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ConfigError("`epochs` and `batch_size` must be at least 1 and `learning_rate` above 0.")

    @property
    def largest(self) -> float:
        """The largest weight."""
        return max(self.weights)

    def tasks(self) -> tuple[Task, ...]:
        """Every network that is trained, one seed after the other, so that what is there first is a whole study."""
        kinds = [("unconstrained", 0.0), ("two-headed", 0.0)]
        kinds += [(penalty, weight) for penalty in self.penalties for weight in sorted(self.weights)]
        kinds += [("massaging", 0.0)]
        return tuple(Task(kind, weight, seed) for seed in range(self.seeds) for kind, weight in kinds)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PaperSetting:
        """The setting that `to_dict` made ``plain`` from."""
        made: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        try:
            return cls(**made)
        except TypeError as error:
            raise ConfigError(f"this is no setting of a study: {error}.") from error


@dataclass(frozen=True, order=True)
class Task:
    """One network: ``kind`` is unconstrained, squared, absolute, massaging or two-headed."""

    kind: str
    weight: float
    seed: int

    @property
    def name(self) -> str:
        """Names its files."""
        weight = f"-{self.weight:g}" if self.weight else ""
        return f"{self.kind}{weight}-{self.seed}"

    @property
    def is_constrained(self) -> bool:
        return self.kind not in ("unconstrained", "two-headed")

    def again(self, seed: int) -> Task:
        """The same kind from another seed."""
        return replace(self, seed=seed)

    def objective(self) -> Objective:
        """What it is trained by."""
        from fairheads.constraints import demographic_parity

        if self.kind in PENALTIES:
            return Penalized(demographic_parity(kind=self.kind), self.weight)
        made: dict[str, type[Objective]] = {"massaging": Massaged, "two-headed": TwoHeaded}
        return made.get(self.kind, Unconstrained)()


SETTINGS: Mapping[str, PaperSetting] = {
    "adult": PaperSetting(data="adult"),
    "compas": PaperSetting(data="compas", epochs=30, batch_size=128),
    "fairface": PaperSetting(
        data="fairface",
        network="resnet",
        widths=(16, 32, 64, 128),
        stem_stride=4,
        size=64,
        train_rows=32_000,
        validation_rows=8_000,
        epochs=5,
        batch_size=128,
        learning_rate=3e-3,
        sample=5_000,
        last_layer=True,
    ),
    "celeba": PaperSetting(
        data="celeba",
        network="resnet50",
        size=224,
        validation_rows=5_000,
        test_rows=10_000,
        epochs=5,
        batch_size=128,
        sample=5_000,
        last_layer=True,
    ),
}
"""What is run unless told otherwise: Adult by sex, COMPAS by race (its two largest), FairFace (an age of 30 or more) by
gender at 64 pixels on two cores, CelebA (smiling) by sex at full size, which wants a GPU."""
