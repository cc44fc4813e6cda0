"""Texts become the tokens that the model's own tokenizer makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_cli import run

from fairheads.audit import audit
from fairheads.data import Dataset, read_table
from fairheads.data.texts import tokenized
from fairheads.errors import InputError

tokenizers = pytest.importorskip("tokenizers", reason="needs the extra `integrations`")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "they", "them", "food", "film", "was", "is", "very"]
TEXTS = ("the food was good", "they is bad bad", "very very good film good food was good very", "", "Good")


def save_tokenizer(folder: Path, *, longest: int | None = None) -> Any:
    """A tokenizer of words, with the marks that BERT has; returned as tokenizers has it."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    if longest is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": longest}))
    return made


def test_texts_are_padded_to_the_longest_and_cut_where_the_model_ends(tmp_path: Path) -> None:
    made = save_tokenizer(tmp_path)
    inputs, cut = tokenized(TEXTS, tmp_path)
    assert inputs["input_ids"].shape == (5, 11) and cut == 0
    for row, text in enumerate(TEXTS):
        ids = made.encode(text).ids
        assert inputs["input_ids"][row].tolist() == ids + [0] * (11 - len(ids))
        assert inputs["attention_mask"][row].tolist() == [1] * len(ids) + [0] * (11 - len(ids))
    save_tokenizer(tmp_path, longest=5)
    inputs, cut = tokenized(TEXTS, tmp_path)
    assert inputs["input_ids"].shape == (5, 5) and cut == 3
    assert inputs["input_ids"][1].tolist() == [2, 6, 11, 5, 3]


def test_what_is_no_tokenizer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.json; save the model's tokenizer beside it"):
        tokenized(TEXTS, tmp_path)
    for content in ("", "{}", "[1]", '{"model": {"type": "Nothing"}}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(InputError, match=r"tokenizer\.json' is damaged or no tokenizer"):
            tokenized(TEXTS, tmp_path)
    save_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="damaged or no tokenizer"):
        tokenized(TEXTS, tmp_path)
    (tmp_path / "config.json").unlink()
    nameless = json.loads((tmp_path / "tokenizer.json").read_text())
    nameless["model"]["unk_token"] = "nothing"
    (tmp_path / "tokenizer.json").write_text(json.dumps(nameless))
    with pytest.raises(InputError, match=r"damaged or no tokenizer: .*Missing .*UNK.* token"):
        tokenized(["a word that it does not know"], tmp_path)


@pytest.mark.slow
def test_a_folder_of_transformers_is_audited_on_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `integrations`")
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        num_labels=1,
    )
    bert = transformers.BertForSequenceClassification(config).eval()
    bert.save_pretrained(tmp_path / "bert")
    made, rng, n = save_tokenizer(tmp_path / "bert"), np.random.default_rng(0), 300
    texts = [" ".join(rng.choice(WORDS[4:], rng.integers(1, 9))) for _ in range(n)]
    frame = pd.DataFrame({"text": texts, "side": rng.choice(["a", "b"], n), "kind": rng.integers(0, 2, n)})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = ["audit", "bert", "--data", "texts.csv", "--label", "kind", "--group", "side", "--no-details"]
    done = run(*words, "--text", "text", "--format", "json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    made.enable_truncation(8)
    made.enable_padding(pad_id=0)
    encoded = made.encode_batch(texts)
    inputs = {
        "input_ids": np.array([each.ids for each in encoded]),
        "attention_mask": np.array([each.attention_mask for each in encoded]),
    }
    table = read_table("texts.csv", label="kind", group=["side"])
    data = Dataset(inputs, table.y, table.group, group_names=table.group_names, name=table.name)
    same = json.loads(audit("bert", data, details=False).to_json())
    assert {**report, "notes": None} == {**same, "notes": None}
    assert "the texts 'text' of all 300 rows of texts.csv, as 8 tokens of bert's tokenizer" in report["notes"][0]
    done = run(*words, "--text", "words")
    assert done.exit_code == 1 and "texts.csv has no column 'words'; it has: text, side" in done.stderr
