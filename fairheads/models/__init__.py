"""Saved models in and out, without pickle: whatever the file, nothing of it is executed."""

from fairheads.models.bundle import Bundle, check_free, holds_model, load_bundle, save_bundle, weights_digest
from fairheads.models.digests import network_digest
from fairheads.models.fit import fit_table
from fairheads.models.opening import Opened, holds_pretrained, open_among, open_model

__all__ = [
    "Bundle",
    "Opened",
    "check_free",
    "fit_table",
    "holds_model",
    "holds_pretrained",
    "load_bundle",
    "network_digest",
    "open_among",
    "open_model",
    "save_bundle",
    "weights_digest",
]
