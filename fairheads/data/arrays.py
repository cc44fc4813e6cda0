"""Rows in files of NumPy: numbers and texts of the size that their header says, and nothing to be unpickled."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fairheads.data.files import reading
from fairheads.errors import InputError

GROWTH = 100
"""Largest ratio of unpacked to packed bytes, beyond `FREE`."""
FREE = 64 * 2**20
"""Bytes that an archive may unpack to, whatever its size."""

KINDS = "biufU"
"""Truth values, whole and broken numbers, and texts."""
LAST_LETTER = 0x10FFFF
LONGEST, STEP = 2**16, 2**20
"""Most bytes of a header, and bytes that are read at a time."""

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether columns come first, and type of an array."""


def _any_names(start: IO[bytes]) -> Header:
    """The header of version 3, whose names of columns may have any letters: numpy has no public reader of it."""
    (size,) = struct.unpack("<I", start.read(4))
    said = ast.literal_eval(start.read(size).decode("utf-8"))
    shape, in_columns = said["shape"], said["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(n) is int for n in shape) or not isinstance(in_columns, bool):
        raise ValueError("its header is not that of an array")
    return shape, in_columns, npy.descr_to_dtype(said["descr"])


READERS: dict[tuple[int, int], Callable[[IO[bytes]], Header]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): _any_names,
}


def arrays_in(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name; texts of bytes as texts.

    Raises
    ------
    InputError
        If it is damaged, unpacks to more than 64 MB and a hundred times its size, or holds anything but numbers and
        texts: objects are pickled, and would run code.
    """
    with reading(file), zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        total = sum(info.file_size for info in infos)
        if total > FREE + GROWTH * file.stat().st_size:
            raise InputError(f"{file.name} would unpack to {total:,} bytes: an archive bomb; it is not read.")
        found = {}
        for info in infos:
            with archive.open(info) as member:
                name = info.filename.removesuffix(".npy")
                found[name] = _plain(_array(member, info.file_size, f"array {name[:60]!r} of {file.name}"), file)
    return found


def columns_in(file: Path) -> Mapping[str, NDArray[Any]]:
    """The named columns of a .npy file; none where it is one array without names.

    Raises
    ------
    InputError
        If it is damaged, or holds anything but numbers and texts.
    """
    with reading(file), file.open("rb") as opened:
        array = _array(opened, file.stat().st_size, file.name)
        if array.dtype.names is None or array.ndim != 1:
            return {}
        found = {name: _plain(array[name], file) for name in array.dtype.names}
        if wide := [name for name, values in found.items() if values.ndim > 1]:
            raise InputError(f"column {wide[0][:60]!r} of {file.name} must have one value a row.")
        return found


def _array(opened: IO[bytes], size: int, what: str) -> NDArray[Any]:
    """The array of a stream of ``size`` bytes, once its header says what the bytes are enough for."""
    head = opened.read(min(size, LONGEST))
    start = io.BytesIO(head)
    version = npy.read_magic(start)
    if version not in READERS:
        raise InputError(f"{what} is of an unknown version, {version}; save it again.")
    shape, in_columns, dtype = READERS[version](start)
    if dtype.hasobject:
        raise InputError(f"{what} holds Python objects, which would run code; save numbers or texts.")
    wanted, there = math.prod(shape) * dtype.itemsize, size - start.tell()
    if wanted != there or min(shape, default=0) < 0:
        raise InputError(f"{what} is not of the size that it says; save it again.")
    content = np.empty(wanted, np.uint8)
    first = head[start.tell() :]
    content[: len(first)] = np.frombuffer(first, np.uint8)
    done = len(first)
    while done < wanted:  # straight into its place: nothing is held twice
        part = opened.read(min(STEP, wanted - done))
        if not part:
            raise InputError(f"{what} is cut off; get it again.")
        content[done : done + len(part)] = np.frombuffer(part, np.uint8)
        done += len(part)
    return np.ndarray(shape, dtype, content, order="F" if in_columns else "C")


def _plain(values: NDArray[Any], file: Path) -> NDArray[Any]:
    if values.dtype.kind == "S":
        values = values.astype("U")
    if values.dtype.kind not in KINDS:
        raise InputError(f"{file.name} holds values of type {str(values.dtype)[:60]}; save numbers or texts.")
    if values.dtype.kind == "U" and values.nbytes:
        letters = np.frombuffer(values.tobytes(), np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
        if ((letters > LAST_LETTER) | ((letters >= 0xD800) & (letters <= 0xDFFF))).any():
            raise InputError(f"{file.name} holds texts of what are no letters; save it again.")
    return values
