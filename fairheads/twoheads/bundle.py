"""Merging a saved two-headed network."""

from __future__ import annotations

import dataclasses

from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.models import Bundle
from fairheads.nets import TwoHeadNet
from fairheads.twoheads.frontier import fit_frontier
from fairheads.twoheads.merge import merge_net, two_head_scores


def merge_bundle(bundle: Bundle, validation: Dataset, *, max_gap: float, confidence: float | None = 0.95) -> Bundle:
    """The single-head bundle of a two-headed one, merged at the most accurate point whose gap is at most ``max_gap``.

    The merge is verified on the validation rows before it is returned; its coefficients are kept in ``merge``. See
    `Frontier.at` for ``max_gap`` and ``confidence``.

    Raises
    ------
    InputError
        If the bundle has one head, or no merge keeps the gap.
    """
    if not isinstance(bundle.net, TwoHeadNet):
        raise InputError("only a two-headed network can be merged; this one has a single head.")
    heads = two_head_scores(bundle.net, validation)
    frontier = fit_frontier(heads[:, 0], heads[:, 1], validation.y, validation.group)
    coefficients = frontier.at(max_gap=max_gap, confidence=confidence)
    provenance = {**dataclasses.asdict(coefficients), "max_gap": max_gap, "confidence": confidence}
    return dataclasses.replace(bundle, net=merge_net(bundle.net, coefficients, validation), merge=provenance)
