"""UCI Adult (census income 1994), embedded: see ADULT.md beside this file for source and licence."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Sequence
from importlib import resources

from fairheads.data.table import Table, table_of
from fairheads.errors import ConfigError


def adult(*, sensitive: str | Sequence[str] = "sex", group_in_inputs: bool = False) -> Table:
    """Adult as a `Table`: does a person earn more than 50,000 dollars a year?

    Parameters
    ----------
    sensitive : "sex", "race" or ("sex", "race")
        The protected attribute; two of them make intersections.
    group_in_inputs : bool
        Whether the network may see the protected columns. False hides them; proxies such as
        ``relationship`` stay.

    Returns
    -------
    Table
        48,842 rows; ``.split()`` gives the published split of 32,561 training and 16,281 test rows. Missing values are
        the category ``?``. The sampling weight ``fnlwgt`` is no input.

    Notes
    -----
    Not shown: anything about people today. The labels are a survey's of 1994.

    References
    ----------
    Becker & Kohavi (1996), Adult, UCI Machine Learning Repository, doi 10.24432/C5XW20, CC BY 4.0.

    Examples
    --------
    >>> train_set, test_set = adult(sensitive="sex").split()
    >>> len(train_set), len(test_set), train_set.group_names
    (32561, 16281, ('Female', 'Male'))
    """
    import pandas as pd

    group = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    if not group or not set(group) <= {"sex", "race"}:
        raise ConfigError(f'`sensitive` must be "sex", "race" or ("sex", "race"), got {sensitive!r}.')
    packed = (resources.files("fairheads.data") / "adult.csv.xz").read_bytes()
    frame = pd.read_csv(io.BytesIO(lzma.decompress(packed)), keep_default_na=False)
    return table_of(
        frame,
        label="income",
        group=group,
        favourable=">50K",
        drop=("fnlwgt", "split"),
        group_in_inputs=group_in_inputs,
        name="adult",
        source=hashlib.sha256(packed).hexdigest(),
        test_rows=(frame["split"] == "test").to_numpy(),
    )
