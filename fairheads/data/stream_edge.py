"""What the batches of a stream must be, and where the first one that is not so stands."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairheads.data.dataset import Batch, Dataset
from fairheads.data.stream_shuffle import arrays_of
from fairheads.errors import InputError


@dataclass(frozen=True, eq=False)
class Edge:
    """Checks batches as they come in, by the rules of `Dataset`, and that they are ``like`` the first one."""

    group_names: tuple[str, ...]
    feature_names: tuple[str, ...] | None
    like: Batch | None = None

    def checked(self, batches: Iterable[Batch | Dataset]) -> Generator[Batch]:
        """The batches as float32 and codes, each looked over; what is wrong is named with its batch."""
        for number, given in enumerate(batches, 1):
            if not len(given.y):
                continue
            where = f"batch {number:,} of the pass"
            if isinstance(given, Dataset):
                if given.group_names != self.group_names:
                    raise InputError(
                        f"{where} must have the `group_names` of the stream, {list(self.group_names)}, got"
                        f" {list(given.group_names)}: the codes would mean something else."
                    )
                batch = given.rows()
            else:
                batch = self._as_dataset(given, where).rows()
            yield self._in_shape(batch, where)

    def _as_dataset(self, batch: Batch, where: str) -> Dataset:
        try:
            return self._dataset(batch)
        except InputError as error:
            lengths = {len(v) if np.ndim(v) else -1 for v in arrays_of(batch)}
            if len(lengths) > 1:
                raise InputError(f"{where}: {error}") from error
            good, bad = 0, lengths.pop()  # the rows before `good` are, those before `bad` are not
            while bad - good > 1:
                middle = (good + bad) // 2
                try:
                    self._dataset(batch.take(slice(0, middle)))
                    good = middle
                except InputError:
                    bad = middle
            raise InputError(f"{where}, row {bad:,} of it (row_id {batch.row_id[bad - 1]}): {error}") from error

    def _dataset(self, batch: Batch) -> Dataset:
        return Dataset(
            batch.inputs,
            batch.y,
            batch.group,
            group_names=self.group_names,
            feature_names=self.feature_names,
            row_id=batch.row_id,
            strata=batch.strata,
        )

    def _in_shape(self, batch: Batch, where: str) -> Batch:
        if self.like is None:
            return batch
        if (batch.strata is None) != (self.like.strata is None):
            raise InputError(f"{where} must have `strata` if and only if the first batch has them.")
        wanted = {key: (value.shape[1:], value.dtype) for key, value in self.like.inputs.items()}
        got = {key: (value.shape[1:], value.dtype) for key, value in batch.inputs.items()}
        if wanted != got:
            raise InputError(f"{where} must have the inputs of the first batch, {_told(wanted)}, got {_told(got)}.")
        if list(wanted) == list(got):
            return batch
        return replace(batch, inputs={key: batch.inputs[key] for key in wanted})


def _told(inputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"{key}{['n', *shape]} {dtype}".replace("'", "") for key, (shape, dtype) in inputs.items())
