"""Random tables of labels, decisions, scores and groups for the tests of sums and metrics."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fairheads.metrics import disparity_report
from fairheads.results import RATES, DisparityReport

SEEDS = st.integers(0, 2**32 - 1)

COUNTED = tuple(name for name in RATES if name not in ("generalized_entropy", "theil"))
"""Rates without a draw of replicates: reports of them are quick."""


@dataclass(frozen=True)
class Table:
    """Rows of a table, larger groups with larger rates; scores are shares of 64, so that their sums are exact."""

    y: NDArray[Any]
    decision: NDArray[Any]
    group: NDArray[Any]
    score: NDArray[Any]
    weight: NDArray[Any]
    control: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Any) -> "Table":
        return Table(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def report(self, *, weighted: bool = False, scored: bool = False, **settings: Any) -> DisparityReport:
        """The report of the rows; without replicates, and of rates that need none, unless the settings say so."""
        usual: dict[str, Any] = {"replicates": 0, "sensitive_features": self.group}
        usual |= {} if scored else {"metrics": COUNTED}
        usual |= {"y_score": self.score} if scored else {}
        usual |= {"sample_weight": self.weight} if weighted else {}
        return disparity_report(self.y, self.decision, **(usual | settings))


def table(seed: int, n: int, groups: int, skew: float = 0.2) -> Table:
    rng = np.random.default_rng(seed)
    group = rng.choice(groups, n, p=np.arange(1, groups + 1) / (groups * (groups + 1) / 2))
    y = (rng.random(n) < 0.3 + skew * group / groups).astype(int)
    decision = (rng.random(n) < 0.25 + 0.4 * y + skew * group / groups).astype(int)
    score = np.clip(rng.integers(0, 50, n) + 14 * y, 0, 64) / 64
    return Table(
        y,
        decision,
        np.array([f"g{g}" for g in group]),
        score,
        rng.lognormal(0.0, 0.5, n),
        rng.integers(0, 3, n),
    )


TABLES = st.builds(table, SEEDS, st.integers(2, 120), st.integers(1, 5), st.floats(0, 0.3))


def assert_alike(one: Any, other: Any, tolerance: float = 1e-9, where: str = "") -> None:
    """Two plain results are the same but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_alike(one[key], other[key], tolerance, f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_alike(a, b, tolerance, f"{where}[{i}]")
    elif isinstance(one, float) and isinstance(other, float):
        near = math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
        assert near or (math.isnan(one) and math.isnan(other)), f"{where}: {one} and {other}"
    else:
        assert one == other, f"{where}: {one!r} and {other!r}"
