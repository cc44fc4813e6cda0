"""The profanity network of alt-profanity-check 1.9.1 (MIT): the factory of its weights and the loaders of two texts.

A text is its words by number and how often it has them, padded to the longest: the 76,564 x 15,442 numbers of all
words of all texts are never made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.data import Dataset


class Profanity(nn.Module):
    """Five linear heads on TF-IDF, each turned into a probability, and the mean of these: there is nothing inside."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, values in weights.items():
            self.register_parameter(name, nn.Parameter(values, requires_grad=False))

    def forward(self, words: Tensor, times: Tensor) -> Tensor:
        """Numbers of words and how often they occur, (n, longest) both, to probabilities (n,) of profanity."""
        values = nn.functional.normalize(times * self.idf[words], dim=1)
        margins = torch.einsum("kno,no->nk", self.coef[:, words], values) + self.intercept
        return torch.sigmoid(-(margins * self.a + self.b)).mean(1)


def network(weights: Mapping[str, Tensor]) -> nn.Module:
    """The network of the file's weights."""
    return Profanity(weights)


def hatecheck(path: str) -> Dataset:
    """HateCheck's cases that name a target, in seven groups by target; the label is 1 for hateful ones."""
    cases = pd.read_csv(path).dropna(subset="target_ident")
    inputs = _inputs(cases["test_case"], path)
    return Dataset(inputs, cases["label_gold"] == "hateful", cases["target_ident"], name="HateCheck, outcome: flagged")


def templates(path: str) -> Dataset:
    """The sentences of the identity templates in groups by the identity that they name; the label is 1 for BAD.

    Left out are those of the template ``you_occupation``, which name none.
    """
    rows = pd.read_csv(path)
    rows = rows[rows["Template"] != "you_occupation"]
    whole = rows["Text"][rows["Template"] == "name_adj"]
    terms = sorted(set(whole.str.extract(r" is a \S+ (.+)$")[0]), key=len, reverse=True)
    identity = rows["Text"].str.extract(rf"\b({'|'.join(terms)})\b")[0]
    return Dataset(
        _inputs(rows["Text"], path), rows["Label"] == "BAD", identity, name="identity templates, outcome: flagged"
    )


def _inputs(texts: Iterable[str], path: str) -> dict[str, NDArray[Any]]:
    """Every text as the numbers of its words and how often it has them, as the makers of the network count words."""
    said = json.loads((Path(path).parents[1] / "models/alt_profanity_check_vocab.json").read_text(encoding="utf-8"))
    number = {word: index for index, word in enumerate(said["vocab"])}
    pattern, left_out = re.compile(said["token_pattern"]), frozenset(said["stop_words"])
    counted = [
        Counter(number[word] for word in pattern.findall(text.lower()) if word in number and word not in left_out)
        for text in texts
    ]
    longest = max(map(len, counted))
    words, times = np.zeros((len(counted), longest), np.int64), np.zeros((len(counted), longest), np.float32)
    for row, found in enumerate(counted):
        words[row, : len(found)], times[row, : len(found)] = list(found.keys()), list(found.values())
    return {"words": words, "times": times}
