"""Checkpoints of a training run: written beside and renamed, read without running code, refused for another run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError, UnsafeModelError

FORMAT = "fairheads/checkpoint/1"


def fingerprint(*parts: Any) -> str:
    """One word for the settings and rows of a run: a checkpoint of another run must not be resumed."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def digest(data: Dataset) -> str:
    """One word for rows with their groups and strata, in their order."""
    word, rows = hashlib.sha256(), data.rows()
    for part in (*rows.inputs.values(), rows.y, rows.group, rows.strata):
        if part is not None:
            word.update(repr((part.shape, part.dtype.str)).encode())
            word.update(np.ascontiguousarray(part).data)
    return word.hexdigest()


def write(path: Path, state: dict[str, Any], run: str) -> None:
    """Write the state whole or not at all: what stood there stays until the new file is complete."""
    content = io.BytesIO()
    torch.save({"run": run, **state}, content)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(_head(content.getbuffer()))
            file.write(content.getbuffer())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path, run: str, device: torch.device) -> dict[str, Any] | None:
    """The state that was written, or None where there is none (then the folder is made).

    Raises
    ------
    UnsafeModelError
        If the file is damaged or no checkpoint.
    ConfigError
        If it is of a run with other settings or other rows.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"`checkpoint` must be a file in a folder that can be written, got {path}.") from error
        return None
    if not path.is_file():
        raise InputError(f"`checkpoint` must be a file, got the folder {path}.")
    head, _, content = path.read_bytes().partition(b"\n")
    if not head.startswith(FORMAT.encode()):
        raise UnsafeModelError(f"{path} is no checkpoint of a training run ({FORMAT}), or damaged; nothing was run.")
    # torch does not look at checksums: a flipped bit in a weight would be taken up.
    if head + b"\n" != _head(content):
        raise UnsafeModelError(f"the checkpoint {path} is damaged; remove it to start anew. Nothing was run.")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeModelError(
            f"the checkpoint {path} holds objects that would run code, such as a monitor's; nothing was run."
        ) from error
    if state["run"] != run:
        raise ConfigError(
            f"the checkpoint {path} is of a run with other settings or other rows; remove it or name another file."
        )
    return state


def _head(content: bytes | memoryview) -> bytes:
    """The first line of a checkpoint, by which damage is seen before anything is unpickled."""
    return f"{FORMAT} {hashlib.sha256(content).hexdigest()}\n".encode()
