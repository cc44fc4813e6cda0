"""The rows of an audit: in memory, read anew in every pass where they are many, or some of them for a quick look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import names
from .rows import SHOWN, Columns, rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fairheads.data import Dataset, Stream, Table
    from fairheads.models import Bundle

Command = TypeVar("Command", bound=Callable[..., Any])

LARGE = 64 * 2**20
"""Bytes of a table, unpacked, from which on it is streamed."""


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Rows as the model takes them, which they are in words, and the table they are of where it is in memory."""

    data: Dataset | Stream
    words: str
    table: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the options say of images: the folder or archive, the column of their names, and how they are fed."""

    source: Path | None
    column: str | None
    preprocess: Path | None

    def rows(self, columns: Columns, most: int | None, seed: int) -> Audited:
        """The images of all rows of the table, or of ``most`` drawn with ``seed``."""
        import numpy as np

        from fairheads.data.drawn import drawn, drawn_in_words
        from fairheads.data.images import ImageEncoder, stream_images
        from fairheads.errors import ConfigError

        if self.source is None or self.column is None or self.preprocess is None:
            raise ConfigError(
                "images need all of `--images FOLDER|ZIP`, `--image COL` (of --data, with their names) and"
                " `--preprocess FILE`."
            )
        encoder, table = ImageEncoder.read(self.preprocess), columns.table()
        rows = drawn(np.ones(len(table), bool), most, seed)
        data = stream_images(table, self.column, self.source, encoder, rows=rows)
        words = f"the images of all {len(table):,} rows of {table.name} in {self.source.name}"
        return Audited(data=data, words=drawn_in_words(words, len(table), most, seed))


def text_rows(model: Path, column: str, columns: Columns, most: int | None, seed: int) -> Audited:
    """The texts in a column of the table, or ``most`` of them drawn with ``seed``, as the model's tokens."""
    import numpy as np

    from fairheads.data import Dataset
    from fairheads.data.drawn import drawn, drawn_in_words
    from fairheads.data.texts import tokenized
    from fairheads.errors import InputError

    table = columns.table()
    if column not in table.columns:
        raise InputError(f"{table.name} has no column {column!r}; it has: {', '.join(table.columns)}.")
    rows = np.flatnonzero(drawn(np.ones(len(table), bool), most, seed))
    inputs, cut = tokenized([str(text) for text in table.columns[column][rows].tolist()], model)
    data = Dataset(
        inputs, table.y[rows], table.group[rows], group_names=table.group_names, name=table.name, row_id=rows
    )
    words = drawn_in_words(f"the texts {column!r} of all {len(table):,} rows of {table.name}", len(table), most, seed)
    shape = inputs["input_ids"].shape
    return Audited(data=data, words=f"{words}, as {shape[1]} tokens of {model.name}'s tokenizer, {cut:,} of them cut")


def input_options(command: Command) -> Command:
    """--images, --image, --preprocess, --text: rows that are images, in a folder or an archive, or texts."""
    path = click.Path(path_type=Path)
    for option in reversed(
        (
            click.option(
                "--text", metavar="COL", help="Column of texts, for a folder of transformers with a tokenizer."
            ),
            click.option(
                "--images", type=path, metavar="FOLDER|ZIP", help="Images, whose labels and groups --data has."
            ),
            click.option("--image", metavar="COL", help="With --images: column of --data with the names of the files."),
            click.option(
                "--preprocess",
                type=path,
                metavar="FILE",
                help='With --images: JSON on how they are fed, {"kind": "image", "size": [64, 64], "mean": ...}.',
            ),
        )
    ):
        command = option(command)
    return command


def audited_rows(
    bundle: Bundle | None,
    columns: Columns,
    split: str,
    loader: str | None,
    *,
    model: Path,
    images: Images,
    text: str | None,
    most: int | None,
    seed: int,
    in_memory: bool,
    tell: Callable[[int], None],
) -> Audited:
    """The rows that are audited: all of them, or ``most`` drawn with ``seed``; a file may be asked for ``in_memory``.

    Raises
    ------
    FairheadsError
        As `rows_of`, and if ``most`` are too few to say anything.
    """
    from fairheads.errors import ConfigError
    from fairheads.pathways.pair import MIN_ROWS

    if most is not None and most < 2 * MIN_ROWS:
        raise ConfigError(
            f"`--sample` must be at least {2 * MIN_ROWS} rows, {MIN_ROWS} of either of two groups, got {most}."
        )
    pictures = images != Images(source=None, column=None, preprocess=None)
    if (loader is not None) + pictures + (text is not None) > 1:
        raise ConfigError("give one of `--loader`, `--images` and `--text`: each makes the whole rows.")
    if pictures:
        return images.rows(columns, most, seed)
    if text is not None:
        return text_rows(model, text, columns, most, seed)
    if loader is None and _is_streamed(columns, in_memory=in_memory):
        return _streamed(bundle, columns, split, most, seed, tell)
    rows = rows_of(bundle, columns, split, loader)
    if most is None:
        return Audited(data=rows.data, words=rows.words, table=rows.table)
    if bundle is not None and rows.table is not None:
        data, words = bundle.encode(rows.table, split, most=most, seed=seed)
        return Audited(data=data, words=words, table=rows.table)
    import numpy as np

    from fairheads.data.drawn import drawn, drawn_in_words

    had = len(rows.data)
    data = rows.data.take(drawn(np.ones(had, bool), most, seed))
    return Audited(data=data, words=drawn_in_words(rows.words, had, most, seed), table=rows.table)


def _is_streamed(columns: Columns, *, in_memory: bool) -> bool:
    """Whether the source is a folder, or a large table that is not wanted in memory."""
    from fairheads.data.files import what_is
    from fairheads.data.unpacked import unpacked_size

    source = Path(columns.source)
    if columns.label is None or not columns.group or columns.source == "adult":
        return False
    if (kind := what_is(source)) == "folder":
        return True
    if in_memory or kind != "file" or source.suffix in (".npz", ".npy"):
        return False
    return unpacked_size(source, LARGE) >= LARGE


def _streamed(
    bundle: Bundle | None, columns: Columns, split: str, most: int | None, seed: int, tell: Callable[[int], None]
) -> Audited:
    import numpy as np

    from fairheads.data import stream_table
    from fairheads.data.drawn import drawn, drawn_in_words

    parts: dict[str, Any] = {
        "label": columns.label or "",
        "group": names(columns.group),
        "favourable": columns.favourable,
        "drop": names(columns.drop),
        "progress": tell,
    }
    if bundle is not None and bundle.preprocess is not None:
        stream, words = bundle.stream(columns.source, split, most=most, seed=seed, **parts)
    else:
        found: list[int] = []

        def chosen(n: int) -> NDArray[np.bool_]:
            found.append(n)
            return drawn(np.ones(n, bool), most, seed)

        stream, (had,) = stream_table(columns.source, numbers=True, order=columns.order, rows=chosen, **parts), found
        fed = stream.feature_names or ()
        shown = ", ".join(fed[:SHOWN]) + (", ..." if len(fed) > SHOWN else "")
        words = drawn_in_words(
            f"all {had:,} rows of {stream.name}, whose {len(fed)} columns were fed as they are, in this order: {shown}",
            had,
            most,
            seed,
        )
    return Audited(data=stream if most is None else stream.take(np.arange(len(stream))), words=words)
