"""The one call: disparity of a network's decisions, and the verdict on how it comes to them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from torch import nn

from fairheads.activations import Network, TorchNetwork, as_network, one_thread
from fairheads.data import Dataset, RowRecord, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.models import Bundle, load_bundle, weights_digest
from fairheads.pathways import SAMPLE, analyze_pathways, survey
from fairheads.results import AuditReport, DataInfo, DisparityReport, GroupShare, ModelInfo, Number, undefined
from fairheads.sums import Cells, Tally
from fairheads.twins import TwinRecipe

Model = Network | nn.Module | Bundle | str | Path


@one_thread()
def audit(
    model: Model,
    data: Dataset,
    *,
    twins: Sequence[Model] | TwinRecipe | None = None,
    reference: str | None = None,
    layers: Sequence[str] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    alpha: float = 0.05,
    notes: Sequence[str] = (),
) -> AuditReport:
    """Audit a network on rows that it was not trained on.

    Parameters
    ----------
    model : nn.Module, Network, Bundle, or the path of a saved bundle
        One logit of the favourable outcome a row; above 0 is a favourable decision.
    data : Dataset
        Rows with recorded labels and groups, encoded as the model takes them.
    twins : sequence of models, TwinRecipe or None
        The same network without the constraint: given, or trained by the recipe (which needs a bundle). None
        allows ``consistent_with_compensating_head`` at most.
    reference, layers, sample, seed, alpha
        As in `fairheads.pathways.analyze_pathways`.
    notes : sequence of str
        Lines to carry into the report.

    Returns
    -------
    AuditReport
        The same inputs and seed give the same bytes, whatever the batch size of ``data``.

    Raises
    ------
    InputError
        If the data cannot be used, among others because they hold rows the model was trained on.
    ConfigError
        If a setting or the kind of ``model`` or ``twins`` makes no sense.

    Notes
    -----
    Not shown: whether the network or its use is lawful; anything about outcomes other than the recorded label.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> report = audit(MLP(8, hidden=(8,)), synthetic(400))
    >>> report.data.n, list(report.pathways)
    (400, ['B'])
    """
    opened = _open(model)
    network = as_network(opened.net if isinstance(opened, Bundle) else opened, layers=layers)
    names = tuple(layer.name for layer in survey(network, data, layers))
    bundle = opened if isinstance(opened, Bundle) else None
    overlap, expected = _overlap(bundle, data)
    disparity = network_disparity(network, data)
    others = _twins(twins, opened, data)
    pathways = analyze_pathways(
        network,
        data,
        twins=others.networks,
        reference=reference,
        layers=names,
        sample=sample,
        seed=seed,
        alpha=alpha,
        train_data=others.train_data,
        rows_disjoint=None if bundle is None or bundle.rows is None else True,
        twins_matched=others.matched,
    )
    return AuditReport(
        model=_model_info(network, bundle, names),
        data=_data_info(data, disparity, bundle, max(p.n for p in pathways.values()), overlap, expected),
        seed=seed,
        versions=_versions(),
        disparity=disparity,
        pathways=pathways,
        notes=tuple(notes),
    )


def _open(model: Model) -> Network | nn.Module | Bundle:
    return load_bundle(model) if isinstance(model, str | Path) else model


@dataclass(frozen=True, eq=False)
class _Twins:
    """The twins as networks, whether they were trained on the model's rows, and those rows where they are at hand."""

    networks: Sequence[Network | nn.Module] = ()
    matched: bool | None = None
    train_data: Dataset | None = None


def _twins(twins: Sequence[Model] | TwinRecipe | None, model: Network | nn.Module | Bundle, data: Dataset) -> _Twins:
    """Open or train the twins, and refuse those that are none: by recipe, rows or weights."""
    bundle = model if isinstance(model, Bundle) else None
    if twins is None:
        return _Twins()
    if isinstance(twins, TwinRecipe):
        if bundle is None:
            raise ConfigError("a TwinRecipe needs a model saved as a bundle, whose training record it follows.")
        matched = twins.matches(bundle)
        if not matched:
            RowRecord.of(twins.train_data).refuse_overlap(data, of="a twin")
        return _Twins(twins.train(bundle), matched, twins.train_data if matched else None)
    opened = [_open(twin) for twin in twins]
    bundles = [each for each in opened if isinstance(each, Bundle)]
    for each in bundles:
        if each.rows is not None:
            each.rows.refuse_overlap(data, of="a twin")
        if bundle is not None:
            _refuse_other_recipe(bundle, each)
    networks = [each.net if isinstance(each, Bundle) else each for each in opened]
    modules = [net for net in (bundle.net if bundle else model, *networks) if isinstance(net, nn.Module)]
    if len({weights_digest(net) for net in modules}) < len(modules):
        raise InputError("two of the twins, or a twin and the model, have the same weights; each must be trained anew.")
    if bundle is None or bundle.rows is None or len(bundles) < len(opened) or any(b.rows is None for b in bundles):
        return _Twins(networks)
    return _Twins(networks, all(b.rows is not None and b.rows.digest == bundle.rows.digest for b in bundles))


def _refuse_other_recipe(model: Bundle, twin: Bundle) -> None:
    """A twin has the model's architecture and recipe and no constraint; where the records say otherwise it is none."""
    mine, its = ({"architecture": getattr(b.net, "config", None), **b.training} for b in (model, twin))
    keys = ("architecture", "optimizer", "epochs", "batch_size", "learning_rate", "schedule")
    other = [key for key in keys if key in mine and key in its and mine[key] != its[key]]
    if other:
        raise InputError(f"twin {twin.name!r} differs from the model in {', '.join(other)}; it is no twin.")
    objective = its.get("objective", {"name": "unconstrained"})
    if objective.get("name") != "unconstrained" and objective.get("weight") != 0:
        raise InputError(f"twin {twin.name!r} was trained as {objective.get('name')!r}; twins are unconstrained.")


def _overlap(bundle: Bundle | None, data: Dataset) -> tuple[Number, Number]:
    if bundle is None or bundle.rows is None:
        unknown = undefined("the model has no record of its training rows")
        return unknown, unknown
    share, expected = bundle.rows.refuse_overlap(data)
    return Number(value=share, n=len(data)), Number(value=expected, n=bundle.rows.n)


@one_thread()
def network_disparity(model: Network | nn.Module, data: Dataset) -> DisparityReport:
    """The disparity report of a network's decisions (score above 0) on all rows; cells are summed block by block."""
    network = as_network(model)
    cells = Cells.empty(data.group_names)
    for batch in blocks(data):
        decision = network.forward(batch.inputs) > 0
        cells = cells + Cells.count(y=batch.y, decision=decision, group=batch.group, groups=data.group_names)
    tally = Tally(n=len(data), columns=("group",), cells=cells)
    return disparity_of(tally, metrics=CORE, name=data.name)


def _model_info(network: Network, bundle: Bundle | None, layers: tuple[str, ...]) -> ModelInfo:
    module = network.module if isinstance(network, TorchNetwork) else None
    return ModelInfo(
        name=(bundle.name if bundle is not None else "") or type(module or network).__name__,
        digest=weights_digest(module) if module is not None else "",
        architecture=type(module or network).__name__ + _widths(module),
        parameters=sum(p.numel() for p in module.parameters()) if module is not None else 0,
        layers=layers,
        training={**bundle.training, **({"merge": bundle.merge} if bundle.merge else {})}
        if bundle is not None
        else None,
    )


def _widths(module: nn.Module | None) -> str:
    config = getattr(module, "config", None)
    if not isinstance(config, dict) or "hidden" not in config:
        return ""
    return (
        f" {'-'.join(map(str, (config['in_features'], *config['hidden'], config['outputs'])))}, {config['activation']}"
    )


def _data_info(
    data: Dataset,
    disparity: DisparityReport,
    bundle: Bundle | None,
    sampled: int,
    overlap: Number,
    expected_overlap: Number,
) -> DataInfo:
    shares = bundle.training.get("shares", {}) if bundle is not None else {}
    groups = {
        name: GroupShare(
            n=group.n,
            base_rate=disparity.metrics["base_rate"].groups[name],
            training_n=shares.get(name, {}).get("n"),
            training_base_rate=shares.get(name, {}).get("base_rate"),
        )
        for name, group in disparity.groups.items()
    }
    return DataInfo(
        name=data.name or "unnamed",
        n=len(data),
        sampled=sampled,
        digest=RowRecord.of(data).digest,
        groups=groups,
        overlap=overlap,
        expected_overlap=expected_overlap,
        unseen_categories=dict(data.unseen),
    )


def _versions() -> dict[str, str]:
    packages = ("fairheads", "torch", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
