"""Checkpoints of a training run: written beside and renamed, read without running code, refused for another run."""

from __future__ import annotations

import hashlib
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
    part = path.with_name(f"{path.name}.part")
    try:
        torch.save({"format": FORMAT, "run": run, **state}, part)
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
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise UnsafeModelError(
            f"{path} is no checkpoint, or damaged ({type(error).__name__}); nothing was run."
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UnsafeModelError(f"{path} is no checkpoint of a training run ({FORMAT}).")
    if state.get("run") != run:
        raise ConfigError(
            f"the checkpoint {path} is of a run with other settings or other rows; remove it or name another file."
        )
    return state
