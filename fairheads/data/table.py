"""Tables: CSV and Parquet files with a label column and one or more protected columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Dataset
from fairheads.data.preprocess import MISSING, TableEncoder
from fairheads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """Named columns with the label and group of every row, not yet encoded.

    Attributes
    ----------
    columns : dict of name to array (n,)
        Everything that may be an input; numbers as numbers, the rest as text.
    y, group, group_names : label in {0, 1}, group code and names of the codes
    not_inputs : tuple of str
        Columns of ``columns`` that are kept from the network: the protected ones by default, and dropped ones.
    test_rows : bool array (n,), optional
        The published test split, where there is one.
    """

    columns: dict[str, NDArray[Any]]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]
    not_inputs: tuple[str, ...]
    name: str
    source: str
    test_rows: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def encode(self, encoder: TableEncoder, rows: NDArray[Any] | None = None) -> Dataset:
        """The rows (all, or a mask) as the data set that ``encoder`` makes of them."""
        index = np.arange(len(self)) if rows is None else np.flatnonzero(rows)
        known = {k: v[index] for k, v in self.columns.items() if k not in self.not_inputs or k in encoder.inputs}
        return Dataset(
            encoder.transform(known),
            self.y[index],
            self.group[index],
            group_names=self.group_names,
            feature_names=encoder.feature_names,
            name=self.name,
            row_id=index,
            preprocess=encoder,
        )

    def held_out(self, *, share: float = 0.2, seed: int = 0) -> NDArray[np.bool_]:
        """Mask of the test rows: the published split, else a seeded random ``share`` of the rows."""
        if self.test_rows is not None:
            return self.test_rows
        if not 0 < share < 1:
            raise InputError(f"`share` must lie between 0 and 1, got {share}.")
        order = np.random.default_rng(seed).permutation(len(self))
        mask = np.zeros(len(self), bool)
        mask[order[: max(1, round(share * len(self)))]] = True
        return mask

    def split(self, *, share: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Training and test data; the encoder is fitted on the training rows alone.

        A published split is used as it is; otherwise ``share`` of the rows, drawn with ``seed``, is held out.
        """
        test = self.held_out(share=share, seed=seed)
        encoder = TableEncoder.fit({k: v[~test] for k, v in self.columns.items()}, ignore=self.not_inputs)
        return self.encode(encoder, ~test), self.encode(encoder, test)


def read_table(
    path: str | Path,
    *,
    label: str,
    group: Sequence[str],
    favourable: str | None = None,
    drop: Sequence[str] = (),
    group_in_inputs: bool = False,
) -> Table:
    """A CSV (also compressed) or Parquet file as a `Table`.

    Parameters
    ----------
    label, group : str, sequence of str
        The column of the recorded outcome (two values), and the protected column or columns; several make
        intersections named ``Female, Black``.
    favourable : str, optional
        The value of ``label`` that is the favourable outcome; may be left out for 0/1 and true/false.
    drop : sequence of str
        Columns that are no inputs (identifiers, weights).
    group_in_inputs : bool
        Whether the network may see the protected columns. False hides them; proxies stay.

    Raises
    ------
    InputError
        If the file cannot be read, a column does not exist, or the label does not have two values.
    """
    file = Path(path)
    frame = _read(file)
    missing = [c for c in (label, *group, *drop) if c not in frame.columns]
    if missing:
        shown = ", ".join(map(str, frame.columns[:12])) + (", ..." if len(frame.columns) > 12 else "")
        raise InputError(f"{file.name} has no column {missing[0]!r}; it has: {shown}.")
    return table_of(
        frame,
        label=label,
        group=group,
        favourable=favourable,
        drop=drop,
        group_in_inputs=group_in_inputs,
        name=file.name,
        source=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def table_of(
    frame: pd.DataFrame,
    *,
    label: str,
    group: Sequence[str],
    favourable: str | None,
    drop: Sequence[str],
    group_in_inputs: bool,
    name: str,
    source: str,
    test_rows: NDArray[np.bool_] | None = None,
) -> Table:
    """The `Table` of a data frame, for readers of any format."""
    if label in group:
        raise InputError(f"column {label!r} cannot be both the label and the group.")
    if frame.empty:
        raise InputError(f"{name} has no rows.")
    columns = {str(c): _column(frame[c]) for c in frame.columns if c != label}
    groups, group_names = _groups([columns[c] for c in group], group)
    return Table(
        columns=columns,
        y=_outcome(_column(frame[label]), label, favourable),
        group=groups,
        group_names=group_names,
        not_inputs=tuple(drop) + (() if group_in_inputs else tuple(group)),
        name=name,
        source=source,
        test_rows=test_rows,
    )


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.is_file():
        raise InputError(f"there is no file {str(file)!r}.")
    try:
        if ".parquet" in file.suffixes:
            return pd.read_parquet(file)
        return pd.read_csv(file, skipinitialspace=True)
    except ImportError as error:
        raise InputError("reading Parquet needs pyarrow: pip install 'fairheads[parquet]'.") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file.name} cannot be read as a table: {reason}") from error


def _column(series: pd.Series[Any]) -> NDArray[Any]:
    if series.dtype.kind in "iufb" and series.dtype.type is not np.object_:
        return series.to_numpy()
    return np.array([MISSING if v is None or v != v else str(v) for v in series.tolist()])


def _outcome(values: NDArray[Any], label: str, favourable: str | None) -> NDArray[np.int64]:
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise InputError(f"the label column {label!r} has {int(np.isnan(values).sum())} missing values.")
    text = np.array([_plain(v) for v in values.tolist()])
    distinct = np.unique(text).tolist()
    shown = ", ".join(repr(v) for v in distinct[:5]) + (", ..." if len(distinct) > 5 else "")
    if len(distinct) != 2:
        raise InputError(f"the label column {label!r} must have two values, got {len(distinct)}: {shown}.")
    if favourable is None:
        pairs = {"0": "1", "False": "True", "false": "true", "no": "yes", "No": "Yes"}
        favourable = pairs.get(distinct[0])
        if favourable != distinct[1]:
            raise InputError(f"which value of {label!r} is favourable? Say `favourable` as one of {shown}.")
    if favourable not in distinct:
        raise InputError(f"`favourable` must be a value of {label!r} ({shown}), got {favourable!r}.")
    return (text == favourable).astype(np.int64)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _groups(columns: list[NDArray[Any]], names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    for values, name in zip(columns, names, strict=True):
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise InputError(f"the group column {name!r} has {int(np.isnan(values).sum())} missing values.")
    text = [np.array([_plain(v) for v in values.tolist()]) for values in columns]
    joined = text[0] if len(text) == 1 else np.array([", ".join(row) for row in zip(*text, strict=True)])
    values, codes = np.unique(joined, return_inverse=True)
    return codes.astype(np.int64), tuple(values.tolist())
