"""The named constraints on rates. They are classes in lower case because they are used as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairheads.constraints.rates import RateConstraint
from fairheads.constraints.statistics import (
    ACCURACY,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Statistic,
)
from fairheads.errors import ConfigError


class demographic_parity(RateConstraint):  # noqa: N801
    """Equal selection rates. For two groups ``(mean p|1 - mean p|0)^2`` or its absolute value, p = sigmoid(logit).

    Settings are those of `RateConstraint`. With ``link="identity"`` the output is a score: equal means in regression.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 3.

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([0.0, 0.0, 100.0, 100.0])
    >>> demographic_parity(kind="absolute")(z, torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.5000)
    """

    name = "demographic_parity"
    statistics = (SELECTION_RATE,)


class equalized_odds(RateConstraint):  # noqa: N801
    """Equal true positive and equal false positive rates; settings are those of `RateConstraint`.

    References
    ----------
    Hardt, Price and Srebro, NeurIPS 2016, definition 2.1.

    Examples
    --------
    >>> import torch
    >>> z, y = torch.tensor([9.0, -99.0, 99.0, -99.0]), torch.tensor([1, 0, 1, 0])
    >>> round(float(equalized_odds()(z, y, torch.tensor([0, 0, 1, 1]))), 6)
    0.0
    """

    name = "equalized_odds"
    statistics = (TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE)


class equal_opportunity(RateConstraint):  # noqa: N801
    """Equal true positive rates; settings are those of `RateConstraint`.

    References
    ----------
    Hardt, Price and Srebro, NeurIPS 2016, definition 2.2.
    """

    name = "equal_opportunity"
    statistics = (TRUE_POSITIVE_RATE,)


class predictive_equality(RateConstraint):  # noqa: N801
    """Equal false positive rates; settings are those of `RateConstraint`.

    References
    ----------
    Corbett-Davies et al., KDD 2017, section 2.2.
    """

    name = "predictive_equality"
    statistics = (FALSE_POSITIVE_RATE,)


class accuracy_equality(RateConstraint):  # noqa: N801
    """Equal accuracy; settings are those of `RateConstraint`.

    References
    ----------
    Berk et al., Sociological Methods & Research 2021, section 3 (overall accuracy equality).
    """

    name = "accuracy_equality"
    statistics = (ACCURACY,)


class conditional_parity(RateConstraint):  # noqa: N801
    """Equal selection rates within every stratum, weighted by its share of rows.

    ``strata`` is their number, at least 2; None leaves it to `fairheads.training.train`, which counts those of the
    data. The other settings are those of `RateConstraint`. Every other named constraint takes ``strata`` as well.

    References
    ----------
    Kamiran, Zliobaite and Calders, KAIS 2013; Corbett-Davies et al., KDD 2017, section 2.2.

    Examples
    --------
    >>> import torch
    >>> z, group, strata = torch.tensor([9.0, 9.0, -9.0, -9.0]), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    >>> float(conditional_parity(strata=2)(z, torch.zeros(4), group, strata))
    0.0
    """

    name = "conditional_parity"
    statistics = (SELECTION_RATE,)

    def __init__(
        self,
        *,
        strata: int | None = None,
        kind: str = "squared",
        tolerance: float = 0.0,
        smoothing: float = 0.01,
        memory: float = 0.0,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
    ) -> None:
        if strata is not None and strata < 2:
            raise ConfigError(f"`strata` must be at least 2, got {strata}; use `demographic_parity` for one.")
        super().__init__(
            kind=kind,
            tolerance=tolerance,
            smoothing=smoothing,
            memory=memory,
            groups=groups,
            favourable=favourable,
            link=link,
            temperature=temperature,
            strata=1 if strata is None else strata,
        )
        self.conditional = True


class linear_fractional(RateConstraint):  # noqa: N801
    """Equal statistics of the caller's own making; the other settings are those of `RateConstraint`.

    Parameters
    ----------
    statistics : sequence of Statistic
        Each is compared between the groups; the penalties add up.

    References
    ----------
    Celis et al., FAT* 2019, section 2; Buyl and De Bie, ICLR 2024.

    Examples
    --------
    >>> import torch
    >>> precision = Statistic(name="precision", numerator=(1, 0, 0, 0), denominator=(1, 1, 0, 0))
    >>> p, y = torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([1, 0, 1, 1])
    >>> linear_fractional([precision], kind="absolute", link="identity")(p, y, torch.tensor([0, 0, 1, 1]))
    tensor(0.5000)
    """

    name = "linear_fractional"

    def __init__(
        self,
        statistics: Sequence[Statistic],
        *,
        kind: str = "squared",
        tolerance: float = 0.0,
        smoothing: float = 0.01,
        memory: float = 0.0,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
        strata: int = 1,
    ) -> None:
        if not statistics:
            raise ConfigError("`statistics` must hold at least one statistic.")
        self.statistics = tuple(statistics)
        super().__init__(
            kind=kind,
            tolerance=tolerance,
            smoothing=smoothing,
            memory=memory,
            groups=groups,
            favourable=favourable,
            link=link,
            temperature=temperature,
            strata=strata,
        )

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "statistics": [statistic.to_dict() for statistic in self.statistics]}
