"""Streams larger than memory: every row once, repeatable orders, checks at the edge, tables encoded as in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fairheads.data import Batch, Dataset, EncoderFitter, RowRecord, Stream, TableEncoder, read_table, stream_table
from fairheads.data.stream_kinds import joined, kind_of
from fairheads.data.stream_shuffle import arrays_of
from fairheads.errors import ConfigError, InputError

NAMES = ("a", "b", "c")


def rows(n: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=(n, 3)).round(1).astype(np.float32), "tokens": rng.integers(0, 9, (n, 2))}
    return Batch(inputs, rng.integers(0, 2, n), rng.integers(0, 3, n), np.arange(n))


def cut(batch: Batch, sizes: Sequence[int]) -> list[Batch]:
    """The rows in parts of these sizes, the last one with the rest."""
    edges = np.minimum(np.cumsum([0, *sizes]), len(batch)).tolist()
    return [batch.take(slice(a, b)) for a, b in pairwise([*edges, len(batch)]) if a < b]


def stream_of(parts: Sequence[Batch], **settings: Any) -> Stream:
    """A stream in one piece; `Stream(parts)` itself would have one piece per part."""
    return Stream(lambda: iter(parts), group_names=NAMES, **settings)


def ids(batches: Any) -> list[list[int]]:
    return [batch.row_id.tolist() for batch in batches]


def assert_same(one: Batch, other: Batch) -> None:
    assert list(one.inputs) == list(other.inputs)
    for a, b in zip(
        arrays_of(one),
        arrays_of(other),
        strict=True,
    ):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


# --- epochs ------------------------------------------------------------------------------------------------------

SIZES = st.lists(st.integers(0, 40), max_size=8)


@given(st.integers(1, 150), SIZES, st.integers(1, 30), st.integers(1, 80), st.integers(0, 5))
def test_every_row_comes_once_in_batches_of_one_size(
    n: int, sizes: list[int], batch_size: int, buffer: int, seed: int
) -> None:
    whole = rows(n)
    batches = list(stream_of(cut(whole, sizes), buffer=buffer).epoch(seed, batch_size))
    assert [len(batch) for batch in batches] == [batch_size] * (n // batch_size)
    seen = [i for batch in ids(batches) for i in batch]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(n))
    for batch in batches:
        assert_same(batch, whole.take(batch.row_id))


@given(st.integers(1, 150), SIZES, SIZES, st.integers(1, 30), st.integers(1, 80), st.integers(0, 5))
def test_a_seed_gives_the_same_batches_however_the_reader_cuts_them(
    n: int, sizes: list[int], other: list[int], batch_size: int, buffer: int, seed: int
) -> None:
    whole = rows(n)
    one, two = (list(stream_of(cut(whole, s), buffer=buffer).epoch(seed, batch_size)) for s in (sizes, other))
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert_same(a, b)


@given(st.integers(1, 150), SIZES, st.integers(1, 30), st.integers(1, 80), st.integers(0, 12), st.booleans())
def test_skipping_is_the_same_as_consuming(
    n: int, sizes: list[int], batch_size: int, buffer: int, skip: int, pieces: bool
) -> None:
    parts = cut(rows(n), sizes)
    stream = Stream(parts, group_names=NAMES, buffer=buffer) if pieces else stream_of(parts, buffer=buffer)
    resumed, consumed = list(stream.epoch(3, batch_size, skip=skip)), list(stream.epoch(3, batch_size))[skip:]
    assert ids(resumed) == ids(consumed)
    for a, b in zip(resumed, consumed, strict=True):
        assert_same(a, b)


def test_batches_that_were_given_out_are_not_written_to_later() -> None:
    whole = rows(500)
    for batch in list(stream_of([whole], buffer=40).epoch(0, 20)):
        assert_same(batch, whole.take(batch.row_id))


def test_another_seed_is_another_order_and_a_buffer_of_all_rows_mixes_them_evenly() -> None:
    stream = stream_of([rows(100)])
    assert ids(stream.epoch(0, 10)) != ids(stream.epoch(1, 10))
    places = np.array([np.argsort(np.concatenate(ids(stream.epoch(seed, 10)))) for seed in range(400)])
    means, sd = places.mean(0), np.sqrt((100**2 - 1) / 12 / 400)
    assert (abs(means - 49.5) < 4.5 * sd).all(), "every row is equally likely in every place"
    narrow = stream_of([rows(100)], buffer=10)
    shifted = np.array([np.argsort(np.concatenate(ids(narrow.epoch(seed, 10)))) for seed in range(50)])
    assert (abs(shifted.mean(0) - 49.5) > 4.5 * sd * 8**0.5).sum() > 50, "positive control: a small buffer does not"


def test_no_row_comes_earlier_than_the_buffer_allows() -> None:
    for buffer in (10, 30):
        seen = np.concatenate(ids(stream_of([rows(300)], buffer=buffer).epoch(1, 10)))
        assert (seen - np.arange(len(seen))).max() <= buffer + 10


def test_pieces_are_read_in_a_new_order_every_time_and_one_piece_in_its_own() -> None:
    parts = cut(rows(100), [10] * 9)
    pieces = Stream(parts, group_names=NAMES, buffer=1)
    first = {tuple(np.unique(np.concatenate(ids(pieces.epoch(s, 10))[:2]) // 10)) for s in range(8)}
    assert len(first) > 4
    whole = stream_of(parts, buffer=1)
    assert {tuple(sorted(ids(whole.epoch(s, 10))[0])) for s in range(8)} == {tuple(range(10))}
    assert ids(pieces) == ids(whole) == ids(parts), "plain iteration keeps order and batches of the source"


def test_a_sequence_may_read_its_pieces_on_demand() -> None:
    class OnDemand(Sequence[Any]):
        reads: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 5

        def __getitem__(self, i: Any) -> Iterator[Dataset]:
            self.reads.append(i)
            part = rows(50).take(slice(10 * i, 10 * i + 10))
            return iter([Dataset(part.inputs, part.y, part.group, group_names=NAMES, row_id=part.row_id)])

    source = OnDemand()
    stream = Stream(source, group_names=NAMES)
    assert source.reads == [0], "only the first piece is looked at"
    assert sorted(np.concatenate(ids(stream.epoch(0, 10)))) == list(range(50))
    assert sorted(source.reads[1:]) == list(range(5)) and source.reads[1:] != list(range(5))


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"batch_size": 0}, {"skip": -1}])
def test_settings_of_an_epoch_are_checked_when_it_is_asked_for(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"`seed` and `skip` must be at least 0 and `batch_size` at least 1"):
        stream_of([rows(9)]).epoch(**({"seed": 0, "batch_size": 3} | wrong))
    with pytest.raises(ConfigError, match="`buffer` must be at least 1, got 0"):
        stream_of([rows(9)], buffer=0)


def test_strata_are_carried_along_and_checked() -> None:
    whole = replace(rows(100), strata=np.arange(100) % 7)
    stream = stream_of(cut(whole, [30, 5]), buffer=20)
    assert stream.strata is not None and stream.strata.shape == (0,) and stream_of([rows(9)]).strata is None
    batches = list(stream.epoch(0, 8))
    for batch in batches:
        assert batch.strata is not None and batch.strata.tolist() == (batch.row_id % 7).tolist()
    assert len(batches) == 12
    for wrong, message in (
        (None, "must have `strata` if and only if the first batch has them"),
        (np.full(100, -1), "row 1 of it .*`strata` must hold whole numbers from 0"),
        (np.zeros(99, int), r"`strata` must have one entry per row of `X` \(100\), got 99"),
    ):
        with pytest.raises(InputError, match=message):
            list(stream_of([whole, replace(whole, strata=wrong)]))
    source = [whole]
    changing = Stream(source, group_names=NAMES)
    assert len(changing) == 100
    source[0] = replace(whole, strata=np.arange(100) % 6)
    with pytest.raises(InputError, match="with other contents"):
        list(changing)


# --- what is known of a stream -----------------------------------------------------------------------------------


def test_length_counts_and_inputs_are_those_of_the_rows_in_memory() -> None:
    whole = rows(90)
    passes: list[int] = []

    def source() -> list[Batch]:
        passes.append(1)
        return cut(whole, [7, 20, 0, 1])

    stream = Stream(source, group_names=NAMES, feature_names=["u", "v", "w"], name="n")
    assert {k: (v.shape, v.dtype.name) for k, v in stream.inputs.items()} == {
        "x": ((0, 3), "float32"),
        "tokens": ((0, 2), "int64"),
    }
    assert repr(stream) == "Stream('n', x[n, 3], tokens[n, 2], groups=['a', 'b', 'c'])"
    wanted = [[int(((whole.group == g) & (whole.y == k)).sum()) for k in (0, 1)] for g in range(3)]
    assert len(stream) == 90 and stream.counts().tolist() == wanted
    assert len(passes) == 2, "one look at the first batch, one pass"


def test_rows_that_are_to_be_kept_are_taken_from_the_next_pass_whatever_it_is_made_for() -> None:
    whole, passes = rows(90), list[int]()

    def source() -> list[Batch]:
        passes.append(1)
        return cut(whole, [7, 20, 0, 1])

    stream = Stream(source, group_names=NAMES)
    np.testing.assert_array_equal(stream.group, whole.group)
    assert stream.group.itemsize == 1 and len(passes) == 2, "one look at the first batch, one pass"
    places = np.array([0, 6, 7, 50, 89])
    stream.keep(places)
    next(iter(stream))  # no whole pass
    list(stream)
    passes.clear()
    assert_same(stream.take(places).rows(), whole.take(places))
    assert not passes
    assert_same(stream.take(places).rows(), whole.take(places))  # handed over before: read again
    assert len(passes) == 1
    pieces = Stream(cut(whole, [7, 20, 0, 1]), group_names=NAMES)
    pieces.keep(places)
    list(pieces.epoch(0, 10))  # the pieces in another order: nothing is kept
    assert_same(pieces.take(places).rows(), whole.take(places))
    with pytest.raises(InputError, match="ascending places from 0 to 89"):
        stream.keep([3, 1])


@given(st.integers(1, 120), SIZES)
def test_the_record_of_a_stream_is_that_of_its_rows_in_memory(n: int, sizes: list[int]) -> None:
    whole = rows(n)
    data = Dataset(whole.inputs, whole.y, whole.group, group_names=NAMES)
    stream = stream_of(cut(whole, sizes))
    record = RowRecord.of(stream)
    assert record.digest == RowRecord.of(data).digest and record.n == n
    assert record.seen(stream) == n == RowRecord.of(data).seen(stream)
    assert record.counts.dtype == np.int64 and (np.diff(record.hashes.astype(object)) > 0).all()


def test_records_of_parts_add_up_whatever_is_merged_when(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(300)
    whole = whole.take(np.random.default_rng(0).integers(0, 300, 2000))  # with repeats
    data = Dataset(whole.inputs, whole.y, whole.group, group_names=NAMES)
    parts = [RowRecord.of(data.take(range(start, start + 500))) for start in range(0, 2000, 500)]
    assert (parts[0] + parts[1] + parts[2] + parts[3]).digest == RowRecord.of(data).digest
    assert (parts[3] + (parts[1] + parts[0]) + parts[2]).digest == RowRecord.of(data).digest
    assert (parts[0] + parts[1]).digest != RowRecord.of(data).digest
    monkeypatch.setattr("fairheads.data.rows._MERGED_AT_LEAST", 16)
    assert RowRecord.of(stream_of(cut(whole, [9] * 200))).digest == RowRecord.of(data).digest


def test_an_overlap_of_a_stream_with_training_rows_is_refused() -> None:
    wide = Batch(
        {"x": np.random.default_rng(0).normal(size=(400, 3))}, np.arange(400) % 2, np.arange(400) % 3, np.arange(400)
    )
    record = RowRecord.of(stream_of([wide.take(slice(0, 200))]))
    assert record.refuse_overlap(stream_of([wide.take(slice(200, 400))])) == (0.0, 0.0)
    with pytest.raises(InputError, match=r"50\.0% of the 200 rows equal a training row"):
        record.refuse_overlap(stream_of([wide.take(slice(100, 300))]))


# --- what is refused ---------------------------------------------------------------------------------------------


def spoilt(change: Callable[[Batch], Batch]) -> Stream:
    """Three batches of 20 rows, the last one changed."""
    parts = cut(rows(60), [20, 20])
    return stream_of([*parts[:2], change(parts[2])], feature_names=["u", "v", "w"])


def with_value(name: str, row: int, value: float) -> Callable[[Batch], Batch]:
    def change(batch: Batch) -> Batch:
        inputs = {k: v.copy() for k, v in batch.inputs.items()}
        arrays = {"y": batch.y.astype(float), "group": batch.group.copy()}
        if name == "x":
            inputs["x"][row, 1] = value
        else:
            arrays[name][row] = value
        return Batch(inputs, arrays["y"], arrays["group"], batch.row_id)  # type: ignore[arg-type]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("x", 4, np.nan), r"batch 3 of the pass, row 5 of it \(row_id 44\).*NaN.*feature 'v'"),
        (with_value("x", 0, np.inf), r"batch 3 .*row 1 of it .*`x` must be finite"),
        (with_value("y", 19, 2), r"batch 3 .*row 20 of it \(row_id 59\): `y` must be 0 or 1"),
        (with_value("y", 7, np.nan), r"row 8 of it .*`y` must be 0 or 1"),
        (with_value("group", 3, 3), r"batch 3 .*row 4 of it .*`group` must hold codes from 0 to 2"),
        (with_value("group", 3, -7), r"batch 3 .*row 4 of it .*`group` must hold codes from 0 to 2"),
        (
            lambda b: Batch(b.inputs, b.y[:-1], b.group, b.row_id),
            r"batch 3 of the pass: `y` must have one entry per row of `X` \(20\), got 19",
        ),
        (
            lambda b: Batch({"x": b.inputs["x"]}, b.y, b.group, b.row_id),
            r"batch 3 .* must have the inputs of the first batch, x\[n, 3\] float32, tokens\[n, 2\] int64, got x\[n",
        ),
        (
            lambda b: Batch(b.inputs | {"x": b.inputs["x"][:, :2]}, b.y, b.group, b.row_id),
            r"batch 3 .* must have the inputs of the first batch.*got x\[n, 2\]",
        ),
        (
            lambda b: Dataset(b.inputs, b.y, b.group, group_names=["c", "b", "a"]),
            r"batch 3 .* must have the `group_names` of the stream, \['a', 'b', 'c'\], got \['c', 'b', 'a'\]",
        ),
        (lambda b: {"x": 1}, r"`source` must give `Batch`es or `Dataset`s, got a dict"),
    ],
)
def test_a_bad_batch_is_refused_with_its_place(change: Any, message: str) -> None:
    assert len(spoilt(lambda batch: batch)) == 60
    stream = spoilt(change)
    for read in (lambda: list(stream.epoch(0, 8)), stream.counts, lambda: RowRecord.of(stream)):
        with pytest.raises(InputError, match=message):
            read()


def test_inputs_in_another_order_are_put_in_order() -> None:
    parts = cut(rows(40), [20])
    turned = Batch(dict(reversed(parts[1].inputs.items())), parts[1].y, parts[1].group, parts[1].row_id)
    assert [list(batch.inputs) for batch in stream_of([parts[0], turned])] == [["x", "tokens"]] * 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter([rows(5)]), "`source` must be readable again and again, got a list_iterator.*give a function"),
        ((b for b in [rows(5)]), "`source` must be readable again and again, got a generator"),
        (3, "`source` must be an iterable of batches or return one, got a int"),
        ({"x": 3}, "`source` must be an iterable of batches or return one, got a dict"),
        ([], "`source` must give at least one row, got none"),
        (lambda: iter(()), "`source` must give at least one row, got none"),
        ([rows(5).take(slice(0, 0))], "`source` must give at least one row, got none"),
        (["abc"], "`source` must give `Batch`es or `Dataset`s, got a str"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_at_once(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Stream(source, group_names=NAMES)


@pytest.mark.parametrize("names", [[], "ab", ["a", "a"]])
def test_group_names_are_checked(names: Any) -> None:
    with pytest.raises(InputError, match="`group_names` must be names that differ"):
        Stream([rows(5)], group_names=names)


def test_a_function_that_returns_the_same_generator_again_is_refused() -> None:
    once = iter([rows(5), rows(6)])
    stream = Stream(lambda: once, group_names=NAMES)
    with pytest.raises(InputError, match="`source` must start anew every time it is called"):
        list(stream)


def test_pieces_that_are_used_up_are_refused() -> None:
    pieces = [iter([rows(5), rows(6)]), iter([rows(7)])]
    stream = Stream(pieces, group_names=NAMES)
    assert sum(len(batch) for batch in stream) == 13, "the first look took the first batch; this pass cannot know"
    with pytest.raises(InputError, match="same rows in every pass, got 0 rows after 13; a generator can be read"):
        list(stream)


CHANGES: dict[str, tuple[Callable[[Batch], Batch], str]] = {
    "nothing": (lambda b: b, ""),
    "order": (lambda b: b.take(np.arange(len(b))[::-1]), ""),
    "row ids": (lambda b: Batch(b.inputs, b.y, b.group, b.row_id + 1), ""),
    "a row less": (lambda b: b.take(slice(1, None)), "got 39 rows after 40"),
    "a row twice": (lambda b: b.take(np.r_[0, 0:19]), "got 40 rows twice, but with other contents"),
    "an input": (
        lambda b: Batch(b.inputs | {"x": b.inputs["x"] + np.eye(20, 3) / 64}, b.y, b.group, b.row_id),
        "contents",
    ),
    "a token": (
        lambda b: Batch(b.inputs | {"tokens": b.inputs["tokens"][:, ::-1]}, b.y, b.group, b.row_id),
        "contents",
    ),
    "labels": (lambda b: Batch(b.inputs, 1 - b.y, b.group, b.row_id), "other labels or groups among them"),
    "groups": (lambda b: Batch(b.inputs, b.y, (b.group + 1) % 3, b.row_id), "other labels or groups among them"),
    "labels of two rows": (lambda b: Batch(b.inputs, b.y[np.r_[2, 1, 0, 3:20]], b.group, b.row_id), "contents"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("read", [lambda s: list(s.epoch(1, 7)), list, RowRecord.of])
def test_rows_that_change_between_passes_are_refused_and_other_orders_are_not(what: str, read: Any) -> None:
    change, message = CHANGES[what]
    parts = cut(rows(40, seed=11), [20])
    assert parts[1].y[0] != parts[1].y[2]
    source = list(parts)
    stream = Stream(source, group_names=NAMES)
    before = list(stream.epoch(0, 7))
    assert len(before) == 5
    source[1] = change(parts[1])
    if message:
        with pytest.raises(InputError, match=message):
            read(stream)
    else:
        read(stream)


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_changes_with_whatever_changes_the_batches(what: str) -> None:
    change, message = CHANGES[what]
    parts = cut(rows(40, seed=11), [20])
    plain = stream_of(parts)
    list(plain.epoch(0, 7))
    assert plain.digest() == stream_of(cut(rows(40, seed=11), [3, 9])).digest() == plain.digest()
    same = stream_of([parts[0], change(parts[1])]).digest() == plain.digest()
    assert same == (not message and what != "order")


def test_the_digest_knows_buffer_pieces_and_group_names() -> None:
    parts = cut(rows(40), [20])
    streams = [stream_of(parts), stream_of(parts, buffer=9), Stream(parts, group_names=NAMES)]
    streams.append(Stream(lambda: iter(parts), group_names=["a", "b", "d"]))
    assert len({stream.digest() for stream in streams}) == 4


def test_an_epoch_that_is_left_early_is_no_complete_pass() -> None:
    stream = stream_of(cut(rows(100), [10] * 9), buffer=10)
    next(iter(stream.epoch(0, 5)))
    next(iter(stream))
    assert len(stream) == 100


# --- the encoder, batch by batch ---------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.sampled_from([0.0, 1.0, -1e3, 1e9]),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.integers(0, 1000),
)
def test_an_encoder_fitted_in_parts_is_the_one_fitted_at_once(
    sizes: list[int], mean: float, sd: float, seed: int
) -> None:
    assume(sd > 1e-12 * abs(mean) * 1e4)
    n, rng = sum(sizes), np.random.default_rng(seed)
    columns = {
        "gauss": rng.normal(mean, sd, n),
        "whole": rng.integers(-3, 90, n),
        "truth": rng.random(n) < 0.3,
        "fixed": np.full(n, 0.1 + mean),
        "text": rng.choice(["b", "a", "Z", "?"], n),
        "object": np.array(rng.choice(["u", "v", None], n), object),
        "id": np.arange(n),
    }
    fitter = EncoderFitter(ignore=["id"])
    for a, b in pairwise(np.cumsum([0, *sizes]).tolist()):
        fitter.update({k: v[a:b] for k, v in columns.items()})
    once = TableEncoder.fit(columns, ignore=["id"])
    assert fitter.encoder.categories == once.categories and fitter.encoder.ignored == once.ignored
    assert list(fitter.encoder.numeric) == list(once.numeric)
    for name, (m, s) in once.numeric.items():
        got = fitter.encoder.numeric[name]
        assert got[1] == pytest.approx(s, rel=1e-12, abs=0)
        assert got[0] == pytest.approx(m, rel=1e-12, abs=1e-12 * s)
        exact = columns[name].astype(np.longdouble)
        assert got[0] == pytest.approx(float(exact.mean()), rel=1e-12, abs=1e-12 * s)
        if name != "fixed" and n > 1 and len(set(columns[name].tolist())) > 1:
            assert got[1] == pytest.approx(float(exact.std()), rel=1e-12)
    assert once.numeric["fixed"][1] == 1.0


def test_batches_that_do_not_go_together_are_refused_by_the_fitter() -> None:
    fitter = EncoderFitter()
    fitter.update({"a": np.arange(3), "b": np.array(["u", "v", "u"])})
    with pytest.raises(InputError, match="column 'b' must be numbers in every batch or text in every batch, got both"):
        fitter.update({"a": np.arange(3), "b": np.arange(3)})
    with pytest.raises(InputError, match=r"every batch must have the columns \['a', 'b'\], got \['a'\]"):
        fitter.update({"a": np.arange(3)})
    many = EncoderFitter()
    many.update({"name": np.array([f"n{i}" for i in range(900)])})
    with pytest.raises(InputError, match="column 'name' is text with 1,100 different values"):
        many.update({"name": np.array([f"n{i}" for i in range(700, 1100)])})
    with pytest.raises(InputError, match="no input column is left"):
        _ = EncoderFitter().encoder


# --- tables ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of seven rows, so that types differ between parts."""
    monkeypatch.setattr("fairheads.data.stream_files.ROWS", 7)


def frame(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "hours": rng.normal(40, 10, n).round(3),
            "whole": np.where(np.arange(n) < n // 2, 3.0, 2.5),
            "member": rng.integers(0, 2, n).astype(bool),
            "city": rng.choice(["Rome", "Oslo ", None], n),
            "floor": ["1"] * (n // 2) + ["2.50"] * 3 + ["x"] * (n - n // 2 - 3),
            "sex": rng.choice(["F", "M"], n),
            "area": rng.choice(["N", "S"], n),
            "hired": np.arange(n) % 2,
        }
    )


TYPES: list[dict[str, Any]] = [
    {},
    {"city": "string", "sex": "string"},
    {"city": "object", "sex": "object"},
    {"city": "category", "sex": "category", "area": "category"},
    {"age": "Int64", "hours": "Float64", "member": "boolean", "hired": "boolean"},
    {"age": "int8", "hours": "float32", "hired": "float64"},
]


def assert_as_in_memory(stream: Stream, path: Path, **settings: Any) -> None:
    """The stream gives what `read_table` gives."""
    table = read_table(path, **settings)
    data = table.encode(table.fit_encoder(np.ones(len(table), bool)))
    assert stream.preprocess is not None and data.preprocess is not None
    assert stream.preprocess.categories == data.preprocess.categories
    assert stream.preprocess.ignored == data.preprocess.ignored
    assert list(stream.preprocess.numeric) == list(data.preprocess.numeric)
    for name, (mean, sd) in data.preprocess.numeric.items():
        assert stream.preprocess.numeric[name] == pytest.approx((mean, sd), rel=1e-12, abs=1e-12 * sd)
    assert stream.group_names == data.group_names and stream.feature_names == data.feature_names
    assert stream.name == data.name and stream.outcome == {"label": table.label, "favourable": table.favourable}
    read = list(stream)
    for name in ("y", "group", "row_id"):
        assert np.concatenate([getattr(b, name) for b in read]).tolist() == getattr(data, name).tolist()
    np.testing.assert_allclose(np.concatenate([b.inputs["x"] for b in read]), data.inputs["x"], atol=1e-6)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("dtypes", "missing"),
    [
        pytest.param(
            dtypes,
            missing,
            id="-".join([*dict.fromkeys(dtypes.values()), "missing" if missing else "as-is"]),
            marks=[pytest.mark.slow] if dtypes or missing else [],
        )
        for dtypes in TYPES
        for missing in (False, True)
    ],
)
def test_a_streamed_table_is_the_table_in_memory(dtypes: dict[str, str], missing: bool, tmp_path: Path) -> None:
    table = frame().astype(dtypes)
    if missing:
        table["member"] = table["member"].astype("boolean").mask(table.index == 30)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.xz", index=False)
    table.to_parquet(tmp_path / "t.parquet", index=False, row_group_size=25)
    for file in ("t.csv", "t.csv.xz", "t.parquet"):
        for settings in (
            {
                "label": "hired",
                "group": ["sex"],
                "favourable": "True" if "hired" in dtypes and "member" in dtypes else "1",
            },
            {"label": "sex", "group": ["area", "member"][: 1 if missing else 2], "favourable": "F", "drop": ["floor"]},
            {"label": "sex", "group": ["area", "whole"], "favourable": "F", "group_in_inputs": True},
            {"label": "area", "group": ["sex"], "favourable": "S", "drop": ["sex"]},
        ):
            assert_as_in_memory(stream_table(tmp_path / file, **settings), tmp_path / file, **settings)


@pytest.mark.usefixtures("small_parts")
def test_a_column_that_turns_out_to_be_text_late_is_text_from_the_start(tmp_path: Path) -> None:
    table = frame().assign(code=["01"] * 20 + [""] * 20 + ["2.50"] * 19 + ["x"], flag=["TRUE"] * 59 + ["1"])
    table.to_csv(tmp_path / "t.csv", index=False)
    stream = stream_table(tmp_path / "t.csv", label="hired", group=["sex"])
    assert_as_in_memory(stream, tmp_path / "t.csv", label="hired", group=["sex"])
    assert stream.preprocess is not None
    assert stream.preprocess.categories["code"] == ("01", "2.50", "?", "x")
    table.assign(code=["01"] * 20 + [""] * 20 + ["2.50"] * 20).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="column 'code' has 20 missing"):
        stream_table(tmp_path / "t.csv", label="hired", group=["sex"])


@pytest.mark.usefixtures("small_parts")
def test_a_folder_is_its_files_one_after_the_other(tmp_path: Path) -> None:
    whole = frame()
    folder = tmp_path / "parts"
    for area, rows_ in whole.groupby("area"):
        (folder / f"area={area}").mkdir(parents=True)
        rows_.drop(columns="area").to_parquet(folder / f"area={area}" / "a.parquet", index=False, row_group_size=9)
        rows_.drop(columns="area")[["sex", *rows_.columns.drop(["sex", "area"])]].to_csv(
            folder / f"area={area}" / "b.csv", index=False
        )
    stream = stream_table(folder, label="hired", group=["sex", "area"])
    twice = [rows_ for _, part in whole.groupby("area") for rows_ in (part, part)]
    pd.concat(twice)[whole.columns].to_csv(tmp_path / "parts.csv", index=False)
    joined_up = stream_table(tmp_path / "parts.csv", label="hired", group=["sex", "area"], name="parts")
    assert stream.name == "parts" and stream.group_names == ("F, N", "F, S", "M, N", "M, S")
    assert stream.preprocess is not None and joined_up.preprocess is not None
    assert stream.preprocess.categories == joined_up.preprocess.categories
    assert stream.counts().tolist() == joined_up.counts().tolist() and len(stream) == 120
    for name in ("y", "group", "row_id"):
        one, two = (np.concatenate([getattr(b, name) for b in s]) for s in (stream, joined_up))
        assert one.tolist() == two.tolist()
    assert RowRecord.of(stream).n == 120
    order = [i // 9 for i in np.concatenate(ids(stream.epoch(0, 10)))]
    assert len(order) == 120


def test_a_given_encoder_is_used_and_counts_what_it_has_not_seen(tmp_path: Path) -> None:
    table = frame()
    table[table["city"] != "Rome"].to_csv(tmp_path / "train.csv", index=False)
    table.to_csv(tmp_path / "test.csv", index=False)
    train = stream_table(tmp_path / "train.csv", label="hired", group=["sex"])
    test = stream_table(tmp_path / "test.csv", label="hired", group=["sex"], encoder=train.preprocess)
    assert test.preprocess is train.preprocess and train.unseen == {}
    assert test.unseen == {"city": int((table["city"] == "Rome").sum())}
    read = read_table(tmp_path / "test.csv", label="hired", group=["sex"])
    assert train.preprocess is not None
    wanted = read.encode(train.preprocess)
    assert np.array_equal(np.concatenate([b.inputs["x"] for b in test]), wanted.inputs["x"])
    assert wanted.unseen == test.unseen
    table.drop(columns="age").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(InputError, match=r"columns \['age'\] are missing"):
        stream_table(tmp_path / "less.csv", label="hired", group=["sex"], encoder=train.preprocess)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"label": "hird"}, r"has no column 'hird' \(did you mean 'hired'\?\)"),
        ({}, {"group": ["nobody"]}, "has no column 'nobody'"),
        ({}, {"drop": ["nothing"]}, "has no column 'nothing'"),
        ({}, {"group": ["hired"]}, "column 'hired' cannot be both the label and the group"),
        ({}, {"label": "city", "group": ["sex"]}, "the label column 'city' has .* missing values"),
        ({}, {"group": ["sex", "city"]}, "the group column 'city' has .* missing values"),
        ({}, {"label": "age"}, "the label column 'age' must have two values"),
        ({}, {"label": "sex", "group": ["area"]}, "which value of 'sex' is favourable"),
        ({}, {"favourable": "2"}, "`favourable` must be a value of 'hired'"),
        ({"hours": np.where(np.arange(60) == 50, np.nan, 1.0)}, {}, "column 'hours' has 1 missing"),
        ({"id": [f"n{i}" for i in range(60)]}, {"group": ["id"]}, ""),
        ({"id": np.arange(60)}, {"group": ["id", "hours"]}, ""),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_as_in_memory(
    change: dict[str, Any], settings: dict[str, Any], message: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"t.{kind}"
    table = frame().assign(**change)
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path, index=False, row_group_size=25)
    settings = {"label": "hired", "group": ["sex"]} | settings
    if not message:
        assert len(stream_table(path, **settings)) == 60
        return
    with pytest.raises(InputError, match=message):
        stream_table(path, **settings)


def test_other_things_a_table_is_refused_for(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    frame().to_csv(path, index=False)
    with pytest.raises(ConfigError, match="`group` must be a sequence"):
        stream_table(path, label="hired", group="sex")
    with pytest.raises(ConfigError, match="`group` must name at least one column"):
        stream_table(path, label="hired", group=[])
    with pytest.raises(InputError, match="no input column is left"):
        stream_table(path, label="hired", group=["sex"], drop=[c for c in frame().columns if c not in ("hired", "sex")])
    with pytest.raises(InputError, match="there is no file"):
        stream_table(tmp_path / "none.csv", label="hired", group=["sex"])
    path.write_text("age,sex,hired\n")
    with pytest.raises(InputError, match=r"t\.csv has no rows"):
        stream_table(path, label="hired", group=["sex"])
    frame().to_csv(path)
    with pytest.raises(InputError, match="column without a name"):
        stream_table(path, label="hired", group=["sex"])
    frame(300).assign(n=np.arange(300)).to_csv(path, index=False)
    with pytest.raises(InputError, match="more than 100 groups"):
        stream_table(path, label="hired", group=["n"])
    frame().drop(columns="age").to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(InputError, match=r"u\.csv must have the columns of t\.csv: it lacks \['age', 'n'\]"):
        stream_table(tmp_path, label="hired", group=["sex"])


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = frame()

    def fresh() -> Stream:
        table.to_csv(path, index=False)
        stream = stream_table(path, label="hired", group=["sex"])
        len(stream)
        return stream

    for changed, message in (
        (table.iloc[:50], r"t\.csv has changed since it was first read: it had 60 rows and has 50"),
        (table.assign(sex="X"), "its labels or groups are others"),
        (table.assign(hired=7), "its labels or groups are others"),
        (table.assign(age=table["age"] + (table.index == 8)), "with other contents"),
        (table.assign(age="old"), "column 'age' must be numeric"),
        (table.drop(columns="age"), r"it lacks \['age'\]"),
    ):
        stream = fresh()
        changed.to_csv(path, index=False)
        with pytest.raises(InputError, match=message):
            list(stream.epoch(0, 8))


def test_kinds_join_in_any_order_as_pandas_takes_the_whole_column() -> None:
    kinds = ("empty", "number", "bool", "truth", "text")
    for a in kinds:
        for b in kinds:
            assert joined(a, b) == joined(b, a) and joined(a, a) == a
            for c in kinds:
                assert joined(joined(a, b), c) == joined(a, joined(b, c)), (a, b, c)
    assert kind_of(pd.Series([1.5, None])) == "number" and kind_of(pd.Series([None, None], dtype=object)) == "empty"
    assert kind_of(pd.Series([True, None], dtype=object)) == "truth" and kind_of(pd.Series([True])) == "bool"
    assert kind_of(pd.Series(["a", None])) == "text" and kind_of(pd.Series([np.nan])) == "empty"
