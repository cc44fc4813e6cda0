"""Texts as the tokens that a saved model was trained on, by the tokenizer in its own folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.files import what_is
from fairheads.errors import ConfigError, InputError, first_line

LONGEST = 512
"""Most tokens of a text, unless the folder says fewer."""

MOST_BYTES = 128 * 2**20
"""Largest description of a tokenizer."""


def tokenized(texts: Sequence[str], folder: str | Path) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Token ids and the mask of what is no padding, and how many texts were cut.

    Parameters
    ----------
    texts : sequence of str, n
    folder : path
        Of a model that transformers saved with its tokenizer (``tokenizer.json``, which is data and no code).

    Returns
    -------
    inputs : dict of int64 arrays (n, tokens)
        ``input_ids`` and ``attention_mask``; ``tokens`` is the length of the longest text, at most 512 or what the
        folder says the model takes.
    cut : int
        Texts that were longer.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged.
    ConfigError
        If tokenizers is not installed.
    """
    file = Path(folder) / "tokenizer.json"
    if what_is(file) != "file" or file.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{str(folder)!r} has no tokenizer.json; save the model's tokenizer beside it:"
            " AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError("reading texts needs tokenizers: pip install 'fairheads[integrations]'.") from error
    try:
        tokenizer = Tokenizer.from_file(str(file))
        longest = _longest(Path(folder))
        padding, pad = tokenizer.padding, 0
        if padding is not None:
            pad = int(padding["pad_id"])
        tokenizer.no_padding()
        tokenizer.enable_truncation(longest)
        found = tokenizer.encode_batch(list(texts))
    except Exception as error:  # tokenizers raises plain Exceptions
        raise InputError(f"{str(file)!r} is damaged or no tokenizer: {first_line(error)[:200]}.") from error
    ids = np.full((len(found), max(max((len(each.ids) for each in found), default=1), 1)), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, each in enumerate(found):
        ids[row, : len(each.ids)], mask[row, : len(each.ids)] = each.ids, 1
    if not mask.any(axis=1).all():
        raise InputError(f"row {int(np.argmin(mask.any(axis=1))):,} has a text without a token.")
    return {"input_ids": ids, "attention_mask": mask}, sum(bool(each.overflowing) for each in found)


def _longest(folder: Path) -> int:
    """The fewest tokens that the folder's files call the most."""
    found = [LONGEST]
    for name, key in (("tokenizer_config.json", "model_max_length"), ("config.json", "max_position_embeddings")):
        if (folder / name).is_file():
            plain: Any = json.loads((folder / name).read_text(encoding="utf-8"))
            value = plain.get(key) if isinstance(plain, dict) else None
            found += [value] if isinstance(value, int) and value > 2 else []
    return min(found)
