"""What a disparity report is made of: groups, metrics, gaps, contrasts and curves."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairheads.results.number import OMIT, Number

RATES: dict[str, str] = {
    "selection_rate": "share with the favourable decision",
    "accuracy": "share decided as recorded",
    "balanced_accuracy": "mean of the true positive and the true negative rate",
    "true_positive_rate": "share of the recorded favourable that are decided so",
    "false_positive_rate": "share of the recorded unfavourable that are decided favourably",
    "true_negative_rate": "share of the recorded unfavourable that are decided so",
    "false_negative_rate": "share of the recorded favourable that are decided unfavourably",
    "positive_predictive_value": "share of the favourable decisions that are recorded so",
    "negative_predictive_value": "share of the unfavourable decisions that are recorded so",
    "base_rate": "share recorded as favourable",
    "error_ratio": "false negatives for each false positive",
    "generalized_entropy": "inequality of benefit (decision - label + 1) between people, alpha = 2",
    "theil": "the same by Theil's index, alpha = 1",
}
"""What is made of labels and decisions, and what it means."""

SCORES: dict[str, str] = {
    "mean_score": "mean of the score",
    "auc": "chance that the score of a recorded favourable row is above that of another, ties a half",
    "brier": "mean squared difference of score and label",
    "expected_calibration_error": "mean distance of score and label over 15 bins of the score",
}
"""What is made of scores; the Brier and calibration errors need probabilities."""

CRITERIA: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "predictive_parity": ("positive_predictive_value",),
    "accuracy_equality": ("accuracy",),
    "treatment_equality": ("error_ratio",),
}
"""Which metrics a criterion asks to be equal; where it names several, its gap is the largest of theirs."""

GAPS: dict[str, tuple[str, ...]] = {**CRITERIA, "predictive_equality": ("false_positive_rate",)}
"""Names of gaps with the metrics that make them; any metric is a name of its own gap as well."""


def gap_named(text: str) -> str:
    """The name in `GAPS` of what is called so, by hyphens or by the one metric that makes it; other names as they are.

    Examples
    --------
    >>> gap_named("equal-opportunity"), gap_named("selection_rate"), gap_named("auc")
    ('equal_opportunity', 'demographic_parity', 'auc')
    """
    name = str(text).replace("-", "_")  # what is no text is no name either, and is refused where names are known
    return next((gap for gap, metrics in GAPS.items() if metrics == (name,)), name)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Who is in a group.

    Attributes
    ----------
    n : int
        Rows whose weight, and probability of membership where groups are probabilities, is not 0.
    share : float
        Share of all rows (of the weight, of the membership).
    parts : dict of column to value
        What the group is made of: ``{"sex": "Female", "race": "Black"}``.
    counts : dict of str to float
        ``true_positives`` and the other three, or ``selected`` and ``not_selected`` without labels; sums of weights
        where rows have weights.
    recorded : bool
        False for rows whose group is not recorded: they have a row of their own and are compared with nobody.
    """

    n: int
    share: float
    parts: dict[str, str]
    counts: dict[str, int | float]
    recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class GapNull:
    """What groups of these sizes show when they do not differ, by permutation.

    Attributes
    ----------
    mean, high : float
        Mean of the largest difference, which is the bias of the observed one where there is none, and its 95 %
        quantile.
    p, smallest_p : float
        Share of permutations (the observed one among them) in which the groups lie as far from their common value,
        weighted by rows, and the least that share can be. Small groups, which make the largest difference, weigh
        little in it.
    """

    mean: float
    high: float
    p: float
    smallest_p: float


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Largest difference and smallest ratio of a metric between two groups, and which groups make it.

    Both intervals hold simultaneously over all pairs of groups; ``highest`` and ``lowest`` are empty where all groups
    have one value or there is none.
    """

    difference: Number
    ratio: Number
    highest: str
    lowest: str
    null: GapNull | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One group against another, or against everybody.

    Attributes
    ----------
    difference, ratio : Number
        Group minus, and over, the other; each with its own 95 % interval.
    p : Number
        Of no difference, two-sided, with Holm's correction for the groups that are compared.
    detectable : Number
        Smallest difference that samples of these sizes show with power .8 at level .05, before Holm's correction.
    """

    difference: Number
    ratio: Number
    p: Number
    detectable: Number


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of everybody and of every group, the gap between groups, and each group against a reference."""

    meaning: str
    overall: Number
    groups: dict[str, Number]
    gap: Gap
    to_reference: dict[str, Contrast]
    to_overall: dict[str, Contrast]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What a criterion of the literature asks to be 0 (difference) or 1 (ratio), over all groups and its metrics."""

    metrics: tuple[str, ...]
    difference: Number
    ratio: Number


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Selection rates among rows that are alike in the control columns."""

    n: int
    groups: dict[str, Number]
    gap: Gap


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """Demographic parity among rows that are alike in ``columns``.

    Attributes
    ----------
    strata : dict of str to Stratum
    to_reference : dict of group to Contrast
        Over all strata together: Mantel and Haenszel's difference and ratio of selection rates.
    """

    columns: tuple[str, ...]
    strata: dict[str, Stratum]
    to_reference: dict[str, Contrast]


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Rows with scores between two edges: their mean score, and the share of them recorded as favourable."""

    score: float
    observed: Number


@dataclass(frozen=True, kw_only=True)
class Curves:
    """ROC curve (at most 201 points, from (0, 0) to (1, 1)) and calibration of the score in one group."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far the scores of a group lie from those of the reference, wherever along the range they differ.

    Attributes
    ----------
    kolmogorov_smirnov : Number
        Largest difference of the two distribution functions.
    wasserstein : Number
        Area between them: the mean distance by which scores must move, in units of the score.
    p : Number
        Kolmogorov and Smirnov's test of one distribution, with Holm's correction for the groups.
    """

    kolmogorov_smirnov: Number
    wasserstein: Number
    p: Number
