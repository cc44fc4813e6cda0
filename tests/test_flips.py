"""A flip is named as the table names its columns, and one that is none is refused before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset, TableEncoder
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP
from fairheads.pathways import analyze, analyze_pathways
from fairheads.pathways.counterfactual import column_flip

Array = np.ndarray[Any, Any]


def people(n: int = 800) -> Dataset:
    """Rows of a table with a column `sex`, encoded as two."""
    rng = np.random.default_rng(0)
    woman = rng.random(n) < 0.4
    merit = rng.normal(size=n) - 0.8 * woman
    table = {"merit": merit, "sex": np.where(woman, "F", "M"), "job": rng.choice(["a", "b", "c"], n)}
    encoder = TableEncoder.fit(table)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * merit))
    X = encoder.transform(table)
    return Dataset(X, y, np.where(woman, "F", "M"), feature_names=encoder.feature_names, preprocess=encoder)


def member(data: Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(data.group == data.group_names.index("F"))


def without_encoder(data: Dataset, feature_names: tuple[str, ...] | None) -> Dataset:
    return Dataset(data.inputs, data.y, data.group, group_names=data.group_names, feature_names=feature_names)


def test_a_column_of_the_table_means_all_that_it_is_encoded_as() -> None:
    data = people()
    one, other = (column_flip(data, member(data), columns) for columns in (["sex"], ["sex=F", "sex=M"]))
    assert one.names == ("sex=F", "sex=M") and one.places == other.places
    there = one(data.inputs)["x"]
    assert np.array_equal(there, other(data.inputs)["x"])
    changed = [name for i, name in enumerate(data.feature_names or ()) if (there != data.inputs["x"])[:, i].any()]
    assert changed == ["sex=F", "sex=M"]


def test_the_analysis_takes_the_tables_name() -> None:
    data, net = people(), MLP(6, hidden=(8,), seed=0)
    named, encoded = (analyze_pathways(net, data, flip=flip)["F"] for flip in (["sex"], ["sex=F", "sex=M"]))
    assert named.counterfactual is not None and named.counterfactual.changed.value == 1
    assert named.to_dict() == encoded.to_dict()


def test_without_its_encoder_data_know_encoded_names_alone_and_the_error_lists_them() -> None:
    data = people()
    bare = without_encoder(data, data.feature_names)
    assert column_flip(bare, member(bare), ["sex=F", "sex=M"]).names == ("sex=F", "sex=M")
    with pytest.raises(InputError, match=r"'sex' is not in the inputs; is it one of \[.*'sex=F'.*'merit'"):
        column_flip(bare, member(bare), ["sex"])
    with pytest.raises(InputError, match=r"'gender' is not .*'merit', 'sex', 'job', 'sex=F'"):
        column_flip(data, member(data), ["gender"])
    with pytest.raises(InputError, match="have no columns with names; pass a function"):
        column_flip(without_encoder(data, None), member(data), ["sex"])
    wide = Dataset(np.zeros((40, 90)), np.arange(40) % 2, np.arange(40) % 2, feature_names=[f"f{i}" for i in range(90)])
    with pytest.raises(InputError, match="or 70 more"):
        column_flip(wide, wide.group == 1, ["sex"])


def test_the_same_column_by_both_its_names_is_named_twice() -> None:
    data = people()
    with pytest.raises(ConfigError, match="differ"):
        column_flip(data, member(data), ["sex", "sex=F"])


def test_of_several_inputs_the_columns_are_those_of_the_one_that_is_as_wide() -> None:
    group, names = np.arange(60) % 2, ("age", "sex")
    table = np.column_stack([np.arange(60.0), group])

    def given(**more: Array) -> Dataset:
        return Dataset({"x": table, **more}, group, group, feature_names=names)

    found = column_flip(given(z=np.zeros((60, 5))), group == 1, ["sex"])
    assert found.places == (("x", 1),)
    with pytest.raises(InputError, match=r"'sex' is one of 2 `feature_names`, and 2 of the inputs \['x', 'z'\] have"):
        column_flip(given(z=np.zeros((60, 2))), group == 1, ["sex"])
    with pytest.raises(InputError, match="none of the inputs"):
        column_flip(Dataset({"x": np.zeros((60, 3))}, group, group, feature_names=names), group == 1, ["sex"])


def test_a_column_of_truth_values_is_flipped_as_one() -> None:
    group = np.arange(60) % 2
    data = Dataset({"age": np.arange(60.0)[:, None], "woman": group == 1}, group, group)
    once = column_flip(data, group == 1, ["woman"])(data.inputs)["woman"]
    assert once.dtype == bool and (once == (group == 0)).all()


class Counted(TorchNetwork):
    """A network that counts the passes through it."""

    passes = 0

    def forward(self, inputs: Mapping[str, Array]) -> Array:
        self.passes += 1
        return super().forward(inputs)


@pytest.mark.parametrize(
    ("flip", "says"),
    [
        (["gender"], "is not in the inputs"),
        (["job"], "one value in all rows"),
        (lambda inputs: {"z": inputs["x"]}, "must return the inputs"),
        (lambda inputs: inputs, "must change the inputs"),
    ],
)
def test_a_flip_that_is_none_is_refused_before_anything_is_measured(
    flip: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[nn.Module] = []
    monkeypatch.setattr(analyze, "measure_twin", lambda *_: measured.append(_))
    monkeypatch.setattr(analyze, "measure_case", lambda *_, **__: measured.append(_))
    network = Counted(MLP(6, hidden=(8,), seed=0))
    with pytest.raises(InputError, match=says):
        analyze_pathways(network, people(), twins=[MLP(6, hidden=(8,), seed=1)], flip=flip)
    surveyed = Counted(MLP(6, hidden=(8,), seed=0))
    analyze.survey(surveyed, people())
    assert measured == [] and network.passes == surveyed.passes
    with pytest.raises(AttributeError):  # the control: with a flip that is one it gets as far as measuring
        analyze_pathways(network, people(), flip=["sex"])
    assert len(measured) == 1
