"""Open a saved model of any kind: the kind is found by content, and what would run code is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from fairheads.activations import Network, OnnxNetwork, Outcome, TorchNetwork
from fairheads.data.files import what_is
from fairheads.errors import ConfigError, FairheadsError, InputError, UnsafeModelError
from fairheads.models.archives import is_zip, unpacked
from fairheads.models.bundle import Bundle, load_bundle
from fairheads.models.exported import EXPORT, open_exported
from fairheads.models.pickles import scan
from fairheads.models.pretrained import open_pretrained
from fairheads.models.scikit import open_skops
from fairheads.models.weights import SAFE, built, from_checkpoint, from_npz, from_safetensors

Opened = Network | nn.Module | ExportedProgram | Bundle

KINDS = (
    "a bundle, a .pt2 of torch.export, .onnx, .skops, a folder of transformers, or weights (.safetensors, .npz, a"
    " checkpoint of tensors) with a factory"
)

PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".sav", ".model", ".dill")
"""Ends of names that files of pickles have."""

FOREIGN = (
    (b"\x89HDF", "a Keras or HDF5 file; export it to ONNX (tf2onnx)"),
    (b"GGUF", "a GGUF file; use the safetensors that it was made from"),
    (b"\x1f\x8b", "a packed file (gzip); unpack it first if it is a model, and no pickle"),
    (b"BZh", "a packed file (bzip2); unpack it first if it is a model, and no pickle"),
    (b"\xfd7zXZ", "a packed file (xz); unpack it first if it is a model, and no pickle"),
    (b"\x28\xb5\x2f\xfd", "a packed file (zstd); unpack it first if it is a model, and no pickle"),
    (b"\x04\x22\x4d\x18", "a packed file (lz4); unpack it first if it is a model, and no pickle"),
    (b"\x7fELF", "a program, not a model"),
    (b"MZ", "a program, not a model"),
)
"""First bytes of other files, and what to do with them."""

FILES = 10_000
"""Most files of a model's folder."""

PACKED = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
"""First bytes of zlib streams, which joblib makes."""


def open_model(path: str | Path, *, factory: str | None = None, outcome: Outcome | None = None) -> Opened:
    """A saved model, ready for `fairheads.audit.audit` and `fairheads.pathways.analyze_pathways`.

    The kind is found by what is in the file, not by its name alone. No file is trusted: pickles are never executed,
    archives are vetted in memory, and each reader states what it lets in.

    Parameters
    ----------
    path : str or Path
        A bundle of this package; a ``.pt2`` of torch.export; ``.onnx``; ``.skops`` with an MLP of scikit-learn; a
        folder of Hugging Face's transformers with safetensors; or weights alone, with a ``factory``.
    factory : str, optional
        ``pkg.mod:function``, a function of the user's own that builds the network for weights alone
        (``.safetensors``, ``.npz``, checkpoints of tensors). It is the only code that is run, and a `FairheadsWarning`
        says so.
    outcome : Outcome, optional
        How the outputs become the score, where they are not one logit a row. Bundles take none.

    Returns
    -------
    Bundle, ExportedProgram, nn.Module or Network
        Whichever the kind of file gives, a `Network` where ``outcome`` is given; all of them can be audited.

    Raises
    ------
    InputError
        If there is nothing, or no kind of model that is known.
    ConfigError
        If the file needs a factory or an extra that is not installed, or is given a factory or an outcome and takes
        none.
    UnsafeModelError
        If loading it would run code, or it is damaged; the message says what was found and how to convert it.

    Notes
    -----
    A ``.pt2`` or an ONNX graph that takes batches of one size gets as many rows at a time, the last batch filled up.
    That costs time: export with ``dynamic_shapes`` where it can be had.

    That a file is let in says nothing of what the network does: it may have been trained to mislead.

    Examples
    --------
    >>> import tempfile
    >>> from fairheads.models import Bundle, save_bundle
    >>> from fairheads.nets import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_bundle(Bundle(net=MLP(4, hidden=(8,))), Path(folder) / "net")
    ...     opened = open_model(Path(folder) / "net")
    >>> list(opened.net.config["hidden"])
    [8]
    """
    source = Path(path)
    if (kind := what_is(source)) == "nothing":
        raise InputError(f"there is no model at {str(source)!r}.")
    opened = _folder(source) if kind == "folder" else _file(source, factory, outcome)
    if factory is not None and not isinstance(opened, _Built):
        raise ConfigError(f"{str(source)!r} brings its own network; leave `factory` out.")
    model = opened.net if isinstance(opened, _Built) else opened
    if outcome is not None and isinstance(model, Bundle):
        raise ConfigError(f"{str(source)!r} is a bundle, whose networks return logits; leave `outcome` out.")
    if outcome is not None and isinstance(model, nn.Module | ExportedProgram):
        return TorchNetwork(model, outcome=outcome)
    return model


def open_among(path: str | Path, *, factory: str | None = None, outcome: Outcome | None = None) -> Opened:
    """One of several saved models: ``factory`` and ``outcome`` are for those among them that take any.

    A bundle needs neither, and a folder of transformers no factory; files are opened as by `open_model`, which raises
    what this does.
    """
    if what_is(Path(path)) != "folder":
        return open_model(path, factory=factory, outcome=outcome)
    return open_model(path, outcome=outcome if holds_pretrained(path) else None)


def holds_pretrained(folder: str | Path) -> bool:
    """Whether the folder is one of transformers and no bundle, by its ``config.json`` alone; no network is built.

    Raises
    ------
    UnsafeModelError
        If a link leads out of the folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "config.json").write_text('{"model_type": "bert"}')
    ...     holds_pretrained(folder)
    True
    """
    source = Path(folder)
    if not os.path.lexists(source / "config.json"):
        return False
    _refuse_links(source)
    try:
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and ("model_type" in config or "architectures" in config) and "format" not in config


class _Built:
    """A network that the user's factory built."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net


def _folder(folder: Path) -> Bundle | nn.Module:
    if not os.path.lexists(folder / "config.json"):
        raise InputError(f"{str(folder)!r} is no model: a folder needs a config.json; known are {KINDS}.")
    return open_pretrained(folder) if holds_pretrained(folder) else load_bundle(folder)


def _refuse_links(folder: Path) -> None:
    """Refuse links that lead out of the folder: what lies there would be read in the name of the model."""
    root, count = folder.resolve(), 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry, count = Path(place) / name, count + 1
            try:
                away = entry.is_symlink() and not entry.resolve().is_relative_to(root)
                plain = entry.is_file() or entry.is_dir()
            except (OSError, RuntimeError):  # links in a circle, or to a name that is too long
                away = plain = False
            if away:
                raise UnsafeModelError(
                    f"{str(folder)!r} holds a link out of the folder ({name[:60]!r}); copy the files (cp -rL)."
                )
            if not plain:
                raise UnsafeModelError(f"{str(folder)!r} holds {name[:60]!r}, which is no plain file.")
            if count > FILES:
                raise UnsafeModelError(f"{str(folder)!r} holds more than {FILES:,} files; it is no model.")


def _file(source: Path, factory: str | None, outcome: Outcome | None) -> Network | nn.Module | ExportedProgram | _Built:
    what, end = repr(str(source)), source.suffix.lower()
    if what_is(source) != "file":
        raise InputError(f"{what} is no plain file.")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}.") from error
    if not content:
        raise UnsafeModelError(f"{what} is empty; get it again.")
    if is_zip(content):
        return _archive(content, what, factory)
    if not _is_safetensors(content):
        _refuse_pickle(content, end, what)
        for start, words in FOREIGN:
            if content.startswith(start):
                raise UnsafeModelError(f"{what} is {words}.")
    if _is_safetensors(content) or end == ".safetensors":
        weights = from_safetensors(content, what=what)
        return _Built(built(_needed(factory, what), weights, what=what))
    if end == ".onnx" or content[:1] == b"\x08":
        return _onnx(content, what, outcome)
    if end in (".pt2", ".skops", ".npz", ".zip", *PICKLES):
        raise UnsafeModelError(f"{what} is damaged: it has not the beginning of a {end} file; get it again.")
    raise InputError(f"{what} is no model of a known kind; known are {KINDS}.")


def _archive(content: bytes, what: str, factory: str | None) -> nn.Module | ExportedProgram | _Built:
    """The model in a zip archive, by the members that it has."""
    members = unpacked(content, what=what)
    inside = {name.partition("/")[2] for name in members}
    if "archive_format" in inside or any(name.startswith("models/") for name in inside):
        return open_exported(members, what=what)
    if "serialized_exported_program.json" in members:
        raise UnsafeModelError(f"{what} was exported by torch 2.7 or before, in a form that holds pickles; {EXPORT}.")
    if "schema.json" in members:
        return open_skops(content, members, what=what)
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        raise UnsafeModelError(
            f"{what} is a TorchScript archive, whose code can neither be looked into nor trusted; {EXPORT}, or to ONNX:"
            " torch.onnx.export(net.eval(), (inputs,), 'net.onnx', dynamo=True)."
        )
    if "data.pkl" in inside:
        weights = from_checkpoint(content, members, what=what)
        return _Built(built(_needed(factory, what), weights, what=what))
    if members and all(name.endswith(".npy") for name in members):
        weights = from_npz(members, what=what)
        return _Built(built(_needed(factory, what), weights, what=what))
    if "model.weights.h5" in members:
        raise UnsafeModelError(f"{what} is a Keras archive; export it to ONNX (tf2onnx).")
    raise InputError(f"{what} is an archive of no known kind; known are {KINDS}.")


def _needed(factory: str | None, what: str) -> str:
    if factory is None:
        raise ConfigError(
            f"{what} holds weights alone: name the function of yours that builds the network"
            " (`factory`, --factory pkg.mod:function)."
        )
    return factory


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and 0 < int.from_bytes(content[:8], "little") <= len(content)


def _refuse_pickle(content: bytes, end: str, what: str) -> None:
    """Refuse pickles by content, and by name those that are packed."""
    named = end in PICKLES
    found = scan(content)
    binary = content[:1] == b"\x80" and content[1:2] <= b"\x05"
    if binary or (found.whole and (found.names or named)) or (found.names and named):
        raise UnsafeModelError(
            f"{what} is {found.words()}; loading it would run code. Where it was made, {SAFE}, or {EXPORT}, or save"
            " a model of scikit-learn with skops.io.dump."
        )
    if named and content[:2] in PACKED:
        raise UnsafeModelError(f"{what} is a packed pickle, as joblib makes it; save the model with skops.io.dump.")
    if content[:6] == b"\x93NUMPY":
        raise InputError(f"{what} is one array, no model; known are {KINDS}.")


def _onnx(content: bytes, what: str, outcome: Outcome | None) -> Network:
    try:
        return OnnxNetwork(content, outcome=outcome)
    except FairheadsError as error:  # it has the bytes alone, and cannot name the file
        raise type(error)(f"{what}: {error}") from error
