"""Folders of an enemy: bundles and folders of transformers that would run code, lead elsewhere, or make no sense.

`folders` gives them by name as functions that write one, beside each what its refusal says.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folders_for_tests import LINK, laid, packed, unpacked
from hostile_for_tests import Calls, saved, source
from opened_for_tests import bundles as whole_bundles
from safetensors.numpy import save as save_arrays
from safetensors.torch import save, save_file
from torch import Tensor


def _folder(folder: Path, config: dict[str, Any] | None = None, tensors: dict[str, Tensor] | None = None) -> Path:
    folder.mkdir()
    bert = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
        "max_position_embeddings": 8,
    }
    (folder / "config.json").write_text(json.dumps({**bert, **(config or {})}))
    save_file(tensors or {"classifier.bias": torch.zeros(2)}, folder / "model.safetensors")
    return folder


def folders(marker: Path) -> Iterator[tuple[str, Callable[[Path], object], str]]:
    """Name, what writes the folder, and a pattern that its refusal matches."""

    def with_file(name: str, content: bytes) -> Callable[[Path], object]:
        return lambda folder: (_folder(folder) / name).write_bytes(content)

    def configured(**config: Any) -> Callable[[Path], object]:
        return lambda folder: _folder(folder, config)

    def only_pickled(folder: Path) -> None:
        (_folder(folder) / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(saved(Calls(eval, source(marker))))

    def own_code(folder: Path) -> None:
        _folder(folder, {"auto_map": {"AutoModelForSequenceClassification": "own.Net"}})
        (folder / "own.py").write_text(source(marker))

    def link(name: str, target: Path) -> Callable[[Path], object]:
        return lambda folder: (_folder(folder) / name).symlink_to(target)

    def linked_bundle(folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text('{"format": "fairheads/bundle/1"}')
        (folder / "model.safetensors").symlink_to("/etc/passwd")

    def index(name: str) -> Callable[[Path], object]:
        return with_file("model.safetensors.index.json", json.dumps({"weight_map": {"w": name}}).encode())

    yield "own_code", own_code, "names code or weights from elsewhere .'auto_map'"
    yield "pickled", only_pickled, "its weights are pickled"
    yield "adapter", with_file("adapter_config.json", b"{}"), "an adapter"
    yield "index", index("../../other.safetensors"), "outside the folder"
    yield "index_lacks", index("other.safetensors"), "damaged"
    yield "kernel", configured(_attn_implementation="someone/kernel"), "a kernel from elsewhere"
    yield "kernel_inside", configured(text_config={"attn_implementation": "a/b"}), "a kernel from elsewhere"
    yield "backbone", configured(backbone="someone/net"), "a backbone from elsewhere"
    yield "quantized", configured(quantization_config={"quant_method": "x"}), "quantization_config"
    yield "layers", configured(num_hidden_layers=10**9), "more layers"
    yield "size", configured(hidden_size=2**40), "absurd size"
    yield "memory", configured(hidden_size=2**16, vocab_size=2**20), "its files hold fewer"
    yield "missing", lambda folder: _folder(folder, {}, {"x": torch.zeros(9_000)}), "lacks weights"
    yield "unknown", configured(model_type="no_such_model"), "cannot be built"
    yield "cut", with_file("model.safetensors", save({"w": torch.zeros(50)})[:-50]), "truncated"
    yield "header", with_file("model.safetensors", struct.pack("<Q", 2**50)), "truncated|damaged"
    yield "no_json", with_file("config.json", b"{"), "damaged or no bundle"
    yield "link", link("extra.json", Path("/etc/passwd")), "link out of the folder"
    yield "link_folder", link("more", Path("/etc")), "link out of the folder"
    yield "linked_bundle", linked_bundle, "link out of the folder"
    yield "link_circle", link("more", Path("more")), "no plain file"
    yield "link_too_long", link("more", Path("n" * 300)), "no plain file"
    yield "pipe", lambda folder: os.mkfifo(_folder(folder) / "more"), "no plain file"
    yield from bundles()


def bundles() -> Iterator[tuple[str, Callable[[Path], object], str]]:
    """The same of bundles, each of which differs from a harmless one in one place."""
    config, weights, rows = b"config.json", b"model.safetensors", b"rows.safetensors"
    base = unpacked(whole_bundles()[0])
    plain = json.loads(base[config])

    def bundle(name: str, says: str, **files: bytes) -> tuple[str, Callable[[Path], object], str]:
        named = {{"config": config, "weights": weights, "rows": rows}[key]: value for key, value in files.items()}
        return f"bundle_{name}", lambda folder: laid(packed({**base, **named}), folder), says

    def configured(name: str, keys: str, value: Any, says: str) -> tuple[str, Callable[[Path], object], str]:
        made = inner = json.loads(base[config])
        *first, last = keys.split(".")
        for key in first:
            inner = inner[key]
        inner[last] = value
        return bundle(name, says, config=json.dumps(made).encode())

    def counted(name: str, hashes: list[int], counts: Any) -> tuple[str, Callable[[Path], object], str]:
        arrays = {"hashes": np.array(hashes, np.uint64), "counts": np.asarray(counts)}
        return bundle(name, "no distinct sorted hashes", rows=save_arrays(arrays))

    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    yield configured("deep", "training.note", deep, "nested more than 32 levels")
    yield configured("record", "training", [], "training record is no object")
    yield configured("merge", "merge", [1.0], "merge record is no object")
    yield configured("split", "training.split.source", 3, "'split' of its training record is none: 'source'")
    yield configured("share", "training.split.test", 7, "shares that are none")
    yield configured("outcome", "training.outcome", ["y"], "'outcome' of its training record is none")
    yield configured("shares", "training.shares", [["a"]], "'shares' of its training record is none")
    yield configured("base_rate", "training.shares.a.base_rate", "much", "a base rate that is no number")
    yield configured("objective", "training.objective", "penalized", "'objective' of its training record is none")
    yield configured("spread", "preprocess.numeric.x", [0.0, 0.0], "a standard deviation above 0")
    yield configured("one", "preprocess.numeric.x", [0.0], "a standard deviation above 0")
    yield configured("nan", "preprocess.numeric.x", [float("nan"), 1.0], "'nan' for a mean or a standard deviation")
    yield configured("huge", "preprocess.numeric.x", [10**400, 1.0], "for a mean or a standard deviation")
    yield configured("letters", "preprocess.categories.job", "cook", "categories of 'job' that are no texts")
    yield configured("columns", "preprocess.categories.job", ["cook"], "makes 2 columns, and its network takes 4")
    yield configured("wide", "architecture.hidden", [2**31 - 1], "damaged or no bundle")
    yield configured("layers", "architecture.hidden", [1] * 9_999, "more layers than the weights have tensors")
    yield configured("module", "architecture.kind", "os.system", "unknown architecture 'os.system'")
    yield configured("seeded", "architecture.seed", 1, "'seed' is no option")
    yield configured("terminal", "format", "\x1b[2J" * 99, r"is damaged or no bundle: format")
    yield counted("hashes_twice", [3, 3], [1, 1])
    yield counted("hashes_in_disorder", [3, 2], [1, 1])
    yield counted("counts_below_1", [2, 3], [1, -1])
    yield counted("counts_beyond", [2, 3], [2**62, 2**62])
    yield counted("counts_of_others", [2, 3], [1])
    yield counted("counts_of_no_number", [2, 3], [1.0, 2.0])
    yield bundle("swapped", "damaged or no bundle", weights=base[rows], rows=base[weights])
    yield bundle("brackets", "damaged or no bundle", config=b"[" * 100_000)
    yield bundle("letters_of_16_bits", "damaged or no bundle", config=json.dumps(plain).encode("utf-16"))
    yield bundle("long", "damaged or no bundle", weights=struct.pack("<Q", 2**60) + base[weights][8:])
    yield bundle("link_too_long", "no plain file", config=LINK + b"n" * 300)
    yield bundle("link_config", "link out of the folder", config=LINK + b"/etc/passwd")
