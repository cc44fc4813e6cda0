"""What an audit finds of heads that were planted in the caller's own networks, and of none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.results import _selftest_figure, _selftest_views
from fairheads.results._saving import save_texts
from fairheads.results.number import Number
from fairheads.results.pathway import Verdict
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FOUND: tuple[Verdict, ...] = ("compensating_head", "consistent_with_compensating_head")
"""Verdicts that count as a head found."""

SUSPECTED: Verdict = "head_or_suppression"
"""Neither found nor denied: an effect of a head, in a network that may have lost merit as well."""

UNDECIDED: tuple[Verdict, ...] = ("inconclusive", "not_testable")
"""Verdicts that count as undecided; all others say that there is no compensating head."""


@dataclass(frozen=True, kw_only=True)
class SelftestClass:
    """Networks of one kind with one answer, and what the verdict said of them.

    Attributes
    ----------
    name : str
        MERGE or PLANT; of networks without a head U, UNUSED or PERM.
    head : bool
        Whether there is a compensating head.
    strength : float
        Share of what demographic parity needs; 0 where there is no head.
    verdicts : dict of verdict to count
    reasons : dict of reason to count
        Of the verdicts that say of no head, commonest first.
    found : Number
        Share of the runs in which a head was found, with the exact interval of Clopper and Pearson.
    added : tuple of float
        What was planted, a number a run: the turned difference that the head makes between people of both groups with
        the same score without it, in standard deviations of the logit. Above 0 is compensating.
    failed : tuple of str
        Why nothing could be planted, a reason a network; these are no runs.
    """

    name: str
    head: bool
    strength: float
    verdicts: dict[str, int]
    reasons: dict[str, int]
    found: Number
    added: tuple[float, ...]
    failed: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Runs."""
        return self.found.n

    @property
    def heads(self) -> int:
        """Runs in which a head was found: truly where there is one, falsely where there is none."""
        return sum(self.verdicts.get(verdict, 0) for verdict in FOUND)

    @property
    def suspected(self) -> int:
        """Runs that ended in ``head_or_suppression``."""
        return self.verdicts.get(SUSPECTED, 0)

    @property
    def undecided(self) -> int:
        """Runs that ended in ``inconclusive`` or ``not_testable``."""
        return sum(self.verdicts.get(verdict, 0) for verdict in UNDECIDED)

    @property
    def denied(self) -> int:
        """Runs with a verdict that says there is no compensating head."""
        return self.n - self.heads - self.suspected - self.undecided

    @property
    def mean_added(self) -> float:
        """Mean of ``added``; NaN without runs."""
        return math.fsum(self.added) / len(self.added) if self.added else math.nan


@dataclass(frozen=True, kw_only=True, repr=False)
class SelftestReport(Report):
    """Whether an audit of this network on these rows, beside these twins, would find a head, and whether it finds none.

    Attributes
    ----------
    model, data : str
    group, reference : str
    n : int
        Audited rows of the two groups.
    fitted_on : int
        Rows that the planted heads were fitted on.
    split : bool
        Whether these were taken from the audit's rows for want of training rows, so that it has fewer.
    twins : int
        Each is planted in, and audited beside all the others.
    layers : tuple of str
    alpha : float
        Level of one audit, after Holm's correction where there are several groups.
    margin : float
        Smallest swap effect worth the name, the unit in which summaries tell ``added``.
    seed : int
    verdict : str
        On the model itself, beside all twins.
    classes : tuple of SelftestClass
    measured : int
        Networks that were measured.
    provenance : dict of str to str
        Digests of the ``model``'s weights and of the ``rows``.
    seconds : float
        What all that took; not in what is saved, where the same inputs give the same bytes.

    Notes
    -----
    The runs of a class share their rows and twins, so that the exact intervals, which are those of independent runs,
    are too narrow for other rows and twins.
    """

    schema: Literal["fairheads/selftest/1"] = "fairheads/selftest/1"
    model: str
    data: str
    group: str
    reference: str
    n: int
    fitted_on: int
    split: bool
    twins: int
    layers: tuple[str, ...]
    alpha: float
    margin: float
    seed: int
    verdict: Verdict
    classes: tuple[SelftestClass, ...]
    measured: int
    provenance: dict[str, str] = field(default_factory=dict)
    seconds: float = field(default=math.nan, metadata=HIDDEN, compare=False)

    SCHEMA: ClassVar[str] = "fairheads/selftest/1"
    FILE: ClassVar[str] = "selftest.json"
    OF: ClassVar[str] = "a self-test"

    @property
    def planted(self) -> tuple[str, ...]:
        """Names of the kinds of planted heads."""
        return tuple(dict.fromkeys(each.name for each in self.classes if each.head))

    @property
    def false_heads(self) -> int:
        """Heads found in networks that have none."""
        return sum(each.heads for each in self.classes if not each.head)

    @property
    def nulls(self) -> int:
        """Runs of networks that have no head."""
        return sum(each.n for each in self.classes if not each.head)

    def smallest(self, name: str) -> SelftestClass | None:
        """The weakest class of a kind of head that was found in every run; None if none was."""
        found = [each for each in self.of(name) if each.n and each.heads == each.n]
        return found[0] if found else None

    def of(self, name: str) -> tuple[SelftestClass, ...]:
        """The classes of a kind of head, weakest first."""
        kind = [each for each in self.classes if each.head and each.name == name]
        return tuple(sorted(kind, key=lambda each: each.strength))

    def summary(self) -> str:
        """Power and false heads as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join(_selftest_views.text_lines(self))

    def html(self) -> str:
        """Figure and tables as an HTML fragment; everything that came from data is escaped."""
        return _selftest_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON."""
        return _selftest_views.html_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The weights and the rows, by their digests."""
        return {
            "another model": (self.provenance.get("model", ""), f"{self.model}, other weights"),
            "other rows": (self.provenance.get("rows", ""), self.data),
        }

    def markdown(self) -> str:
        """The same as Markdown with a title; names from data stay inert."""
        return _selftest_views.markdown_page(self)

    def save(self, folder: str | Path) -> tuple[Path, Path, Path]:
        """Write ``selftest.json``, ``selftest.html`` and ``selftest.md``, whole or not at all; none has the seconds.

        Raises
        ------
        InputError
            If the folder cannot be written to.
        """
        kept = replace(self, seconds=math.nan)
        texts = {"selftest.json": kept.to_json(), "selftest.html": kept.page(), "selftest.md": kept.markdown()}
        first, second, third = save_texts(folder, texts)
        return first, second, third

    def plot(self, ax: Axes | None = None) -> Axes:
        """Share of planted heads that was found against their strength, with intervals; false heads at 0.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _selftest_figure.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a class: runs by what was said, the share found with its interval, and the mean of what was planted."""
        import pandas as pd

        rows = [
            {
                "name": each.name,
                "head": each.head,
                "strength": each.strength,
                "n": each.n,
                "found": each.heads,
                "suspected": each.suspected,
                "undecided": each.undecided,
                "share": each.found.value,
                "low": math.nan if each.found.low is None else each.found.low,
                "high": math.nan if each.found.high is None else each.found.high,
                "added": each.mean_added,
            }
            for each in self.classes
        ]
        columns = ["name", "head", "strength", "n", "found", "suspected", "undecided", "share", "low", "high", "added"]
        return pd.DataFrame(rows, columns=columns)
