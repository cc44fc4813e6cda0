"""The label tables of FairFace and CelebA as they are published, and where their images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Table
from fairheads.data.table import table_of
from fairheads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

OLD = 30
"""Years from which on a face is in the favourable class of FairFace."""

VALIDATION = 0.2
"""Share of FairFace's training list that chooses coefficients; the published validation list is the test."""

CELEBA_PARTS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, eq=False)
class Faces:
    """``table`` has the columns image, label and group; a mask for each part, and the folder or archive it is in."""

    table: Table
    parts: Mapping[str, NDArray[np.bool_]]
    sources: Mapping[str, Path]


def fairface(folder: Path) -> Faces:
    """FairFace (Karkkainen & Joo, WACV 2021): is the age 30 or more, by the recorded gender.

    ``folder`` holds the published lists of labels (``fairface_label_train.csv`` and ``..._val.csv``, or
    ``labels_train.csv`` and ``labels_val.csv``) and the images they name, or zip archives of these that begin with
    ``train`` and ``val``. Published rows of the training list are in random order: its last fifth chooses coefficients.

    Raises
    ------
    InputError
        If a list or a column is missing.
    """
    import pandas as pd

    lists = {part: _read(_only(folder, f"*label*{part}*.csv"), ["file", "age", "gender"]) for part in ("train", "val")}
    people = pd.concat(list(lists.values()), ignore_index=True)
    years = people["age"].astype(str).str.extract(r"(\d+)")[0].astype(float)
    if years.isna().any():
        raise InputError(f"the column 'age' of {folder.name} must hold ranges such as 20-29.")
    frame = pd.DataFrame({"image": people["file"], "label": (years >= OLD).astype(int), "group": people["gender"]})
    of_train = len(lists["train"])
    at, chosen = np.arange(len(frame)), round((1 - VALIDATION) * of_train)
    parts = {"train": at < chosen, "validation": (at >= chosen) & (at < of_train), "test": at >= of_train}
    found = {part: next(iter(sorted(folder.glob(f"{part}*.zip"))), folder) for part in ("train", "val")}
    sources = {"train": found["train"], "validation": found["train"], "test": found["val"]}
    return Faces(_table(frame, "fairface"), parts, sources)


def celeba(folder: Path) -> Faces:
    """CelebA (Liu et al., ICCV 2015): is the person smiling, by the recorded sex, on the published split.

    ``folder`` holds ``list_attr_celeba`` and ``list_eval_partition`` (``.txt`` as published or ``.csv``), and the
    images in ``img_align_celeba`` or ``img_align_celeba.zip``.

    Raises
    ------
    InputError
        If a list, a column or the images are missing.
    """
    import pandas as pd

    people = _celeba_list(folder, "list_attr_celeba", ["Smiling", "Male"])
    split = _celeba_list(folder, "list_eval_partition", ["partition"])
    if list(people.index) != list(split.index):
        raise InputError("list_attr_celeba and list_eval_partition must name the same images in the same order.")
    images = folder / "img_align_celeba"
    while (images / "img_align_celeba").is_dir():  # some archives have it twice
        images = images / "img_align_celeba"
    archive = folder / "img_align_celeba.zip"
    inside = "" if images.is_dir() else "img_align_celeba/"
    frame = pd.DataFrame(
        {
            "image": [f"{inside}{name}" for name in people.index],
            "label": (people["Smiling"].to_numpy() > 0).astype(int),
            "group": np.where(people["Male"].to_numpy() > 0, "Male", "Female"),
        }
    )
    parts = {part: split["partition"].to_numpy() == code for part, code in CELEBA_PARTS.items()}
    return Faces(_table(frame, "celeba"), parts, dict.fromkeys(parts, archive if inside else images))


def _table(frame: pd.DataFrame, name: str) -> Table:
    return table_of(
        frame,
        label="label",
        group=["group"],
        favourable="1",
        drop=["image"],
        group_in_inputs=False,
        name=name,
        source="",
    )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if len(found) != 1:
        raise InputError(f"{str(folder)!r} must hold one file {pattern}, it holds {len(found)}.")
    return found[0]


def _read(file: Path, needed: list[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read: {error}.") from error
    return _checked(frame, file, needed)


def _celeba_list(folder: Path, name: str, needed: list[str]) -> pd.DataFrame:
    """One of its lists, by image."""
    import pandas as pd

    file = _only(folder, f"{name}.*")
    if file.suffix == ".csv":
        return _read(file, ["image_id", *needed]).set_index("image_id")
    try:
        if needed == ["partition"]:
            return pd.read_csv(file, sep=r"\s+", header=None, names=["image_id", *needed]).set_index("image_id")
        return _checked(pd.read_csv(file, sep=r"\s+", skiprows=1), file, needed)
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read: {error}.") from error


def _checked(frame: pd.DataFrame, file: Path, needed: list[str]) -> pd.DataFrame:
    missing = [column for column in needed if column not in frame.columns]
    if missing:
        raise InputError(f"{file.name} has no column {missing[0]!r}.")
    return frame
