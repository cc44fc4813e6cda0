"""Files and folders of tables: which there are, of what kind, and one line for whatever goes wrong in reading them."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from fairheads.errors import FairheadsError, InputError, first_line

NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""What the system says of a path at which nothing lies."""


def what_is(path: Path) -> Literal["file", "folder", "other", "nothing"]:
    """What lies at a path; links that lead nowhere, in a circle or to a name that is too long are nothing.

    Raises
    ------
    OSError
        If it may not be looked at.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return "nothing"
    except ValueError:  # a null character
        return "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def tables_in(path: Path) -> list[Path]:
    """The file, or the tables in the folder and its folders, by name.

    Raises
    ------
    InputError
        If there is no such file, or no table in the folder.
    """
    if what_is(path) == "folder":
        found = [
            file
            for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).parts)
            if what_is(file) == "file"
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
            and {".csv", ".parquet", ".pq"} & set(file.suffixes)
        ]
        if not found:
            raise InputError(f"there is no CSV or Parquet file in the folder {str(path)!r}.")
        return found
    if what_is(path) != "file":
        raise InputError(f"there is no file {str(path)!r}.")
    return [path]


def is_parquet(file: Path) -> bool:
    """Whether a file is to be read as Parquet, by its name or else its first bytes."""
    if {".parquet", ".pq"} & set(file.suffixes):
        return True
    with file.open("rb") as opened:
        return ".csv" not in file.suffixes and opened.read(4) == b"PAR1"


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turns whatever goes wrong in reading a file into one line that names it."""
    try:
        yield
    except (FairheadsError, MemoryError):
        raise
    except ImportError as error:
        raise InputError("reading Parquet needs pyarrow: pip install 'fairheads[parquet]'.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.name} cannot be read as a table: it is not UTF-8 ({error.reason}, byte"
            f" 0x{error.object[error.start]:02x}). If it is a CSV, write it anew as UTF-8, such as by iconv -f LATIN1"
            " -t UTF-8; if it is something else, it is no table."
        ) from error
    except Exception as error:
        reason = first_line(error)[:300]
        raise InputError(f"{file.name} cannot be read as a table: {reason}") from error


def partitions(path: Path) -> dict[str, str | None]:
    """Columns that the names of the folders give."""
    pairs = [part.partition("=") for part in path.parts[:-1] if "=" in part]
    return {unquote(name): None if value == NO_PARTITION else unquote(value) for name, _, value in pairs}
