"""Model folders of Hugging Face: read from the disk alone, weights as safetensors, no code of the folder."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from fairheads.errors import ConfigError, FairheadsError, InputError, UnsafeModelError, first_line

SAVE = "save it with `model.save_pretrained(folder, safe_serialization=True)`"

CLASSES = {
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForImageClassification": "AutoModelForImageClassification",
}
"""Ends of the names of classifiers, and what builds them."""

ELSEWHERE = ("auto_map", "custom_pipelines", "quantization_config", "base_model_name_or_path", "peft_type")
"""Settings by which a folder names code or weights that lie elsewhere."""

_ITERATED = re.compile(r"layer|depth|block|stage|expert")


def open_pretrained(folder: Path) -> nn.Module:
    """The classifier in a folder that transformers saved; its files alone are read, nothing of them is executed.

    Raises
    ------
    UnsafeModelError
        If the folder brings code, pickled weights, or weights that lie elsewhere or do not fit.
    InputError
        If it is no classifier of texts or images.
    ConfigError
        If transformers is not installed.
    """
    what = repr(str(folder))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = dict(_weights(folder, what))
    except FairheadsError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise UnsafeModelError(f"{what} is damaged or no folder of transformers; {SAVE}.") from error
    _refuse_elsewhere(config, folder, what)
    _refuse_absurd(config, len(tensors), what)
    builder = _class_for(config, what)
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(f"{what} needs transformers: pip install 'fairheads[integrations]'.") from error
    try:
        with _quiet(transformers):
            _refuse_larger(transformers, builder, folder, tensors, what)
            net, info = getattr(transformers, builder).from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except FairheadsError:
        raise
    except Exception as error:  # transformers raises many kinds on folders that make no sense
        line = first_line(error)
        raise UnsafeModelError(f"{what} cannot be built from its own files ({line[:160]}); {SAVE}.") from error
    lacking = sorted(info["missing_keys"]) + sorted(str(each) for each in info["mismatched_keys"])
    if lacking:
        raise UnsafeModelError(
            f"{what} lacks weights of its network ({', '.join(lacking[:3])}), which would be random."
        )
    module: nn.Module = net.eval()
    return module


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """While open, transformers neither logs nor draws bars: what it would say of lacking weights is an error here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _weights(folder: Path, what: str) -> Iterator[tuple[str, int]]:
    """Name and bytes of every tensor, as the headers of the folder's safetensors files say."""
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        for name in names:
            if not re.fullmatch(r"[\w.-]+\.safetensors", str(name)):
                raise UnsafeModelError(f"{what}: its index names weights outside the folder ({str(name)[:60]!r}).")
    elif not (folder / "model.safetensors").is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl"))
        found = f"its weights are pickled ({', '.join(pickled[:3])})" if pickled else "it has no weights"
        raise UnsafeModelError(f"{what}: {found}; {SAVE}.")
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            size = (folder / name).stat().st_size
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, 2**27):
                raise UnsafeModelError(f"{what}: {name!r} is truncated or no safetensors file; {SAVE}.")
            header = json.loads(file.read(length))
        for key, entry in header.items():
            if key != "__metadata__":
                start, end = entry["data_offsets"]
                if not 0 <= start <= end <= size - 8 - length:
                    raise UnsafeModelError(f"{what}: {name!r} is truncated; get it again.")
                yield key, end - start


def _refuse_elsewhere(config: Any, folder: Path, what: str) -> None:
    if not isinstance(config, dict):
        raise UnsafeModelError(f"{what} is no folder of transformers: config.json is no object.")
    if (folder / "adapter_config.json").exists():
        raise UnsafeModelError(f"{what} holds an adapter of a model that lies elsewhere; merge it, then {SAVE}.")
    for path, value in _settings(config):
        key = path[-1]
        if key in ELSEWHERE and value:
            raise UnsafeModelError(
                f"{what}: config.json names code or weights from elsewhere ({key!r}); {SAVE} without."
            )
        implementation = "attn_implementation" in key or "experts_implementation" in key
        if implementation and value not in (None, "eager", "sdpa"):
            raise UnsafeModelError(f"{what}: config.json asks for a kernel from elsewhere ({str(value)[:60]!r}).")
        backbone = key in ("use_pretrained_backbone", "use_timm_backbone") or (key == "backbone" and value is not None)
        if backbone and value:
            raise UnsafeModelError(f"{what}: config.json names a backbone from elsewhere; {SAVE} of a whole model.")


def _settings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting, those inside others too, with the keys that lead to it."""
    items: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        items = iter((str(key), each) for key, each in value.items())
    elif isinstance(value, list):
        items = iter((path[-1] if path else "", each) for each in value)
    for key, each in items:
        yield (*path, key), each
        yield from _settings(each, (*path, key))


def _refuse_absurd(config: Mapping[str, Any], tensors: int, what: str) -> None:
    """Refuse more layers than there are tensors: they would be built for hours, to be refused then."""
    for path, value in _settings(config):
        if type(value) is int and abs(value) > 2**31:
            raise UnsafeModelError(f"{what}: config.json has an absurd size ({path[-1]!r}).")
        if type(value) is int and _ITERATED.search(path[-1]) and value > max(tensors, 8) and "label2id" not in path:
            raise UnsafeModelError(f"{what}: config.json has more layers ({path[-1]!r}) than tensors ({tensors}).")


def _class_for(config: Mapping[str, Any], what: str) -> str:
    names = config.get("architectures")
    first = str(names[0]) if isinstance(names, list) and names else ""
    for end, builder in CLASSES.items():
        if first.endswith(end):
            return builder
    kinds = " or ".join(f"...{end}" for end in CLASSES)
    raise InputError(f"{what} holds {first or 'a network of no name'}; an audit needs a classifier ({kinds}).")


def _refuse_larger(transformers: Any, builder: str, folder: Path, tensors: Mapping[str, int], what: str) -> None:
    """Refuse a network that needs more memory than its weights, before it takes any."""
    import torch

    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        shell = getattr(transformers, builder).from_config(config, trust_remote_code=False)
    needed = sum(p.numel() for p in shell.parameters())
    if needed > sum(tensors.values()):  # a number takes a byte at least
        raise UnsafeModelError(f"{what}: config.json describes {needed:,} weights, its files hold fewer; {SAVE}.")
