"""The one pass over all rows: decisions counted block by block, on from where an interrupted audit had come."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network, OnnxNetwork, TorchNetwork
from fairheads.data import Batch, Dataset, Stream, blocks
from fairheads.data.stream_passes import Pass
from fairheads.errors import FairheadsError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.models.running import running
from fairheads.results import DisparityReport
from fairheads.sums import Cells, Tally

EVERY = 2.0
"""Seconds between two writings of the sums; an audit that takes less writes none."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Decisions on the first ``n`` rows by group and label, and how many of the rows have a clipped probability."""

    cells: Cells
    n: int = 0
    clipped: int = 0

    @classmethod
    def of(cls, batch: Batch, decision: NDArray[np.bool_], groups: tuple[str, ...], clipped: int) -> Counts:
        """The counts of one block."""
        cells = Cells.count(y=batch.y, decision=decision, group=batch.group, groups=groups)
        return cls(cells=cells, n=len(batch), clipped=clipped)

    def __add__(self, other: Counts) -> Counts:
        return Counts(cells=self.cells + other.cells, n=self.n + other.n, clipped=self.clipped + other.clipped)

    def report(self, name: str) -> DisparityReport:
        """The disparity report of these decisions."""
        return disparity_of(Tally(n=self.n, columns=("group",), cells=self.cells), metrics=CORE, name=name)

    def to_dict(self) -> dict[str, Any]:
        return {"n": self.n, "clipped": self.clipped, "cells": self.cells.to_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Counts:
        return cls(cells=Cells.from_dict(plain["cells"]), n=int(plain["n"]), clipped=int(plain["clipped"]))


def counted(
    network: Network,
    data: Dataset | Stream,
    *,
    kept: Kept | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Counts:
    """The decisions (score above 0) on all rows; ``kept`` are those of an interrupted pass, and ``tell`` hears of rows.

    Raises
    ------
    InputError
        If the network fails on the rows.
    """
    counts = Counts(cells=Cells.empty(data.group_names))
    if kept is not None:
        counts = kept.resumed(data) or counts
    done = counts.n
    if tell is not None:
        tell(done, len(data))
    for batch in blocks(data):
        if done:
            done -= len(batch)
            continue
        with running("the model", batch.inputs):
            decision = network.forward(batch.inputs) > 0
        clipped = network.clipped if isinstance(network, TorchNetwork | OnnxNetwork) else 0
        counts = counts + Counts.of(batch, decision, data.group_names, clipped)
        if kept is not None:
            kept.keep(counts, batch)
        if tell is not None:
            tell(counts.n, len(data))
    return counts


def part_of(file: Path) -> Path:
    """Where a file of kept counts is written before it gets its place."""
    return file.with_name(f"{file.name}.part")


def forget(file: str | Path) -> None:
    """Removes the counts that an audit has kept, once its report is saved; nothing where there are none."""
    for each in (Path(file), part_of(Path(file))):
        each.unlink(missing_ok=True)


class Kept:
    """A file that keeps the counts of the first rows while they are counted, so that a killed audit can go on.

    Parameters
    ----------
    file : Path
        Written whole every few seconds; its folder is made.
    network : Network
        Counts are taken up again only of the network that made them: one of the same digest, outcome and scores on the
        first block.
    digest : str
        That of the network's weights; where it is empty, nothing is kept.
    data : Dataset or Stream
    versions : mapping
        Of everything that a score depends on.
    """

    def __init__(
        self, file: Path, network: Network, digest: str, data: Dataset | Stream, versions: Mapping[str, str]
    ) -> None:
        self.file, self._groups, self._known = file, data.group_names, bool(digest)
        first = next(blocks(data))
        with running("the model", first.inputs):
            scores = network.forward(first.inputs)
        said = [
            type(network).__name__,
            digest,
            str(getattr(network, "outcome", None)),
            dict(versions),
            data.group_names,
        ]
        key = hashlib.sha256(json.dumps(said).encode() + np.ascontiguousarray(scores).tobytes())
        self._key, self._read, self._written = key.hexdigest(), self._none(), time.monotonic()

    def _none(self) -> Pass:
        return Pass(np.zeros((len(self._groups), 2), np.int64))

    def resumed(self, data: Dataset | Stream) -> Counts | None:
        """The counts in the file, if its rows are the first ones of ``data``; else None."""
        found = self._stored()
        if found is None:
            return None
        counts, checksum = found
        read = self._none()
        for batch in blocks(data):
            read.add(batch)
            if read.n >= counts.n:
                break
        if (read.n, read.in_order) != (counts.n, checksum):
            return None
        self._read = read
        return counts

    def _stored(self) -> tuple[Counts, int] | None:
        try:
            plain = json.loads(self.file.read_text(encoding="utf-8"))
            if plain["key"] != self._key:
                return None
            return Counts.from_dict(plain["counts"]), int(plain["rows"])
        except (OSError, ValueError, KeyError, TypeError, FairheadsError):
            return None

    def keep(self, counts: Counts, batch: Batch) -> None:
        """Takes in the rows of the block that ``counts`` end with, and writes both if it is time.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        self._read.add(batch)
        now = time.monotonic()
        if not self._known or now - self._written < EVERY:
            return
        self._written = now
        plain = {"key": self._key, "rows": self._read.in_order, "counts": counts.to_dict()}
        part = part_of(self.file)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(plain), encoding="utf-8")
            part.replace(self.file)
        except OSError as error:
            raise InputError(f"{str(self.file)!r} cannot be written: {error.strerror}.") from error
