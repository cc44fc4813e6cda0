"""Tables: CSV and Parquet files with a label column and one or more protected columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.columns import MISSING_TEXTS, check_columns, check_once
from fairheads.data.csv_frames import check_width, csv_settings
from fairheads.data.dataset import Dataset
from fairheads.data.files import is_parquet, reading, what_is
from fairheads.data.outcomes import favourable_of
from fairheads.data.parquet_batches import parquet_columns
from fairheads.data.preprocess import MISSING, TableEncoder
from fairheads.data.room import Room
from fairheads.data.shown import ShownRows
from fairheads.data.unpacked import refuse_bomb
from fairheads.errors import ConfigError, InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_GROUPS = 100
"""Most groups of a table: more are no groups but numbers or names."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Table(ShownRows):
    """Named columns with the label and group of every row, not yet encoded.

    Attributes
    ----------
    columns : dict of name to array (n,)
        Everything that may be an input; numbers as numbers, the rest as text.
    y, group, group_names : label in {0, 1}, group code and names of the codes
    label, favourable : the column of the outcome and the value of it that is favourable
    not_inputs : tuple of str
        Columns of ``columns`` that are kept from the network: the protected ones by default, and dropped ones.
    test_rows : bool array (n,), optional
        The published test split, where there is one.
    strata : int array (n,), optional
        Codes of the strata within which groups are compared; see `within`.
    """

    columns: dict[str, NDArray[Any]]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]
    not_inputs: tuple[str, ...]
    name: str
    source: str
    label: str
    favourable: str
    test_rows: NDArray[np.bool_] | None = None
    strata: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def _about(self) -> str:
        kept = f", kept from the network: {', '.join(self.not_inputs)}" if self.not_inputs else ""
        return f"favourable is {self.label} = {self.favourable}; {len(self.columns)} columns{kept}"

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
            strata=None if self.strata is None else self.strata[index],
            preprocess=encoder,
            unseen=encoder.unseen(known),
        )

    def parts(self, *, test: float = 0.2, validation: float = 0.0, seed: int = 0) -> dict[str, NDArray[np.bool_]]:
        """Masks of the rows to train on, to choose settings on and to audit: "train", "validation", "test".

        A published test split is used as it is; otherwise a share ``test`` of all rows is drawn with ``seed``. Then a
        share ``validation`` of the other rows is drawn.

        Raises
        ------
        InputError
            If a share lies outside [0, 1) or leaves no row to train on.
        """
        return parts_of(
            len(self), test=test, validation=validation, seed=seed, test_rows=self.test_rows, name=self.name
        )

    def split(self, *, test: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Training and test data; the encoder is fitted on the training rows alone. See `parts` for the rows."""
        masks = self.parts(test=test, seed=seed)
        encoder = self.fit_encoder(masks["train"])
        return self.encode(encoder, masks["train"]), self.encode(encoder, masks["test"])

    def within(self, columns: Sequence[str]) -> Table:
        """The same rows with a stratum each: the combination of values of these columns.

        Raises
        ------
        InputError
            If a column does not exist, or makes more strata than there can be rows to compare in them (100).
        """
        missing = [name for name in columns if name not in self.columns]
        if missing or not columns:
            raise InputError(
                f"{self.name} has no column {missing[0] if missing else ''!r}; it has {list(self.columns)}."
            )
        codes = np.zeros(len(self), np.int64)
        for name in columns:
            values, own = np.unique(self.columns[name].astype(str), return_inverse=True)
            codes = codes * len(values) + own
        present, codes = np.unique(codes, return_inverse=True)
        if len(present) > MAX_GROUPS:
            raise InputError(
                f"the columns {list(columns)} make {len(present):,} strata; at most {MAX_GROUPS} can be had."
            )
        return replace(self, strata=codes.astype(np.int64))

    def fit_encoder(self, rows: NDArray[np.bool_]) -> TableEncoder:
        """The encoder of these rows."""
        return TableEncoder.fit({k: v[rows] for k, v in self.columns.items()}, ignore=self.not_inputs)


def parts_of(
    n: int, *, test: float, validation: float, seed: int, test_rows: NDArray[np.bool_] | None, name: str
) -> dict[str, NDArray[np.bool_]]:
    """`Table.parts` of a table of which only the number of rows is at hand."""
    if not (0 <= test < 1 and 0 <= validation < 1):
        raise InputError(f"shares must lie in [0, 1), got test {test} and validation {validation}.")
    rng = np.random.default_rng(seed)
    held_out = test_rows if test_rows is not None else _drawn(np.ones(n, bool), test, rng)
    chosen = _drawn(~held_out, validation, rng)
    train = ~held_out & ~chosen
    if not train.any():
        raise InputError(f"{name} has too few rows ({n}) to hold some out and train on the rest.")
    return {"train": train, "validation": chosen, "test": held_out}


def _drawn(among: NDArray[np.bool_], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    rows = np.flatnonzero(among)
    mask = np.zeros(len(among), bool)
    mask[rng.permutation(rows)[: round(share * len(rows))]] = True
    return mask


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
        If the file cannot be read, a column does not exist or is there twice, a label or group is missing, or the label
        does not have two values.

    Notes
    -----
    Empty cells and the words NA, N/A, NULL, NaN and the like are missing; ``None`` is so in an input, and a value of
    the label and of the groups.
    """
    if isinstance(group, str):
        raise ConfigError(f"`group` must be a sequence of column names, such as [{group!r}], got a single string.")
    file = Path(path)
    frame = _read(file, named=(label, *group))
    check_columns([*dict.fromkeys((label, *group, *drop))], [str(c) for c in frame.columns], file.name)
    with reading(file):  # texts of Parquet are decoded as late as here
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
    for kind, column in (("label", label), *(("group", c) for c in group)):
        if missing := missing_in(frame[column]):
            refuse_missing(kind, column, missing)
    unnamed = [str(c) for c in frame.columns if str(c).startswith("Unnamed: ") and c not in drop]
    if unnamed:
        raise InputError(f"{name} has a column without a name ({unnamed[0]!r}); drop it or write the file without it.")
    room = Room()
    columns = {str(c): _column(frame[c], room) for c in frame.columns if c != label}
    groups, group_names = _groups([columns[c] for c in group])
    if len(group_names) > MAX_GROUPS:
        raise InputError(f"{', '.join(group)} make {len(group_names):,} groups; at most {MAX_GROUPS} can be compared.")
    y, chosen = _outcome(_column(frame[label], room), label, favourable)
    return Table(
        columns=columns,
        y=y,
        group=groups,
        group_names=group_names,
        not_inputs=tuple(drop) + (() if group_in_inputs else tuple(group)),
        name=name,
        source=source,
        label=label,
        favourable=chosen,
        test_rows=test_rows,
    )


def missing_in(series: pd.Series[Any]) -> int:
    """How many labels or groups are missing, or are a word for it, in every kind of file."""
    return int((series.isna() | series.isin(MISSING_TEXTS)).sum())


def refuse_missing(kind: str, column: str, count: int) -> None:
    """Says what to do about them."""
    raise InputError(
        f"the {kind} column {column!r} has {count} missing values (empty, or a word such as NA, nan or null); drop"
        " those rows, or give them a name of their own."
    )


def _read(file: Path, named: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if what_is(file) != "file":
        raise InputError(f"there is no file {str(file)!r}.")
    refuse_bomb(file)
    with reading(file):
        if is_parquet(file):
            check_once(parquet_columns(file), file.name)
            return pd.read_parquet(file)
        frame: pd.DataFrame = pd.read_csv(file, **csv_settings(file, named))
        check_width(frame, file)
        return frame


def _column(series: pd.Series[Any], room: Room) -> NDArray[Any]:
    missing = series.isna().to_numpy()
    if series.dtype.kind in "iuf" and missing.any():
        return series.to_numpy(np.float64, na_value=np.nan)  # pandas' nullable numbers, as a CSV gives them
    if series.dtype.kind in "iufb" and not missing.any():
        return series.to_numpy(series.dtype.type)
    texts = [MISSING if gone else str(v) for v, gone in zip(series.tolist(), missing, strict=True)]
    room.take(str(series.name), texts)
    return np.array(texts)


def _outcome(values: NDArray[Any], label: str, favourable: str | None) -> tuple[NDArray[np.int64], str]:
    """The labels as 0 and 1, and which value is 1."""
    text = np.array([_plain(v) for v in values.tolist()])
    chosen = favourable_of(np.unique(text).tolist(), label, favourable)
    return np.asarray(text == chosen, np.int64), chosen


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _groups(columns: list[NDArray[Any]]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    text = [np.array([_plain(v) for v in values.tolist()]) for values in columns]
    joined = text[0] if len(text) == 1 else np.array([", ".join(row) for row in zip(*text, strict=True)])
    values, codes = np.unique(joined, return_inverse=True)
    return codes.astype(np.int64), tuple(values.tolist())


def open_table(
    source: str,
    *,
    label: str | None,
    group: Sequence[str],
    favourable: str | None = None,
    drop: Sequence[str] = (),
    group_in_inputs: bool = False,
) -> Table:
    """The table that the command line means: ``adult``, or a file as `read_table` reads it.

    Raises
    ------
    InputError
        As `read_table`.
    ConfigError
        Where a file is named without its label or group column.
    """
    if source == "adult":
        from fairheads.data.adult import adult

        if label not in (None, "income") or not set(group) <= {"sex", "race"} or drop:
            raise ConfigError("adult has the label income and the groups sex and race; no other columns can be named.")
        return adult(sensitive=tuple(group) or "sex", group_in_inputs=group_in_inputs)
    if label is None or not group:
        raise ConfigError(f"{source!r} needs its label column and at least one group column named (--label, --group).")
    return read_table(
        source, label=label, group=group, favourable=favourable, drop=drop, group_in_inputs=group_in_inputs
    )
