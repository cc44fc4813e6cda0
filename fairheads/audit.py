"""The one call: disparity of a network's decisions, and the verdict on how it comes to them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram, UnflattenedModule

from fairheads.activations import Network, TorchNetwork, as_network, one_thread
from fairheads.data import Dataset, RowRecord, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.models import Bundle, load_bundle, weights_digest
from fairheads.pathways import SAMPLE, analyze_pathways, survey
from fairheads.pathways.counterfactual import PairGenerator
from fairheads.pathways.details import checked_flip
from fairheads.pathways.pair import Pair, contrasts
from fairheads.results import AuditReport, DataInfo, DisparityReport, GroupShare, ModelInfo, Number, undefined
from fairheads.sums import Cells, Tally
from fairheads.twins import TwinRecipe
from fairheads.twins.given import refuse_trained_on, refuse_twice, same_rows

Net = Network | nn.Module | ExportedProgram
Model = Net | Bundle | str | Path


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
    flip: PairGenerator | Sequence[str] | None = None,
    details: bool = True,
    notes: Sequence[str] = (),
) -> AuditReport:
    """Audit a network on rows that it was not trained on.

    Parameters
    ----------
    model : nn.Module, ExportedProgram, Network, Bundle, or the path of a saved bundle
        One logit of the favourable outcome a row; above 0 is a favourable decision.
    data : Dataset
        Rows with recorded labels and groups, encoded as the model takes them.
    twins : sequence of models, TwinRecipe or None
        The same network without the constraint: given, or trained by the recipe, which needs a bundle, or a factory and
        a record of the training. None allows ``consistent_with_compensating_head`` at most. A recipe with ``placebo``
        twins shows the deciding effect beside theirs too, which costs as much as so many twins and decides nothing.
    reference, layers, sample, seed, alpha, flip, details
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
    net, bundle = _net(opened), _recorded(opened, twins)
    network = as_network(net, layers=layers)
    names = tuple(layer.name for layer in survey(network, data, layers))
    _check_flip(flip if details else None, data, reference)
    overlap, expected = _overlap(bundle, data)
    disparity = network_disparity(network, data)
    others = _twins(twins, opened, bundle, data)
    pathways = analyze_pathways(
        network,
        data,
        twins=others.networks,
        placebos=others.placebos,
        reference=reference,
        layers=names,
        sample=sample,
        seed=seed,
        alpha=alpha,
        train_data=others.train_data,
        rows_disjoint=None if bundle is None or bundle.rows is None else True,
        twins_matched=others.matched,
        flip=flip,
        details=details,
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


Opened = Net | Bundle


def _open(model: Model) -> Opened:
    return load_bundle(model) if isinstance(model, str | Path) else model


def _net(model: Opened) -> Net:
    return model.net if isinstance(model, Bundle) else model


def _module(model: Opened) -> nn.Module | None:
    """The torch module behind a model, where there is one."""
    network = as_network(_net(model))
    return network.module if isinstance(network, TorchNetwork) else None


def _recorded(model: Opened, twins: Sequence[Model] | TwinRecipe | None) -> Bundle | None:
    """What is known of a model's training; of a network in memory it is the record that a recipe brings."""
    if isinstance(model, Bundle) or not isinstance(twins, TwinRecipe):
        return model if isinstance(model, Bundle) else None
    module, record = _module(model), dict(twins.record or {})
    if module is None:
        return None
    rows = RowRecord.of(twins.train_data) if twins.matches(module) else None
    return Bundle(net=module, training=record, rows=rows)


def _check_flip(flip: PairGenerator | Sequence[str] | None, data: Dataset, reference: str | None) -> None:
    """A flip that is none is refused before twins are trained."""
    if flip is not None:
        for group, against in contrasts(data, reference):
            checked_flip(flip, Pair.of(data, group, against, len(data), 0))


@dataclass(frozen=True, eq=False)
class _Twins:
    """The twins as networks, whether they were trained on the model's rows, and those rows where they are at hand."""

    networks: Sequence[Net] = ()
    matched: bool | None = None
    train_data: Dataset | None = None
    placebos: Sequence[Net] = ()


def _twins(twins: Sequence[Model] | TwinRecipe | None, model: Opened, bundle: Bundle | None, data: Dataset) -> _Twins:
    """Open or train the twins, and refuse those that are none: by recipe, rows or weights."""
    if twins is None:
        return _Twins()
    if isinstance(twins, TwinRecipe):
        return _trained(twins, model, data)
    opened = [_open(twin) for twin in twins]
    bundles = [each for each in opened if isinstance(each, Bundle)]
    refuse_trained_on(opened, data)
    for each in bundles:
        if bundle is not None:
            _refuse_other_recipe(bundle, each)
    refuse_twice([module for module in map(_module, (model, *opened)) if module is not None])
    return _Twins([_net(each) for each in opened], same_rows([bundle, *opened]))


def _trained(recipe: TwinRecipe, model: Opened, data: Dataset) -> _Twins:
    own = model if isinstance(model, Bundle) else _module(model)
    if own is None:
        raise ConfigError(f"a TwinRecipe needs a bundle or a torch module, got {type(model).__name__}; pass twins.")
    matched = recipe.matches(own)
    if not matched:  # else these rows are the model's own, which were compared with the data
        RowRecord.of(recipe.train_data).refuse_overlap(data, of="a twin")
    placebos = _counted(recipe, 0).placebos(own) if recipe.placebo else ()
    networks = _counted(recipe, recipe.placebo).train(own)
    return _Twins(networks, matched, None if matched is False else recipe.train_data, placebos)


def _counted(recipe: TwinRecipe, before: int) -> TwinRecipe:
    """The recipe that tells of its progress after ``before`` networks, of all that are trained for the audit."""
    tell, of = recipe.progress, recipe.n + recipe.placebo
    return recipe if tell is None else replace(recipe, progress=lambda done, _: tell(before + done, of))


def _refuse_other_recipe(model: Bundle, twin: Bundle) -> None:
    """A twin has the model's architecture and recipe and no constraint; where the records say otherwise it is none."""
    mine, its = ({"architecture": (type(b.net), getattr(b.net, "config", None)), **b.training} for b in (model, twin))
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
def network_disparity(model: Net, data: Dataset) -> DisparityReport:
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
    kind = "ExportedProgram" if isinstance(module, UnflattenedModule) else type(module or network).__name__
    return ModelInfo(
        name=(bundle.name if bundle is not None else "") or kind,
        digest=weights_digest(module) if module is not None else "",
        architecture=kind + _widths(module),
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
