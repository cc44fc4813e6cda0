"""Twins that a caller brings: their rows compared, none twice, none audited on its own rows."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fairheads.data import Dataset, RowRecord
from fairheads.errors import InputError
from fairheads.models import Bundle
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.twins import TwinRecipe
from fairheads.twins.given import refuse_trained_on, refuse_twice, same_rows


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return synthetic(200, seed=0)


def trained_on(data: Dataset | None, seed: int = 0) -> Bundle:
    return Bundle(net=MLP(8, hidden=(4,), seed=seed), rows=None if data is None else RowRecord.of(data))


def test_rows_are_the_same_only_where_all_say_so(rows: Dataset) -> None:
    ours, theirs = trained_on(rows), trained_on(synthetic(200, seed=1))
    assert same_rows([ours, trained_on(rows, 1)]) is True
    assert same_rows([ours, theirs]) is False
    assert same_rows([ours, trained_on(None)]) is None and same_rows([ours, ours.net]) is None


def test_rows_of_a_twin_are_refused_as_far_as_they_are_known(rows: Dataset) -> None:
    with pytest.raises(InputError, match="a twin"):
        refuse_trained_on([trained_on(None), trained_on(rows)], rows)
    refuse_trained_on([trained_on(None), trained_on(rows).net, trained_on(synthetic(200, seed=1))], rows)


def test_the_same_weights_twice_are_refused() -> None:
    one, other = MLP(8, hidden=(4,), seed=0), MLP(8, hidden=(4,), seed=1)
    refuse_twice([one, other])
    with pytest.raises(InputError, match="same weights"):
        refuse_twice([one, other, copy.deepcopy(one)])


@pytest.mark.parametrize("record", [None, {}, {"rows": None}, {"rows": {}}, {"rows": {"digest": None}}])
def test_a_record_without_rows_says_nothing_of_them(rows: Dataset, record: dict[str, Any] | None) -> None:
    net = MLP(8, hidden=(4,), seed=0)
    assert TwinRecipe(rows, record=record).matches(net) is None
    known = {"rows": {"digest": RowRecord.of(rows).digest}}
    assert TwinRecipe(rows, record=known).matches(net) is True
    assert TwinRecipe(synthetic(200, seed=1), record=known).matches(net) is False
