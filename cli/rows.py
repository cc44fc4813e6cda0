"""The rows that a saved model is fed: by its own encoder, as the numbers they are, or by a function of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import names, opened

if TYPE_CHECKING:
    from fairheads.data import Dataset, Table
    from fairheads.models import Bundle, Opened

Command = TypeVar("Command", bound=Callable[..., Any])

WAYS = (
    "a model without an encoder is fed a table of numbers alone (--drop names columns that are no inputs; words such as"
    " yes and no are to be written as the numbers it was trained on), arrays in a .npz file, or what a function of"
    " yours returns (--loader pkg.mod:function)"
)

SHOWN = 12
"""Columns that are named in the report."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as the model takes them, which they are in words, and the table that the model's encoder made them of."""

    data: Dataset
    words: str
    table: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the options say of --data."""

    source: str
    label: str | None
    group: str | None
    favourable: str | None
    drop: str | None
    order: tuple[str, ...] = ()
    """Columns that the model was fitted on, where it names them."""

    def table(self, source: str | None = None) -> Table:
        """The table, read once, or another one of the same columns."""
        return self._own if source is None else self._opened(source)

    @cached_property
    def _own(self) -> Table:
        return self._opened(self.source)

    def _opened(self, source: str) -> Table:
        return opened(source, self.label, self.group, self.favourable, self.drop)


def model_options(command: Command) -> Command:
    """--factory and --loader: code of the user's own, for models and rows that do not come whole."""
    for option in reversed(
        (
            click.option(
                "--factory",
                metavar="PKG.MOD:FUNCTION",
                help="Your function that builds the network of weights alone (.safetensors, .npz, checkpoints).",
            ),
            click.option(
                "--loader",
                metavar="PKG.MOD:FUNCTION",
                help="Your function that gets --data as text and returns a Dataset, as the model takes it.",
            ),
        )
    ):
        command = option(command)
    return command


def bundle_of(model: Opened) -> Bundle | None:
    """The model, if it is a bundle."""
    from fairheads.models import Bundle

    return model if isinstance(model, Bundle) else None


def fitted_columns(model: Opened) -> tuple[str, ...]:
    """The columns, in order, that an MLP of scikit-learn was fitted on; other models name none."""
    from fairheads.activations import TorchNetwork
    from fairheads.models.scikit import Perceptron

    found = model.module if isinstance(model, TorchNetwork) else model
    return found.feature_names or () if isinstance(found, Perceptron) else ()


def rows_of(bundle: Bundle | None, columns: Columns, split: str, loader: str | None) -> Rows:
    """The rows that are audited.

    Raises
    ------
    FairheadsError
        If --data cannot be read, or not as the model takes it.
    """
    if loader is not None:
        return _loaded(loader, columns)
    if columns.source.endswith(".npz"):
        return _arrays(columns)
    table = _structured(columns) if columns.source.endswith(".npy") else columns.table()
    if bundle is None or bundle.preprocess is None:
        return _numbers(table, columns.order)
    data, words = bundle.encode(table, split)
    return Rows(data=data, words=words, table=table)


def _numbers(table: Table, order: tuple[str, ...]) -> Rows:
    """All inputs of a table as one matrix of float32, in this order where it names them all, else in the columns'."""
    import numpy as np

    from fairheads.data import Dataset
    from fairheads.errors import InputError

    inputs = {name: values for name, values in table.columns.items() if name not in table.not_inputs}
    text = [name for name, values in inputs.items() if values.dtype.kind not in "iufb"]
    if text or not inputs:
        what = f"the column {text[0]!r}, which is text" if text else "no column beside the label and the group"
        raise InputError(f"{table.name} has {what}; {WAYS}.")
    if set(order) == set(inputs):
        inputs = {name: inputs[name] for name in order}
    data = Dataset(
        np.stack([values.astype(np.float32) for values in inputs.values()], axis=1),
        table.y,
        table.group,
        group_names=table.group_names,
        feature_names=list(inputs),
        name=table.name,
    )
    fed = ", ".join(list(inputs)[:SHOWN]) + (", ..." if len(inputs) > SHOWN else "")
    rows = f"all {len(table):,} rows of {table.name}"
    return Rows(data=data, words=f"{rows}, whose {len(inputs)} columns were fed as they are, in this order: {fed}")


def _arrays(columns: Columns) -> Rows:
    """The arrays of a .npz file: label, groups, and all others as inputs under their names."""
    import pandas as pd

    from fairheads.data import Dataset
    from fairheads.data.arrays import arrays_in
    from fairheads.data.columns import listed
    from fairheads.data.files import tables_in
    from fairheads.data.table import table_of
    from fairheads.errors import InputError

    (file,) = tables_in(Path(columns.source))
    held = arrays_in(file)
    label, group = columns.label or "y", names(columns.group) or ("group",)
    said = (label, *group, *names(columns.drop))
    if missing := [name for name in said if name not in held]:
        raise InputError(
            f"{file.name} has no array {missing[0]!r}; it has: {listed(list(held))} (--label and --group name arrays)."
        )
    for name in (label, *group):
        if held[name].ndim != 1 or len(held[name]) != len(held[label]):
            raise InputError(f"array {name!r} of {file.name} must have one value a row, got {held[name].shape}.")
    inputs = {name: values for name, values in held.items() if name not in said}
    if not inputs:
        raise InputError(f"{file.name} has no array beside the label and the group; {WAYS}.")
    table = table_of(
        pd.DataFrame({name: held[name] for name in (label, *group)}),
        label=label,
        group=group,
        favourable=columns.favourable,
        drop=(),
        group_in_inputs=False,
        name=file.name,
        source="",
    )
    data = Dataset(inputs, table.y, table.group, group_names=table.group_names, name=file.name)
    fed = ", ".join(f"{name} {values.shape[1:]}" for name, values in inputs.items())
    return Rows(data=data, words=f"all {len(data):,} rows of {file.name}, whose arrays were fed as they are: {fed}")


def _structured(columns: Columns) -> Table:
    """A .npy file of named columns as a table."""
    import pandas as pd

    from fairheads.data.arrays import columns_in
    from fairheads.data.columns import check_columns
    from fairheads.data.files import tables_in
    from fairheads.data.table import table_of
    from fairheads.errors import ConfigError, InputError

    (file,) = tables_in(Path(columns.source))
    found = columns_in(file)
    if not found:
        raise InputError(
            f"{file.name} is one array, without names for the label and the group; save all in one file:"
            " numpy.savez('rows.npz', x=x, y=y, group=group)."
        )
    group, drop = names(columns.group), names(columns.drop)
    if columns.label is None or not group:
        raise ConfigError(f"{columns.source!r} needs its label and group columns named (--label, --group).")
    check_columns([*dict.fromkeys((columns.label, *group, *drop))], list(found), file.name)
    return table_of(
        pd.DataFrame(found),
        label=columns.label,
        group=group,
        favourable=columns.favourable,
        drop=drop,
        group_in_inputs=False,
        name=file.name,
        source=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def _loaded(loader: str, columns: Columns) -> Rows:
    """What the user's own function makes of --data."""
    from fairheads.data import Dataset
    from fairheads.errors import ConfigError, InputError
    from fairheads.models.named import failing_in_one_line, function_named

    given = {"--label": columns.label, "--group": columns.group, "--favourable": columns.favourable}
    for option, value in {**given, "--drop": columns.drop}.items():
        if value is not None:
            raise ConfigError(f"`--loader` returns rows with their labels and groups; leave `{option}` out.")
    function = function_named(loader, "--loader")
    click.echo(f"Note: running {loader!r}, code of your own, to read {columns.source!r}.", err=True)
    with failing_in_one_line(loader, "--loader", repr(columns.source), InputError):
        data = function(columns.source)
    if not isinstance(data, Dataset):
        raise ConfigError(f"`--loader` {loader!r} must return a fairheads.data.Dataset, got {type(data).__name__}.")
    return Rows(data=data, words=f"the {len(data):,} rows that {loader} made of {Path(columns.source).name}")


def trainable(bundle: Bundle | None, columns: Columns, loader: str | None, model: Path) -> Bundle:
    """The bundle, if its twins can be trained on a table.

    Raises
    ------
    ConfigError
        If it has no record of its training, or the rows come from elsewhere than a table.
    """
    from fairheads.errors import ConfigError

    if bundle is None or bundle.preprocess is None:
        raise ConfigError(
            f"`--twins` needs the training record and the encoder that a bundle of fairheads keeps; {str(model)!r} has"
            " none. Train twins as it was trained, without the constraint, and give each: `--twin FILE`."
        )
    if loader is not None or columns.source.endswith(".npz"):
        raise ConfigError("`--twins` are trained on a table; where rows come as arrays give trained ones, `--twin`.")
    return bundle


def training_rows(bundle: Bundle, audited: Table | None, columns: Columns, train_data: str | None) -> Dataset:
    """The rows to train twins on: those of the model, which the ``audited`` table holds, or another table's.

    Raises
    ------
    ConfigError
        If the audited table is not the one that the model was trained on, and no other is named.
    """
    from fairheads.errors import ConfigError

    table = audited if train_data is None else columns.table(train_data)
    known = table is not None and bundle.trained_on(table)
    if table is None or (train_data is None and not known):
        raise ConfigError(
            "`--twins` needs the model's training table, and --data is another one: name it, --train-data."
        )
    return bundle.encode(table, "train" if known else "all")[0]
