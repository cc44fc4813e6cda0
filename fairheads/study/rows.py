"""The rows of a study: what networks are trained on, what chooses coefficients, and what everything is measured on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Dataset, Stream, Table, TableEncoder, adult
from fairheads.data.images import ImageEncoder, stream_images
from fairheads.data.table import table_of
from fairheads.errors import InputError
from fairheads.study.faces import Faces, celeba, fairface
from fairheads.study.setting import PaperSetting

COMPAS = ("sex", "age", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count", "c_charge_degree")
"""Columns of ProPublica's table that networks are fed; race is the group, and is not."""

RACES = ("African-American", "Caucasian")
IN_MEMORY = 4 * 2**30
"""Bytes of training images that are held; more are read anew in every epoch."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Parts:
    """Training, validation and test rows, what a saved network needs to read such rows, and their provenance."""

    train: Dataset | Stream
    validation: Dataset
    test: Dataset
    preprocess: TableEncoder | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows; of training rows that are not in memory, of their labels and groups."""
        total = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            if isinstance(part, Dataset):
                arrays = [*part.inputs.values(), part.y, part.group, part.row_id]
            else:
                arrays = [part.counts()]
            for array in arrays:
                total.update(f"{array.shape} {array.dtype}".encode())
                total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return {name: len(getattr(self, name)) for name in ("train", "validation", "test")}


def read_parts(setting: PaperSetting, source: Path | None) -> Parts:
    """The rows of a setting from ``source``: ProPublica's table for compas, a folder for images, nothing for adult.

    Raises
    ------
    InputError
        If ``source`` is missing or holds something else.
    """
    if setting.data == "adult":
        if source is not None:
            raise InputError(f"adult comes with the package and is read from no source, got {str(source)!r}.")
        return _tables(adult(sensitive="sex"))
    if source is None:
        raise InputError(f"{setting.data} is not part of this package; name its file or folder (`source`, --source).")
    if not source.exists():
        raise InputError(f"there is no file or folder {str(source)!r}.")
    if setting.data == "compas":
        return _tables(compas_table(source))
    encoder = ImageEncoder(size=(setting.size, setting.size), mean=(0.5, 0.5, 0.5), scale=(0.5, 0.5, 0.5))
    faces = fairface(source) if setting.data == "fairface" else celeba(source)
    if len(faces.table.group_names) != 2:
        raise InputError(f"{source.name} must have two groups, it has: {', '.join(faces.table.group_names)}.")
    return _images(faces, encoder, setting)


def compas_table(file: Path) -> Table:
    """The two largest races of ProPublica's table; favourable is no new arrest within two years.

    Raises
    ------
    InputError
        If ``file`` is another table.
    """
    import pandas as pd

    try:
        people = pd.read_csv(file)
        people = people.loc[people["race"].isin(RACES), [*COMPAS, "two_year_recid"]]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{file.name} is not ProPublica's table of two years of COMPAS: {error}.") from error
    return table_of(
        people,
        label="two_year_recid",
        group=["race"],
        favourable="0",
        drop=[],
        group_in_inputs=False,
        name=file.name,
        source="",
    )


def _tables(table: Table) -> Parts:
    """Adult's own test rows, of other tables 30 %; a fifth of the others chooses coefficients."""
    test, validation = 0.3, 0.2
    masks = table.parts(test=test, validation=validation, seed=0)
    encoder = table.fit_encoder(masks["train"])
    split = {"source": table.source, "test": test, "validation": validation, "seed": 0}
    record = {"outcome": {"label": table.label, "favourable": table.favourable}, "split": split}
    made = {name: table.encode(encoder, rows) for name, rows in masks.items()}
    return Parts(made["train"], made["validation"], made["test"], encoder, record)


def _images(faces: Faces, encoder: ImageEncoder, setting: PaperSetting) -> Parts:
    """The first rows of each part as the lists have them, so that a study is the same wherever it runs."""
    wanted = {"train": setting.train_rows, "validation": setting.validation_rows, "test": setting.test_rows}
    streams = {name: _stream(faces, name, encoder, most) for name, most in wanted.items()}
    size = 4 * len(streams["train"]) * int(np.prod(encoder.shape))
    train: Dataset | Stream = _held(streams["train"]) if size <= IN_MEMORY else streams["train"]
    return Parts(train, _held(streams["validation"]), _held(streams["test"]), record={"images": encoder.to_dict()})


def _stream(faces: Faces, part: str, encoder: ImageEncoder, most: int) -> Stream:
    rows = np.flatnonzero(faces.parts[part])
    mask: Mask = np.zeros(len(faces.table), bool)
    mask[rows[: most or len(rows)]] = True
    if not mask.any():
        raise InputError(f"{faces.table.name} has no {part} rows.")
    return stream_images(faces.table, "image", faces.sources[part], encoder, rows=mask)


def _held(stream: Stream) -> Dataset:
    """The rows in memory, each image once."""
    key, images = next(iter(next(iter(stream)).inputs.items()))
    held = np.empty((len(stream), *images.shape[1:]), np.float32)
    y, group, row_id = (np.empty(len(stream), np.int64) for _ in range(3))
    start = 0
    for batch in stream:
        rows = slice(start, start + len(batch))
        held[rows], y[rows], group[rows], row_id[rows] = batch.inputs[key], batch.y, batch.group, batch.row_id
        start += len(batch)
    return Dataset({key: held}, y, group, group_names=stream.group_names, name=stream.name, row_id=row_id)
