"""Saved models in and out, without pickle."""

from fairheads.models.bundle import Bundle, check_free, holds_model, load_bundle, save_bundle, weights_digest
from fairheads.models.fit import fit_table

__all__ = ["Bundle", "check_free", "fit_table", "holds_model", "load_bundle", "save_bundle", "weights_digest"]
