"""What the fuzzer opens beside files of models: folders of models, and tables; whole ones, and how each is opened."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folders_for_tests import packed, packed_folder, unpacked

from fairheads.audit import network_disparity
from fairheads.data import Dataset, RowRecord, Table, read_table, stream_table
from fairheads.data.predictions import tally_file
from fairheads.data.texts import tokenized
from fairheads.models import Bundle, save_bundle
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet
from fairheads.training.loop import label_shares
from fairheads.twoheads import Coefficients, merge_net

ROWS = 12
TABLES = (".csv", ".parquet", ".gz", ".xz")
"""Ends of the names of tables; all other names are those of models."""

MODEL_TYPES = ("bert", "vit", "gpt2", "t5", "resnet", "deberta-v2", "mamba", "llama", "timm_wrapper", "roberta")
"""Kinds of networks that a folder of transformers may name."""

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "num_labels": 1}


def frame() -> Any:
    """The rows of every table here."""
    import pandas as pd

    n = np.arange(ROWS)
    return pd.DataFrame(
        {"x": n * 0.5, "job": np.array(["cook", "clerk", "é"])[n % 3], "g": np.array(["a", "b"])[n // 6], "y": n % 2}
    )


def table() -> Table:
    """The same as a table."""
    with tempfile.TemporaryDirectory() as folder:
        frame().to_csv(Path(folder) / "rows.csv", index=False)
        return read_table(Path(folder) / "rows.csv", label="y", group=["g"])


def tables() -> list[tuple[str, bytes]]:
    """The table as files of every kind."""
    import gzip
    import lzma

    text = frame().to_csv(index=False).encode()
    made = [(".csv", text), (".gz", gzip.compress(text, mtime=0)), (".xz", lzma.compress(text))]
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return made
    for packing in ("snappy", "gzip", None):
        file = io.BytesIO()
        frame().to_parquet(file, index=False, compression=packing)
        made.append((".parquet", file.getvalue()))
    return made


def open_rows(path: Path) -> None:
    """Read a table at once, as a stream, and as predictions; the first error is that of all, if there is one."""
    tally_file(path, group=["g"], label="y", prediction=None, score="x", threshold=0.5)
    read_table(path, label="y", group=["g"])
    for _ in stream_table(path, label="y", group=["g"]):
        pass


def folders() -> list[tuple[str, bytes]]:
    """Bundles of every architecture, and folders of transformers, as one file each."""
    made = bundles()
    try:
        import tokenizers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        return [(".folder", each) for each in made]
    return [(".folder", each) for each in (*made, *pretrained())]


def bundles() -> list[bytes]:
    rows = table()
    encoder = rows.fit_encoder(np.ones(ROWS, bool))
    data = rows.encode(encoder, np.ones(ROWS, bool))
    width = data.inputs["x"].shape[1]
    training = {
        "objective": {"name": "penalized", "constraint": {"name": "demographic_parity"}, "weight": 1.0},
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 0.01,
        "schedule": "cosine",
        "losses": [0.7, 0.6],
        "rows": {"n": ROWS, "digest": RowRecord.of(data).digest},
        "shares": label_shares(data),
        "outcome": {"label": "y", "favourable": "1"},
        "split": {"source": rows.source, "test": 0.25, "validation": 0.25, "seed": 0},
    }
    whole: dict[str, Any] = {"preprocess": encoder, "training": training, "rows": RowRecord.of(data)}
    made = [
        Bundle(net=MLP(width, hidden=(3,)), merge={"b": -1.0, "t": 0.5}, **whole),
        Bundle(net=TwoHeadNet(MLP(width, hidden=(3,))), **whole),
        Bundle(net=Transformer(9, width=4, depth=1, length=8)),
        Bundle(net=ResNet(1, widths=(2, 3))),
    ]
    with tempfile.TemporaryDirectory() as folder:
        return [packed_folder(save_bundle(each, Path(folder) / str(i))) for i, each in enumerate(made)]


def pretrained() -> list[bytes]:
    """A network of texts with its tokenizer, the same in pieces, and one of images."""
    import tokenizers
    import transformers

    text = transformers.BertConfig(**SMALL, vocab_size=9, max_position_embeddings=8)
    image = transformers.ViTConfig(**SMALL, image_size=8, patch_size=4)
    torch.manual_seed(0)
    bert = transformers.BertForSequenceClassification(text)
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"cook": 0, "clerk": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bert.save_pretrained(Path(folder) / "bert")
        whole = unpacked(packed_folder(Path(folder) / "bert"))
        more = {b"tokenizer.json": words.to_str().encode(), b"tokenizer_config.json": b'{"model_max_length": 8}'}
        made.append(packed({**whole, **more}))
        bert.save_pretrained(Path(folder) / "pieces", max_shard_size="3KB")
        made.append(packed_folder(Path(folder) / "pieces"))
        transformers.ViTForImageClassification(image).save_pretrained(Path(folder) / "vit")
        made.append(packed_folder(Path(folder) / "vit"))
    return made


def judge(model: Any, path: Path) -> None:
    """Decide about rows, as a file of a model allows: its own encoder's, tokens, images, or four numbers a row."""
    if isinstance(model, Bundle):
        model.summary(), model.html()
        if model.preprocess is not None:
            data, _ = model.encode(_TABLE[0], "test")
            if model.rows is not None:
                model.rows.overlap(data)
            network_disparity(_single(model.net, data), data)
            return
        model = model.net
    network_disparity(model, Dataset(_inputs(model, path), [0, 1, 1], ["a", "b", "b"]))


def _single(net: Any, data: Dataset) -> Any:
    return merge_net(net, Coefficients(b=-1.0, t=0.5), data) if isinstance(net, TwoHeadNet) else net


def _inputs(model: Any, path: Path) -> dict[str, Any]:
    main = getattr(model, "main_input_name", "")
    if path.is_dir() and (path / "tokenizer.json").exists():
        return dict(tokenized(["cook clerk", "clerk", "what is it"], path)[0])
    if isinstance(model, Transformer) or main == "input_ids":
        return {"input_ids" if main else "tokens": np.arange(6).reshape(3, 2)}
    if isinstance(model, ResNet) or main == "pixel_values":
        channels, size = (1, 4) if isinstance(model, ResNet) else (3, 8)
        return {"pixel_values" if main else "x": np.ones((3, channels, size, size), np.float32)}
    return {"x": np.ones((3, 4), np.float32)}


_TABLE: list[Table] = []


def ready() -> None:
    """Read the table once, before anything is watched."""
    _TABLE[:] = [table()]
