"""A bundle: a folder with a network's weights, its architecture, its encoder and the record of its training.

``model.safetensors`` (weights), ``config.json`` (everything plain) and ``rows.safetensors`` (hashes of the training
rows). No part of it is code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from fairheads.data import Dataset, RowRecord, Stream, Table, TableEncoder, stream_table
from fairheads.data.drawn import drawn, drawn_in_words
from fairheads.data.table import parts_of
from fairheads.errors import ConfigError, FairheadsError, InputError, UnsafeModelError, first_line
from fairheads.models.architectures import architecture_of, filled
from fairheads.models.records import refuse_other_width, vetted, vetted_rows
from fairheads.results import _markup as markup
from fairheads.results._saving import exchanged, remove_left_behind
from fairheads.results._text import wrapped
from fairheads.results._words import capital, clip, count, recipe
from fairheads.results.shown import Displayed

FORMAT = "fairheads/bundle/1"
LAST = "This does not say what the network does with the group: an audit does."
WEIGHTS, CONFIG, ROWS = "model.safetensors", "config.json", "rows.safetensors"
PARTS = ("train", "validation", "test", "all")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bundle(Displayed):
    """A network with what is needed to run it, on a table with its encoder, and to judge an audit of it.

    Attributes
    ----------
    net : MLP, ResNet, Transformer, or TwoHeadNet of one
    preprocess : TableEncoder or None
    training : dict
        The training record (`fairheads.training.History.record`), with ``split`` where a table was split.
    rows : RowRecord or None
        The rows it was trained on.
    merge : dict or None
        Coefficients of a merged two-headed network.
    """

    net: nn.Module
    preprocess: TableEncoder | None = None
    training: dict[str, Any] = field(default_factory=dict)
    rows: RowRecord | None = None
    merge: dict[str, Any] | None = None
    name: str = ""

    def summary(self) -> str:
        """The network and how it was trained, as text of at most 100 columns; the last line is what it does not say."""
        told = [line for what, how in self._recipe() for line in wrapped(f"{what}: {how}")]
        return "\n".join([*wrapped(self._brief(), ""), *told, LAST])

    def html(self) -> str:
        """The same as an HTML fragment; everything that came from data is escaped."""
        pairs = [(markup.name(capital(what)), markup.prose(how)) for what, how in self._recipe()]
        return f"<p>{markup.prose(self._brief())}</p>\n{markup.definitions(pairs)}\n<p>{LAST}</p>"

    def _brief(self) -> str:
        size = sum(weights.numel() for weights in self.net.parameters())
        named = f"{clip(self.name, 40)}: " if self.name else ""
        return f"{named}{type(self.net).__name__}, {count(size)} parameters"

    def _recipe(self) -> list[tuple[str, str]]:
        return recipe({**self.training, **({"merge": self.merge} if self.merge else {})} or None)

    def trained_on(self, table: Table) -> bool:
        """Whether the model was trained on a part of this very table (by the hash of its file)."""
        split = self.training.get("split")
        return split is not None and split["source"] == table.source

    def encode(self, table: Table, part: str, *, most: int | None = None, seed: int = 0) -> tuple[Dataset, str]:
        """The rows of ``table`` as this model takes them, and which they are, in words.

        ``part`` is "train", "validation", "test" or "all". Of the very table the model was trained on, the rows are
        those of the recorded split; of any other table all rows are "test". Where there are more than ``most``, so
        many are drawn with ``seed``.

        Raises
        ------
        InputError
            If the table does not fit the encoder, or there are no such rows.
        """
        encoder = self._encoder(part)
        self._check_favourable(table.label, table.favourable)
        own = self.trained_on(table)
        rows, words = self._part(len(table), table.name, part, own=own, test_rows=table.test_rows)
        return table.encode(encoder, drawn(rows, most, seed)), drawn_in_words(words, int(rows.sum()), most, seed)

    def stream(
        self,
        path: str | Path,
        part: str,
        *,
        label: str,
        group: Sequence[str],
        favourable: str | None = None,
        drop: Sequence[str] = (),
        most: int | None = None,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[Stream, str]:
        """The rows that `encode` gives, read anew in every pass, of a table that may be larger than memory.

        Parameters
        ----------
        path, label, group, favourable, drop, progress
            As in `fairheads.data.stream_table`.
        part, most, seed
            As in `encode`.

        Raises
        ------
        InputError
            As `encode` and `fairheads.data.stream_table`.
        """
        encoder = self._encoder(part)
        own = self._trained_on_file(Path(path))
        said: list[str] = []

        def rows(n: int) -> NDArray[np.bool_]:
            mask, words = self._part(n, Path(path).name, part, own=own, test_rows=None)
            said.append(drawn_in_words(words, int(mask.sum()), most, seed))
            return drawn(mask, most, seed)

        stream = stream_table(
            path,
            label=label,
            group=group,
            favourable=favourable,
            drop=drop,
            encoder=encoder,
            rows=rows,
            progress=progress,
        )
        self._check_favourable(stream.outcome["label"], stream.outcome["favourable"])
        return stream, said[0]

    def _encoder(self, part: str) -> TableEncoder:
        if self.preprocess is None:
            raise InputError("the model has no encoder for tables; pass a Dataset instead.")
        if part not in PARTS:
            raise ConfigError(f"`part` must be one of {list(PARTS)}, got {part!r}.")
        return self.preprocess

    def _check_favourable(self, label: str, favourable: str) -> None:
        outcome = self.training.get("outcome")
        if outcome and outcome["label"] == label and outcome["favourable"] != favourable:
            raise InputError(
                f"the model was trained with {outcome['favourable']!r} of {label!r} as favourable, got {favourable!r}."
            )

    def _trained_on_file(self, file: Path) -> bool:
        split = self.training.get("split")
        if split is None or not file.is_file():
            return False
        with file.open("rb") as opened:
            return bool(hashlib.file_digest(opened, "sha256").hexdigest() == split["source"])

    def _part(
        self, n: int, name: str, part: str, *, own: bool, test_rows: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_], str]:
        """Which of the ``n`` rows of a table a part is, as a mask and in words."""
        rows: NDArray[np.bool_] = np.ones(n, bool)
        if part != "all" and own:
            split = self.training["split"]
            shares = {"test": split["test"], "validation": split["validation"], "seed": split["seed"]}
            rows = parts_of(n, **shares, test_rows=test_rows, name=name)[part]
            if not rows.any():
                raise InputError(f"the split that the model was trained with left no {part} rows.")
            return rows, f"the {int(rows.sum()):,} {part} rows of the split that the model was trained with"
        if part in ("train", "validation"):
            raise InputError(f"{name} is not the table that the model was trained on; it has no {part} rows.")
        return rows, f"all {n:,} rows of {name}"


def weights_digest(net: nn.Module) -> str:
    """SHA-256 of all weights and buffers with their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def check_free(folder: str | Path, *, overwrite: bool = False) -> Path:
    """The folder as a path, if a bundle may be written there; ask before long work.

    Raises
    ------
    InputError
        If it exists, unless ``overwrite`` is True and it holds a bundle and nothing else.
    """
    target = Path(folder)
    if not target.exists():
        return target
    if not overwrite:
        raise InputError(f"{str(target)!r} exists; choose another folder, or overwrite it (`overwrite`, --overwrite).")
    if not holds_model(target) or {path.name for path in target.iterdir()} - {CONFIG, WEIGHTS, ROWS}:
        raise InputError(f"{str(target)!r} is no model, or holds other files too; choose another folder.")
    return target


def holds_model(folder: str | Path) -> bool:
    """Whether there is a saved bundle in the folder."""
    return all((Path(folder) / name).is_file() for name in (CONFIG, WEIGHTS))


def save_bundle(bundle: Bundle, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a bundle; the folder appears whole or not at all, and holds the old or the new one while it is overwritten.

    Where two folders cannot be exchanged in one step (outside of Linux, on network drives), overwriting takes two: a
    process that is killed between them leaves the old bundle in ``.NAME.*.part/old`` beside the folder.

    Raises
    ------
    InputError
        If the folder exists and ``overwrite`` is False, or it exists and holds something other than a bundle.
    """
    target = check_free(folder, overwrite=overwrite)
    config = {
        "format": FORMAT,
        "architecture": architecture_of(bundle.net),
        "preprocess": None if bundle.preprocess is None else bundle.preprocess.to_dict(),
        "training": bundle.training,
        "merge": bundle.merge,
    }
    files = {
        WEIGHTS: save_tensors({k: v.detach().cpu().contiguous() for k, v in bundle.net.state_dict().items()}),
        CONFIG: (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    if bundle.rows is not None:
        files[ROWS] = save_arrays({"hashes": bundle.rows.hashes, "counts": bundle.rows.counts})
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{target.name}.", f".{os.getpid()}.part"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix, suffix=suffix) as beside:
        made = Path(beside) / "new"
        made.mkdir()
        for name, content in files.items():
            (made / name).write_bytes(content)
        if not exchanged(made, target):
            old = Path(beside) / "old"
            if target.exists():
                target.replace(old)
            try:
                made.replace(target)
            except BaseException:
                if old.exists():
                    old.replace(target)
                raise
    remove_left_behind(target.parent, [target.name])
    return target


def load_bundle(folder: str | Path) -> Bundle:
    """Read a bundle; nothing in it is executed.

    Raises
    ------
    InputError
        If there is no bundle there.
    UnsafeModelError
        If a file of it is damaged or does not fit the others.
    """
    source = Path(folder)
    if not source.exists():
        raise InputError(f"there is no model at {str(source)!r}.")
    if not source.is_dir() or not (source / CONFIG).is_file():
        raise InputError(f"{str(source)!r} is no model bundle (a folder with {CONFIG} and {WEIGHTS}).")
    try:
        config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
        if config.get("format") != FORMAT:
            raise InputError(f"format {config.get('format')!r} is not {FORMAT!r}")
        net = filled(config["architecture"], load_tensors((source / WEIGHTS).read_bytes()))
        rows = None
        if (source / ROWS).is_file():
            rows = vetted_rows(load_arrays((source / ROWS).read_bytes()))
        preprocess = None if config["preprocess"] is None else TableEncoder.from_dict(config["preprocess"])
        refuse_other_width(config["architecture"], preprocess)
        training = vetted(config["training"], "training")
        merge = None if config["merge"] is None else vetted(config["merge"], "merge")
    except OSError as error:
        raise InputError(f"the model at {str(source)!r} cannot be read: {error.strerror}.") from error
    except (SafetensorError, FairheadsError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = first_line(error)[:300]
        raise UnsafeModelError(f"the model at {str(source)!r} is damaged or no bundle: {reason}") from error
    return Bundle(
        net=net.eval(), preprocess=preprocess, training=training, rows=rows, merge=merge, name=source.resolve().name
    )
