"""Rows that do not fit into memory: read anew in every pass, checked as they come, shuffled through a buffer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.data.dataset import Batch, Dataset, joined
from fairheads.data.stream_edge import Edge
from fairheads.data.stream_passes import Pass, Taking
from fairheads.data.stream_shuffle import shuffled
from fairheads.errors import ConfigError, InputError

if TYPE_CHECKING:
    from fairheads.data.preprocess import TableEncoder

BUFFER = 65_536
"""Rows of the shuffle buffer, unless told."""

Source = Iterable[Any] | Callable[[], Iterable[Any]]
"""Batches or data sets, or iterables of them, that can be had again and again."""


class Stream:
    """Rows larger than memory: inputs, a label in {0, 1} and a group; each iteration reads them anew as batches.

    Parameters
    ----------
    source : iterable, or callable without arguments that returns one
        Of `Batch` and `Dataset` (or of iterables of them). It is read once per pass, so it must give the same rows
        every time. A **sequence** (a list, or a class of your own with ``__len__`` and ``__getitem__``) is a source
        in pieces, such as files: `epoch` reads them in a new order every time.
    group_names : sequence of str
        Names of the group codes 0..K-1, the same in all batches; a `Dataset` in the source must have the same.
    feature_names : sequence of str, optional
    name : str
        What reports call the data.
    preprocess : TableEncoder, optional
        How the inputs were made from a table, carried along so that a saved model can keep it.
    unseen : mapping of column to count, optional
        Rows whose category the encoder had not seen, for the report.
    outcome : mapping, optional
        Column and favourable value of the label: ``{"label": ..., "favourable": ...}``.
    buffer : int
        Rows that `epoch` shuffles among. More mix better and cost their own size in memory. Rows that lie further
        apart in one piece hardly mix: a single file sorted by label needs a buffer as large as itself, or to be
        written in random order once.

    Raises
    ------
    InputError
        If the source can be read only once or gives nothing; while iterating, on everything that `Dataset` refuses,
        with the batch and row, on batches of different inputs, and at the end of a pass if its rows are not those of
        the first complete pass.
    ConfigError
        On a buffer below 1.

    Notes
    -----
    `len`, `counts`, `group` and the record of the rows each need one complete pass. What the first complete one shows
    is noted, whatever it is made for, so ``RowRecord.of(stream)`` makes the others free. ``row_id`` is what the source
    says.

    Examples
    --------
    >>> def parts():
    ...     for k in range(4):
    ...         yield Dataset(np.full((3, 1), k), [0, 1, 1], [0, 1, 1], group_names=["a", "b"])
    >>> stream = Stream(parts, group_names=["a", "b"])
    >>> len(stream), stream.counts().tolist(), stream.inputs["x"].shape
    (12, [[4, 0], [0, 8]], (0, 1))
    >>> [len(batch) for batch in stream.epoch(seed=0, batch_size=5)]
    [5, 5]
    """

    def __init__(
        self,
        source: Source,
        *,
        group_names: Sequence[str],
        feature_names: Sequence[str] | None = None,
        name: str = "",
        preprocess: TableEncoder | None = None,
        unseen: Mapping[str, int] | None = None,
        outcome: Mapping[str, str] | None = None,
        buffer: int = BUFFER,
    ) -> None:
        if isinstance(source, Iterator):
            raise InputError(
                f"`source` must be readable again and again, got a {type(source).__name__}, which can be read only"
                " once: give a function that starts a new one."
            )
        if not callable(source) and not _is_iterable(source):
            raise InputError(f"`source` must be an iterable of batches or return one, got a {type(source).__name__}.")
        if buffer < 1:
            raise ConfigError(f"`buffer` must be at least 1, got {buffer}.")
        if isinstance(group_names, str) or not group_names or len(set(map(str, group_names))) != len(group_names):
            raise InputError(f"`group_names` must be names that differ from each other, got {group_names!r}.")
        self.group_names = tuple(str(name) for name in group_names)
        self.feature_names = tuple(feature_names) if feature_names is not None else None
        self.name, self.preprocess, self.buffer = name, preprocess, int(buffer)
        self.unseen, self.outcome = dict(unseen or {}), dict(outcome or {})
        self._source = source
        self._last: object = None
        self._first: Pass | None = None
        self._in_order: int | None = None
        self._group: NDArray[np.signedinteger] | None = None
        self._wanted: Taking | None = None
        self._edge = Edge(self.group_names, self.feature_names)
        batches = self._edge.checked(self._opened(None))
        first = next(batches, None)
        batches.close()
        if first is None:
            raise InputError("`source` must give at least one row, got none.")
        self._edge = replace(self._edge, like=first.take(np.zeros(0, np.int64)))

    def __iter__(self) -> Iterator[Batch]:
        """The rows in the order and the batches of the source."""
        return self._pass(None)

    def __len__(self) -> int:
        return self._known().n

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key}{['n', *value.shape[1:]]}".replace("'", "") for key, value in self.inputs.items())
        return f"Stream({self.name!r}, {shapes}, groups={list(self.group_names)})"

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """Shape and type of every input, as arrays without rows."""
        return {} if self._edge.like is None else self._edge.like.inputs

    @property
    def strata(self) -> NDArray[np.int64] | None:
        """None, or an array without rows if the batches have strata."""
        return None if self._edge.like is None else self._edge.like.strata

    @property
    def group(self) -> NDArray[np.signedinteger]:
        """The group code of every row in the order of the source, (n,), a byte a row; takes a pass, as `len`."""
        if self._group is None:
            self._read()
        return np.empty(0, np.int8) if self._group is None else self._group

    def counts(self) -> NDArray[np.int64]:
        """Rows of every group (axis 0) with label 0 and 1 (axis 1), shape (groups, 2)."""
        return self._known().counts.copy()

    def digest(self) -> str:
        """A hash of everything that, with seed, batch size and numpy, decides what the batches of `epoch` are.

        That is the rows with their groups and strata, in the order of the source, the number of pieces, and the
        buffer. A run that is resumed must find the same. It takes a pass, unless one has been made by iterating.
        """
        if self._in_order is None:
            self._read()
        pieces = len(self._source) if isinstance(self._source, Sequence) else 1
        known = (len(self), self._in_order, self.counts().tolist(), self.group_names, pieces, self.buffer)
        return hashlib.sha256(repr(known).encode()).hexdigest()

    def epoch(self, seed: int, batch_size: int, *, skip: int = 0) -> Iterator[Batch]:
        """Batches of exactly ``batch_size`` rows in a pseudo-random order; the rows left over are dropped.

        Every row comes once, but for the ``len(stream) % batch_size`` left over, which are others for another seed.

        Parameters
        ----------
        seed : int
            At least 0. The same seed gives the same batches to the bit, for the same rows in the same pieces,
            ``batch_size``, ``buffer`` and version of numpy. How large the batches are in which a piece is read plays
            no part; a source that is no sequence is one piece.
        batch_size : int
        skip : int
            Leaves out the first batches, to resume where a run was interrupted. Their rows are read all the same.

        Raises
        ------
        ConfigError
            On a seed or skip below 0 or a batch size below 1.
        InputError
            See `Stream`; in particular, once all rows are read, if they are not those of the pass before.
        """
        if seed < 0 or skip < 0 or batch_size < 1:
            raise ConfigError(
                "`seed` and `skip` must be at least 0 and `batch_size` at least 1,"
                f" got {seed}, {skip} and {batch_size}."
            )
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._source)) if isinstance(self._source, Sequence) else None
        return shuffled(self._pass(order), batch_size, buffer=self.buffer, rng=rng, skip=skip)

    def take(self, index: ArrayLike) -> Dataset:
        """The rows at these places in the order of the source, ascending and each once, in memory; takes a pass, unless
        `keep` was told of them before one.

        Raises
        ------
        InputError
            If the places do not ascend or lie outside the rows.
        """
        places = np.asarray(index, np.int64)
        if self._wanted is None or not np.array_equal(self._wanted.places, places) or self._wanted.row < len(self):
            self.keep(places)
            self._read()
        taken, self._wanted = self._wanted, None
        rows = joined([] if taken is None else taken.found)
        return Dataset(
            rows.inputs,
            rows.y,
            rows.group,
            group_names=self.group_names,
            feature_names=self.feature_names,
            name=self.name,
            preprocess=self.preprocess,
            row_id=rows.row_id,
            strata=rows.strata,
            unseen=self.unseen,
        )

    def keep(self, index: ArrayLike) -> None:
        """Has the next pass, whatever it is made for, hold the rows at these places until `take` asks for them.

        Raises
        ------
        InputError
            As `take`.
        """
        places = np.asarray(index, np.int64)
        if not len(places) or (np.diff(places) <= 0).any() or places[0] < 0 or places[-1] >= len(self):
            raise InputError(f"`index` must be ascending places from 0 to {len(self) - 1}, got {index!r}.")
        self._wanted = Taking(places)

    def _read(self) -> None:
        """A pass for what is noted on the way."""
        for _ in self:
            pass

    def _known(self) -> Pass:
        if self._first is None:
            self._read()
        if self._first is None:
            raise InputError("the source must give the same rows in every pass, got none.")
        return self._first

    def _pass(self, order: NDArray[np.int64] | None) -> Iterator[Batch]:
        """The rows of one pass, compared with the first one at the end."""
        now, codes = Pass(np.zeros((len(self.group_names), 2), np.int64)), list[NDArray[np.signedinteger]]()
        wanted = None if order is not None or self._wanted is None else Taking(self._wanted.places)
        for batch in self._edge.checked(self._opened(order)):
            now.add(batch)
            if order is None and self._group is None:
                codes.append(batch.group.astype(np.min_scalar_type(-len(self.group_names))))
            if wanted is not None:
                wanted.add(batch)
            yield batch
        if self._first is not None:
            self._first.refuse_other(now)
        elif now.n:
            self._first = now
        else:
            raise InputError("the source must give the same rows in every pass, got 0 rows after some.")
        if order is None:
            self._in_order = now.in_order
            self._group = np.concatenate(codes) if self._group is None else self._group
            self._wanted = wanted

    def _opened(self, order: NDArray[np.int64] | None) -> Iterator[Batch | Dataset]:
        if isinstance(self._source, Sequence):
            places = range(len(self._source)) if order is None else order.tolist()
            yield from itertools.chain.from_iterable(_flat(self._source[i]) for i in places)
            return
        opened = self._source() if callable(self._source) else self._source
        if isinstance(opened, Iterator):
            if opened is self._last:
                raise InputError(
                    f"`source` must start anew every time it is called, got the same {type(opened).__name__} twice."
                )
            self._last = opened
        yield from _flat(opened)


def _is_iterable(item: object) -> bool:
    return isinstance(item, Iterable) and not isinstance(item, (str, bytes, Mapping, np.ndarray))


def _flat(item: Any) -> Iterator[Batch | Dataset]:
    """The batches and data sets in an item of a source."""
    if isinstance(item, Batch | Dataset):
        yield item
    elif _is_iterable(item):
        for inner in item:
            yield from _flat(inner)
    else:
        raise InputError(f"`source` must give `Batch`es or `Dataset`s, got a {type(item).__name__}.")
