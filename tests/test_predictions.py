"""Tables of predictions as tallies: the same counts from any kind of file, and one line for what cannot be counted."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairheads.data import columns, predictions, scores_of, tally_batches, tally_file
from fairheads.errors import ConfigError, InputError
from fairheads.sums import NOT_RECORDED, Membership, Tally

ALL: dict[str, Any] = {"group": ["sex"], "label": "hired", "prediction": "offer"}


def frame(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sex": rng.choice(["f", "m", None], n, p=[0.4, 0.5, 0.1]),
            "age": rng.integers(1, 4, n),
            "city": rng.choice(["north", "south, east", 'the "west"'], n),
            "hired": rng.integers(0, 2, n),
            "offer": rng.integers(0, 2, n),
            "score": rng.random(n).round(2),
            "weight": rng.integers(0, 5, n).astype(float),
        }
    )


def counts(tally: Tally) -> str:
    """The tally as text, byte for byte."""
    return json.dumps(tally.to_dict())


def in_memory(table: pd.DataFrame, **more: Any) -> Tally:
    return Tally.of(table["hired"], table["offer"], sensitive_features=table[["sex"]], **more)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda t, p: t.to_csv(p, index=False),
    "csv.gz": lambda t, p: t.to_csv(p, index=False),
    "csv.xz": lambda t, p: t.to_csv(p, index=False),
    "parquet": lambda t, p: t.to_parquet(p, index=False),
}


def saved(table: pd.DataFrame, folder: Path, kind: str, name: str = "table") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{kind}"
    WRITERS[kind](table, path)
    return path


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_counted_as_the_arrays_in_it_are(tmp_path: Path, kind: str) -> None:
    table = frame()
    path = saved(table, tmp_path, kind)
    assert counts(tally_file(path, **ALL)) == counts(in_memory(table))
    everything = tally_file(path, **ALL, score="score", weight="weight", control=["age", "city"])
    wanted = in_memory(
        table, y_score=table["score"], sample_weight=table["weight"], control_features=table[["age", "city"]]
    )
    assert counts(everything) == counts(wanted)
    assert everything.cells is not None and everything.cells.groups == ("f", "m", NOT_RECORDED)
    assert everything.scores is not None and everything.scores.counts.sum() == (table["weight"] > 0).sum()
    assert len(everything.strata) == 9


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_of_shards_in_any_order_is_one_table(tmp_path: Path, kind: str) -> None:
    table = frame()
    whole = counts(tally_file(saved(table, tmp_path, kind), **ALL, score="score"))
    for i, rows in enumerate(np.array_split(np.random.default_rng(1).permutation(400), 7)):
        saved(table.iloc[rows], tmp_path / "shards" / f"deep {i % 2}", kind, f"part-{i}")
    saved(table.iloc[:0], tmp_path / "shards", kind, "no rows")
    (tmp_path / "shards" / "_SUCCESS").write_text("")
    (tmp_path / "shards" / ".part.csv").write_text("half-written")
    (tmp_path / "shards" / "_temporary").mkdir()
    (tmp_path / "shards" / "_temporary" / "part.csv").write_text("half-written")
    (tmp_path / "shards" / "README.txt").write_text("what this is")
    by_file = tally_file(tmp_path / "shards", **ALL, score="score")
    assert by_file.scores is not None
    assert json.loads(counts(by_file))["cells"] == json.loads(whole)["cells"]
    assert json.loads(counts(by_file))["scores"]["counts"] == json.loads(whole)["scores"]["counts"]


def test_a_folder_may_hold_both_kinds(tmp_path: Path) -> None:
    table = frame()
    saved(table[:150], tmp_path / "both", "csv.gz", "a")
    saved(table[150:], tmp_path / "both", "parquet", "b")
    assert counts(tally_file(tmp_path / "both", **ALL)) == counts(in_memory(table))


def test_folders_named_by_a_value_give_a_column(tmp_path: Path) -> None:
    table = frame().fillna({"sex": "x & y"})
    table.loc[5:9, "sex"] = None
    for kind in ("csv", "parquet"):
        for value, part in table.groupby("sex", dropna=False):
            name = "__HIVE_DEFAULT_PARTITION__" if pd.isna(value) else str(value).replace(" & ", "%20%26%20")
            saved(part.drop(columns="sex"), tmp_path / kind / f"sex={name}" / "hired_in=2020", kind)
        assert counts(tally_file(tmp_path / kind, **ALL)) == counts(in_memory(table))
        more = tally_file(tmp_path / kind, **{**ALL, "group": ["sex", "hired_in"]})
        assert more.cells is not None and more.cells.groups[0] == "f, 2020"
    assert scores_of(tmp_path / "csv", "hired_in").tolist() == [2020.0] * 400


KINDS: dict[str, Callable[[pd.Series], Any]] = {
    "int": lambda c: c.astype("int64"),
    "float": lambda c: c.astype("float64"),
    "nullable": lambda c: c.astype("Int8"),
    "text": lambda c: c.astype(str),
    "category of numbers": lambda c: c.astype("category"),
    "category of texts": lambda c: c.astype(str).astype("category"),
    "bool": lambda c: c.astype(bool),
    "object": lambda c: c.astype(object),
    "padded": lambda c: " " + c.astype(str) + " ",
    "decimal text": lambda c: c.astype(str) + ".0",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["csv", "parquet"])
def test_the_type_of_a_column_does_not_matter(tmp_path: Path, kind: str, file: str) -> None:
    table = frame().fillna({"sex": "x"})
    wanted = in_memory(table)
    for name in ("hired", "offer"):
        typed = table.assign(**{name: KINDS[kind](table[name])})
        assert counts(tally_file(saved(typed, tmp_path, file), **ALL)) == counts(wanted)
    by_number = Tally.of(table["hired"], None, y_score=table["score"], sensitive_features={"offer": table["offer"]})
    typed = table.assign(offer=KINDS[kind](table["offer"]))
    roles: dict[str, Any] = {"group": ["offer"], "label": "hired", "prediction": None, "score": "score"}
    found = tally_file(saved(typed, tmp_path, file), **roles)
    assert found.scores is not None and by_number.scores is not None
    assert found.scores.groups == (("False", "True") if kind == "bool" else ("0", "1"))
    assert (found.scores.counts == by_number.scores.counts).all()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=12)
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), texts, st.sampled_from(["1", "1.0", "007", "=1+1", "NA", "None", "<b>", "a,b"])),
        st.booleans(),
        st.booleans(),
        st.floats(-1e6, 1e6),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.slow
@given(rows=rows, cut=st.integers(1, 29), batch=st.integers(1, 7))
@settings(max_examples=60)
def test_rows_give_the_same_counts_from_anything(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], cut: int, batch: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = pd.DataFrame(rows, columns=["sex", "hired", "offer", "score"]).astype({"sex": object})
    roles = {**ALL, "score": "score"}
    kinds = table.assign(sex=table["sex"].astype("category"), hired=table["hired"].astype(int))
    found = {
        "csv": tally_file(saved(table, folder, "csv"), **roles),
        "parquet": tally_file(saved(table, folder, "parquet"), **roles),
        "typed": tally_file(saved(kinds, folder, "parquet", "typed"), **roles),
        "batches": tally_batches([table.to_dict("list")], **roles),
    }
    for i, part in enumerate((table[cut:], table[:cut])):
        saved(part, folder / "shards", "csv" if i else "parquet", f"part {i}")
    found["shards"] = tally_file(folder / "shards", **roles)
    found["small"] = tally_batches((table[i : i + batch] for i in range(0, len(table), batch)), **roles)
    plain = {name: tally.to_dict() for name, tally in found.items()}
    for one in plain.values():
        assert json.dumps(one["cells"]) == json.dumps(plain["csv"]["cells"])
        assert json.dumps(one["scores"]["counts"]) == json.dumps(plain["csv"]["scores"]["counts"])
        assert one["scores"]["values"] == plain["csv"]["scores"]["values"]
        assert np.allclose(one["scores"]["powers"], plain["csv"]["scores"]["powers"], rtol=1e-9, atol=1e-6)
    assert sum(map(int, np.ravel(plain["csv"]["cells"]["counts"]))) == len(rows)


def test_a_table_longer_than_a_batch_is_counted_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = frame(1000)
    read: list[int] = []
    for name in ("csv_batches", "parquet_batches"):
        monkeypatch.setattr(f"fairheads.data.{name}.ROWS", 64)
    for kind in ("csv", "parquet"):
        tally = tally_file(saved(table, tmp_path, kind), **ALL, score="score", progress=read.append)
        assert counts(tally)[:400] == counts(in_memory(table, y_score=table["score"]))[:400]
        assert read[-1] == 1000 and len(read) == 16
        read.clear()
    assert columns.ROWS == 65536


def test_a_text_and_a_missing_value_have_one_name_everywhere() -> None:
    same = [" a", "a", "a "], ["1", 1, 1.0, "1.0", np.int8(1)], [None, "", " ", "nan", float("nan"), pd.NA, pd.NaT]
    assert [{columns.tidy(v) for v in values} for values in same] == [{"a"}, {"1"}, {None}]
    kept = ["None", "01", "1.5", "1e3", "1.0.0", "none", "0x1", "9" * 10_000 + ".0"]
    assert [columns.tidy(v) for v in kept] == kept


def test_codes_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    table = frame().assign(sex=lambda t: np.where(t["sex"] == "f", "007", "1e3"))
    for kind in WRITERS:
        cells = tally_file(saved(table, tmp_path, kind), **ALL).cells
        assert cells is not None and cells.groups == ("007", "1e3")


def test_a_score_and_a_threshold_make_decisions(tmp_path: Path) -> None:
    table = frame()
    path = saved(table, tmp_path, "parquet")
    tally = tally_file(path, group=["sex"], label="hired", prediction=None, score="score", threshold=0.5)
    wanted = Tally.of(
        table["hired"], (table["score"] >= 0.5).astype(int), sensitive_features=table[["sex"]], y_score=table["score"]
    )
    assert counts(tally) == counts(wanted)
    assert (table["score"] == 0.5).any()  # the threshold itself is a decision for
    alone = tally_file(path, group=["sex"], label=None, prediction=None, score="score")
    assert alone.cells is None and alone.scores is not None and not alone.scores.labelled


def test_scores_come_back_as_they_are(tmp_path: Path) -> None:
    table = pd.DataFrame({"score": np.random.default_rng(0).normal(size=3000), "sex": "f"})
    for kind in ("csv", "parquet"):
        found = scores_of(saved(table, tmp_path, kind), "score")
        assert found.dtype == np.float64 and (found == table["score"].to_numpy()).all()
    texts = pd.DataFrame({"score": ["0.25", "1e-3"], "sex": "f"})
    assert scores_of(saved(texts, tmp_path, "parquet"), "score").tolist() == [0.25, 0.001]
    with pytest.raises(InputError, match="column 'score': 1 missing; column 'score': 1 infinite"):
        scores_of(saved(pd.DataFrame({"score": [1, np.nan, np.inf]}), tmp_path, "parquet"), "score")


def test_probabilities_of_membership(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = frame().assign(p_a=rng.random(400) / 2, p_b=0.5)
    table.loc[3, "p_a"] = np.nan
    by_name = {"group": (), "label": "hired", "prediction": "offer", "memberships": {"A": "p_a", "B": "p_b"}}
    wanted = Tally.of(
        table["hired"],
        table["offer"],
        sensitive_features=Membership(("A", "B"), table[["p_a", "p_b"]].to_numpy()),
    )
    for kind in ("csv", "parquet"):
        assert counts(tally_file(saved(table, tmp_path, kind), **by_name)) == counts(wanted)
    table.loc[:4, "p_a"] = 0.7
    table.loc[7, "p_a"] = -0.1
    with pytest.raises(InputError, match=r"column 'p_a, p_b': 6 below 0 or more than 1 together"):
        tally_file(saved(table, tmp_path, "csv"), **by_name)


@pytest.mark.parametrize(
    ("no", "yes"),
    [("0", "1"), ("no", "yes"), ("No", "Yes"), ("NO", "YES"), ("false", "true"), ("False", "True"), ("FALSE", "TRUE")],
)
def test_words_that_need_no_explanation(tmp_path: Path, no: str, yes: str) -> None:
    table = frame()
    said = table.assign(hired=np.where(table["hired"], yes, no), offer=np.where(table["offer"], yes, no))
    for kind in ("csv", "parquet"):
        assert counts(tally_file(saved(said, tmp_path, kind), **ALL)) == counts(in_memory(table))
        turned = tally_file(saved(said, tmp_path, kind), **ALL, favourable=no)
        assert counts(turned) == counts(in_memory(table.assign(hired=1 - table["hired"], offer=1 - table["offer"])))


def test_a_named_favourable_value_is_one_and_all_others_are_not(tmp_path: Path) -> None:
    table = frame()
    rng = np.random.default_rng(3)
    classes = table.assign(hired=rng.choice(["a", "b", "c"], 400), offer=rng.choice(["a", "b"], 400))
    wanted = in_memory(table.assign(hired=classes["hired"] == "a", offer=classes["offer"] == "a"))
    for kind in ("csv", "parquet"):
        path = saved(classes, tmp_path, kind)
        assert counts(tally_file(path, **ALL, favourable="a")) == counts(wanted)
        only_labels = tally_file(path, **ALL, favourable="c")  # nobody was offered it
        assert only_labels.cells is not None and only_labels.cells.counts[:, :, 1].sum() == 0


def rewritten(**columns_: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**columns_)


every_third = np.arange(400) % 3 == 0
numbered = np.arange(400).astype(str)
BAD_ROWS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, Any], str]] = {
    "missing labels": (
        lambda t: t.assign(hired=t["hired"].where(~every_third).astype("Int64")),
        {},
        "values that cannot be counted in 400 rows: column 'hired': 134 missing.",
    ),
    "missing in two columns": (
        lambda t: t.assign(hired=t["hired"].where(t.index > 2), offer=t["offer"].where(t.index > 4).astype("Int64")),
        {},
        "column 'hired': 3 missing; column 'offer': 5 missing",
    ),
    "NaN scores": (
        lambda t: t.assign(score=t["score"].where(~every_third)),
        {"score": "score"},
        "column 'score': 134 missing",
    ),
    "infinite scores": (
        lambda t: t.assign(score=t["score"].where(~every_third, np.inf)),
        {"score": "score"},
        "column 'score': 134 infinite",
    ),
    "negative weights": (
        lambda t: t.assign(weight=t["weight"] - 1),
        {"weight": "weight"},
        f"column 'weight': {int((frame()['weight'] == 0).sum())} negative",
    ),
    "missing weights": (
        lambda t: t.assign(weight=t["weight"].where(t.index > 0)),
        {"weight": "weight"},
        "column 'weight': 1 missing",
    ),
    "text for a score": (
        lambda t: t.assign(score=["high", *["0.5"] * 399]),
        {"score": "score"},
        "the column 'score' of {file} must hold numbers, got 'high'.",
    ),
    "labels outside 0 and 1": (
        rewritten(hired=np.arange(400) % 7),
        {},
        "which value of 'hired' is favourable, '0', '1', '2', '3', '4', ...? Name it: `favourable`, --favourable.",
    ),
    "labels without a known word": (
        lambda t: t.assign(hired=np.where(t["hired"], "offer", "refusal")),
        {},
        "which value of 'hired' is favourable, 'offer', 'refusal'?",
    ),
    "label and decision in other words": (
        lambda t: t.assign(hired=np.where(t["hired"], "yes", "no")),
        {},
        "'hired' ('no', 'yes') and 'offer' ('0', '1') must hold the same two values",
    ),
    "label and decision in other words, favourable named": (
        lambda t: t.assign(hired=np.where(t["hired"], ">50K", "<=50K")),
        {"favourable": ">50K"},
        "'hired' ('<=50K', '>50K') and 'offer' ('0', '1') must hold the same values, and have none in common.",
    ),
    "a favourable value that nobody has": (
        rewritten(),
        {"favourable": "2"},
        "`favourable` must be a value of 'hired' ('0', '1') and 'offer' ('0', '1'), got '2'.",
    ),
    "a number as a decision": (
        lambda t: t.assign(offer=t["score"]),
        {},
        "which value of 'offer' is favourable, '0",
    ),
    "an identifier as a label": (
        lambda t: pd.concat([t.assign(hired=numbered)] * 3).assign(hired=[f"id {i}" for i in range(1200)]),
        {"favourable": "id 1"},
        "the column 'hired' has more than 1,000 values ('id 0', 'id 1', 'id 10', 'id 100', 'id 1000', ...)",
    ),
    "a very long label": (
        lambda t: t.assign(hired=["x" * 10_000, *["0"] * 399]),
        {},
        f"'0', '{'x' * 60}...'? Name it",
    ),
    "unknown columns": (
        rewritten(),
        {"group": ["sax", "race"], "weight": "Weight"},
        "{file} has no column 'sax' (did you mean 'sex'?), no column 'race', no column 'Weight'"
        " (did you mean 'weight'?); it has: sex, age, city, hired, offer, score, weight.",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_cannot_be_counted_is_said(tmp_path: Path, kind: str, name: str) -> None:
    change, roles, says = BAD_ROWS[name]
    path = saved(change(frame()), tmp_path, kind)
    with pytest.raises(InputError) as caught:
        tally_file(path, **{**ALL, **roles})
    assert says.replace("{file}", path.name) in str(caught.value)
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_a_number_does_not_become_a_group_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "MOST_GROUPS", 50)
    path = saved(frame(), tmp_path, "csv")
    tally_file(path, **{**ALL, "group": ["age", "city"]})
    with pytest.raises(InputError, match="more than 50 groups"):
        tally_file(path, **{**ALL, "group": ["score"]})
    with pytest.raises(InputError, match="more than 50 strata"):
        tally_file(path, **ALL, control=["score"])


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ({"group": "sex"}, r"`group` must be a sequence of column names, such as \['sex'\]"),
        ({"control": "city"}, "`control` must be a sequence"),
        ({"group": []}, "at least one `group` column must be named"),
        ({"memberships": {"A": "p"}}, "give either `group` or `memberships`"),
        ({"prediction": None}, "name the column of the `prediction` or of the `score`"),
        ({"threshold": 0.5}, "`threshold` needs a `score`; give either `prediction` or `threshold`"),
        ({"prediction": None, "score": "score", "threshold": float("nan")}, "`threshold` must be a finite number"),
        (
            {"prediction": None, "label": None, "score": "score", "favourable": "1"},
            "`favourable` is a value of label or prediction, and none of them is named",
        ),
        ({"prediction": None, "score": "score", "control": ["city"]}, "`control` compares decisions"),
        (
            {"group": [], "memberships": {"A": "p"}, "prediction": None, "score": "score"},
            "`memberships` need decisions",
        ),
        ({"prediction": "hired"}, "the column 'hired' is named 2 times"),
        ({"group": ["hired", "sex"], "control": ["sex"]}, "'hired' is named 2 times; the column 'sex' is named 2"),
    ],
)
def test_columns_in_impossible_roles_are_refused(tmp_path: Path, roles: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        tally_file(saved(frame(), tmp_path, "csv"), **{**ALL, **roles})
    with pytest.raises(ConfigError, match=says):
        tally_batches([], **{**ALL, **roles})


def write_bad_file(folder: Path, name: str) -> tuple[Path, str]:
    """A file that cannot be read, and what must be said."""
    good = "sex,hired,offer\nf,1,1\nm,0,1\n"
    path = folder / "bad.csv"
    match name:
        case "absent":
            return folder / "no.csv", "there is no file"
        case "empty":
            path.write_text("")
            return path, "bad.csv cannot be read as a table: it is empty."
        case "blank lines":
            path.write_text("\n\n\n")
            return path, "it is empty"
        case "header only":
            path.write_text("sex,hired,offer\n")
            return path, "there must be at least one row."
        case "a field too many in one row":
            path.write_text(good + "f,1,1,0\n")
            return path, "row 3 has more fields than the header, which has 3."
        case "a field too many in every row":
            path.write_text("sex,hired,offer\nf,1,1,0\nm,0,1,0\n")
            return path, "row 1 has more fields than the header, which has 3."
        case "an open quote":
            path.write_text(good + 'f,1,"1\n')
            return path, "cannot be read as a table: Error tokenizing data. C error: EOF inside string"
        case "a row that is cut":
            path.write_text(good + "f,1\n")
            return path, "column 'offer': 1 missing"
        case "a column twice":
            path.write_text("sex,hired,offer,offer\nf,1,1,0\n")
            return path, "bad.csv has more than one column 'offer'; it has: sex, hired, offer, offer."
        case "another separator":
            path.write_text(good.replace(",", ";"))
            return path, "it has: sex;hired;offer."
        case "not text":
            path.write_bytes(b"sex,hired,offer\n\xff\xfe\xfa,1,1\n")
            return path, "cannot be read as a table: it is not UTF-8 (invalid start byte, byte 0xff). If it is a CSV"
        case "not compressed":
            path = folder / "bad.csv.gz"
            path.write_text(good)
            return path, "bad.csv.gz cannot be read as a table: Not a gzipped file"
        case "cut gzip" | "cut xz":
            kind = name.split()[1]
            path = folder / f"bad.csv.{'gz' if kind == 'gzip' else 'xz'}"
            whole = (gzip if kind == "gzip" else lzma).compress((good * 5000).encode())
            path.write_bytes(whole[: len(whole) // 2])
            return path, "ended before the end"
        case "broken parquet":
            path = folder / "bad.parquet"
            path.write_bytes(b"PAR1 this is no table PAR1")
            return path, "bad.parquet cannot be read as a table: "
        case "cut parquet":
            path = saved(frame(), folder, "parquet", "bad")
            path.write_bytes(path.read_bytes()[:-300])
            return path, "bad.parquet cannot be read as a table: "
        case "damaged parquet":
            path = saved(frame(20_000), folder, "parquet", "bad")
            data = bytearray(path.read_bytes())
            data[4:2000] = bytes(1996)
            path.write_bytes(data)
            return path, "bad.parquet cannot be read as a table: "
        case "lists in a column":
            pd.DataFrame({"sex": [["f"], ["m"]], "hired": 1, "offer": 1}).to_parquet(folder / "bad.parquet")
            return folder / "bad.parquet", "cannot be read as a table: "
        case "no tables in a folder":
            (folder / "there").mkdir()
            (folder / "there" / "notes.txt").write_text("no table")
            return folder / "there", "there is no CSV or Parquet file in the folder"
        case "a shard of other columns":
            saved(frame(), folder / "there", "parquet", "a")
            saved(frame().rename(columns={"sex": "gender"}), folder / "there", "parquet", "b")
            return folder / "there", "b.parquet has no column 'sex'"
    raise AssertionError(name)


BAD_FILES = [
    "absent",
    "empty",
    "blank lines",
    "header only",
    "a field too many in one row",
    "a field too many in every row",
    "an open quote",
    "a row that is cut",
    "a column twice",
    "another separator",
    "not text",
    "not compressed",
    "cut gzip",
    "cut xz",
    "broken parquet",
    "cut parquet",
    "damaged parquet",
    "lists in a column",
    "no tables in a folder",
    "a shard of other columns",
]


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path, says = write_bad_file(tmp_path, name)
    with pytest.raises(InputError) as caught:
        tally_file(path, **ALL)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffsex,hired,offer\nf,1,1\nm,0,0\n",
        "\n\nsex, hired, offer\nf, 1, 1\nm, 0, 0\n",
        "sex,hired,offer,\nf,1,1,\nm,0,0,\n",
        '"sex","hired","offer","a\nb"\r\n"f","1","1","x, y"\r\n"m","0","0","two\nlines"\r\n',
        "offer,note,note,sex,hired\n1,a,b,f,1\n0,a,b,m,0",
        "sex,hired,offer\nf,1.0,1\n\nm,0,0.0\n",
    ],
)
def test_csv_as_people_write_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert counts(tally_file(tmp_path / "t.csv", **ALL)) == counts(
        Tally.of([1, 0], [1, 0], sensitive_features={"sex": ["f", "m"]})
    )


def test_hostile_names_of_groups_are_names_and_no_more(tmp_path: Path) -> None:
    hostile = ["<script>alert(1)</script>", "=HYPERLINK(0)", "x" * 10_000, "a\tb\nc", "'; drop table", NOT_RECORDED]
    table = pd.DataFrame({"sex": hostile * 4, "hired": [0, 1] * 12, "offer": [1, 0] * 12})
    for kind in ("csv", "parquet"):
        cells = tally_file(saved(table, tmp_path, kind), **ALL).cells
        assert cells is not None and set(cells.groups) == set(hostile)


def test_a_parquet_file_is_known_by_its_first_bytes_too(tmp_path: Path) -> None:
    table = frame()
    saved(table, tmp_path, "parquet").rename(tmp_path / "table")
    assert counts(tally_file(tmp_path / "table", **ALL)) == counts(in_memory(table))


def test_batches_are_checked_as_files_are() -> None:
    good = {"sex": ["f"], "hired": [1], "offer": [1]}
    with pytest.raises(InputError, match="the batch has no column 'offer'; it has: sex, hired"):
        tally_batches([good, {"sex": ["f"], "hired": [1]}], **ALL)
    with pytest.raises(InputError, match="must be of one length"):
        tally_batches([{**good, "hired": [1, 0]}], **ALL)
    with pytest.raises(InputError, match="the column 'score' must hold numbers"):
        tally_batches([{**good, "score": ["x"]}], **ALL, score="score")
    with pytest.raises(InputError, match="at least one row"):
        tally_batches([], **ALL)
    with pytest.raises(InputError, match="at least one row"):
        tally_batches([{"sex": [], "hired": [], "offer": []}], **ALL)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(frame(), tmp_path, "parquet")
    for name in [*filter(lambda n: n.startswith("pyarrow"), sys.modules), "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install 'fairheads\[parquet\]'"):
        tally_file(path, **ALL)


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    paths = [str(saved(frame(), tmp_path, kind)) for kind in ("parquet", "csv")]
    code = (
        "import sys, fairheads.data\n"
        "assert not {'torch', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "for path in sys.argv[1:]:\n"
        "  fairheads.data.tally_file(path, group=['sex'], label='hired', prediction='offer')\n"
        "  assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_are_closed_whatever_happens(tmp_path: Path) -> None:
    """pytest turns the warning about a file left open into an error; here many are opened and left half-way."""
    for name, kind in itertools.product(("NaN scores", "labels outside 0 and 1"), ("csv", "csv.gz", "parquet")):
        change, roles, _ = BAD_ROWS[name]
        with pytest.raises(InputError):
            tally_file(saved(change(frame()), tmp_path, kind), **{**ALL, **roles})
    path = saved(frame(), tmp_path, "csv")
    path.unlink()
    assert not path.exists()
