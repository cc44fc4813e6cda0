"""Images in a folder or a zip archive, named in a table of labels and groups, as a `Stream` of arrays."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fairheads.data.columns import check_columns
from fairheads.data.dataset import BLOCK, Batch
from fairheads.data.files import what_is
from fairheads.data.stream import Stream
from fairheads.data.table import Table
from fairheads.errors import ConfigError, FairheadsError, InputError, first_line

MOST_BYTES = 64 * 2**20
"""Largest image file, packed or not."""

MOST_PIXELS = 80_000_000
"""Most pixels of an image: a small file may claim any number."""

MOST_SETTINGS = 2**20
"""Bytes that are read of a description of how images are fed."""

MOST_FED = 2**20
"""Most pixels of an image as it is fed: hundreds are fed at a time."""

LARGEST = 1e30
"""Numbers of means and scales lie below: images are fed in 32 bits."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")
"""What is opened, found by content: some of Pillow's other formats start programs."""

COLOURS = {"RGB": 3, "L": 1}


@dataclass(frozen=True, kw_only=True)
class ImageEncoder:
    """From an image to what a network is fed: resized, scaled to 0..1, less ``mean`` and divided by ``scale``.

    Attributes
    ----------
    size : (height, width)
        In pixels; images are resized to it by Pillow's bilinear filter, whatever their shape.
    mean, scale : tuple of float
        One number a colour.
    layout : "CHW" or "HWC"
        Whether the colours come first or last.
    colours : "RGB" or "L"
        Three colours, or grey.

    Raises
    ------
    ConfigError
        If a setting makes no sense.

    Examples
    --------
    >>> encoder = ImageEncoder(size=(64, 64), mean=(0.5, 0.5, 0.5), scale=(0.25, 0.25, 0.25))
    >>> ImageEncoder.from_dict(encoder.to_dict()) == encoder, encoder.shape
    (True, (3, 64, 64))
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: Literal["CHW", "HWC"] = "CHW"
    colours: Literal["RGB", "L"] = "RGB"

    def __post_init__(self) -> None:
        if self.colours not in COLOURS or self.layout not in ("CHW", "HWC"):
            raise ConfigError(f"`colours` must be RGB or L and `layout` CHW or HWC, got {self.colours}, {self.layout}.")
        if len(self.size) != 2 or min(self.size) < 1 or self.size[0] * self.size[1] > MOST_FED:
            raise ConfigError(
                f"`size` must be a height and a width of 1 to {MOST_FED:,} pixels in all, got {str(self.size)[:60]}."
            )
        wanted, numbers = COLOURS[self.colours], (*self.mean, *self.scale)
        if len(self.mean) != wanted or len(self.scale) != wanted or not all(each > 0 for each in self.scale):
            raise ConfigError(f"`mean` and `scale` must have {wanted} numbers, `scale` above 0.")
        if not all(abs(each) < LARGEST for each in numbers):
            raise ConfigError(f"`mean` and `scale` must be numbers below {LARGEST:g}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image as it is fed."""
        channels = COLOURS[self.colours]
        return (channels, *self.size) if self.layout == "CHW" else (*self.size, channels)

    def transform(self, content: bytes) -> NDArray[np.float32]:
        """The image in a file's bytes, shape `shape`; whatever Pillow raises goes through."""
        from PIL import Image, UnidentifiedImageError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # what it warns of is refused here
            try:
                opened = Image.open(io.BytesIO(content), formats=FORMATS)
            except UnidentifiedImageError as error:
                raise InputError(f"it is no image of these kinds: {', '.join(FORMATS)}") from error
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(f"it has {image.width:,} x {image.height:,} pixels, more than {MOST_PIXELS:,}")
            shown = image.convert(self.colours).resize(self.size[::-1], Image.Resampling.BILINEAR)
        values: NDArray[np.float32] = np.asarray(shown, np.float32).reshape(*self.size, -1) / np.float32(255)
        values -= np.array(self.mean, np.float32)
        values /= np.array(self.scale, np.float32)
        return np.ascontiguousarray(values if self.layout == "HWC" else values.transpose(2, 0, 1))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "image", **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ImageEncoder:
        """The encoder of a JSON object: size, and where they differ from the defaults mean, scale, layout, colours."""
        known = {"size", "mean", "scale", "layout", "colours"}
        words = (plain.get("layout", "CHW"), plain.get("colours", "RGB"))
        if plain.get("kind") != "image" or not {"size"} <= plain.keys() - {"kind"} <= known:
            raise ConfigError(f'it must have the "kind" "image" and a "size", and of {sorted(known)} no others.')
        if not all(isinstance(word, str) and len(word) < 9 for word in words):
            raise ConfigError("`layout` must be CHW or HWC and `colours` RGB or L.")
        try:
            settings: dict[str, Any] = {"size": tuple(int(v) for v in plain["size"])}
            settings |= {name: tuple(float(v) for v in plain[name]) for name in ("mean", "scale") if name in plain}
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"`size`, `mean` and `scale` must be lists of numbers: {first_line(error)}.") from error
        return cls(**settings, **{name: plain[name] for name in ("layout", "colours") if name in plain})

    @classmethod
    def read(cls, file: str | Path) -> ImageEncoder:
        """The encoder in a JSON file.

        Raises
        ------
        InputError
            If it is no JSON object, or not one of an encoder.
        """
        try:
            with Path(file).open("rb") as opened:
                plain = json.loads(opened.read(MOST_SETTINGS).decode("utf-8"))
            return cls.from_dict(plain if isinstance(plain, dict) else {})
        except (OSError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
            raise InputError(
                f"{str(file)!r} is no description of how images are fed: {first_line(error)[:200]}"
            ) from error


def stream_images(
    table: Table,
    column: str,
    source: str | Path,
    encoder: ImageEncoder,
    *,
    rows: NDArray[np.bool_] | None = None,
) -> Stream:
    """The rows of a table as images, read anew in every pass, a few hundred at a time.

    Parameters
    ----------
    table : Table
        Labels and groups, and in ``column`` the name of each row's image, from ``source`` down: ``faces/1.jpg``.
    source : path
        A folder, or a zip archive, of which nothing is unpacked to disk.
    encoder : ImageEncoder
    rows : bool array (n,), optional
        Which rows of the table, by default all.

    Raises
    ------
    InputError
        If the column is not there, an image is missing, lies outside the folder, is a link, is no image, or is larger
        than 64 MB or 80 million pixels; the first row of the table that has such an image is named.
    """
    check_columns([column], list(table.columns), table.name)
    read = _reader(Path(source))
    places = np.arange(len(table)) if rows is None else np.flatnonzero(rows)
    parts = [_Images(table, column, read, encoder, places[i : i + BLOCK]) for i in range(0, len(places), BLOCK)]
    return Stream(parts, group_names=table.group_names, name=table.name)


@dataclass(frozen=True, eq=False)
class _Images:
    """Some rows of a table; iterating reads their images as one batch."""

    table: Table
    column: str
    read: _Reader
    encoder: ImageEncoder
    places: NDArray[np.int64]

    def __iter__(self) -> Iterator[Batch]:
        images = np.empty((len(self.places), *self.encoder.shape), np.float32)
        for i, row in enumerate(self.places.tolist()):
            images[i] = self._image(str(self.table.columns[self.column][row]), row)
        yield Batch({"x": images}, self.table.y[self.places], self.table.group[self.places], self.places)

    def _image(self, name: str, row: int) -> NDArray[np.float32]:
        try:
            return self.encoder.transform(self.read(name))
        except MemoryError:
            raise
        except ImportError as error:
            raise InputError("reading images needs Pillow: pip install 'fairheads[images]'.") from error
        except Exception as error:  # decoders of hostile files raise anything
            said = str(error).rstrip(".") if isinstance(error, FairheadsError) else first_line(error)[:200]
            raise InputError(
                f"{name[:80]!r}, the image of row {row:,} of {self.table.name}, cannot be read: {said}."
            ) from error


class _Reader(Protocol):
    def __call__(self, name: str) -> bytes:
        """The bytes of an image."""
        ...


def _reader(source: Path) -> _Reader:
    """What reads an image by its name; nothing outside ``source`` can be named, and an archive is looked over once."""
    if (kind := what_is(source)) == "folder":
        return lambda name: _in_folder(source, name)
    if kind != "file":
        raise InputError(f"there is no folder or archive {str(source)!r}.")
    try:
        archive = zipfile.ZipFile(source)
    except Exception as error:  # its directory may say anything
        raise InputError(
            f"{source.name} is neither a folder of images nor a zip archive: {first_line(error)}."
        ) from error
    return lambda name: _in_archive(archive, name)


def _in_folder(folder: Path, name: str) -> bytes:
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InputError("it lies outside the folder")
    if what_is(file) != "file":
        raise InputError("there is no such file")
    _refuse_large(file.stat().st_size)
    return file.read_bytes()


def _in_archive(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise InputError("the archive has no member of this name") from error
    if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
        raise InputError("it is a link or encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError("it is packed by a method other than deflate")
    _refuse_large(info.file_size)
    with archive.open(info) as member:  # a header may lie about the size, so no more is unpacked than may be there
        content = member.read(MOST_BYTES + 1)
    _refuse_large(len(content))
    return content


def _refuse_large(size: int) -> None:
    if size > MOST_BYTES:
        raise InputError(f"it has more than {MOST_BYTES // 2**20} MB")
