"""The one call: disparity of a network's decisions, and the verdict on how it comes to them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram, UnflattenedModule

from fairheads.activations import Network, OnnxNetwork, Outcome, TorchNetwork, as_network, one_thread
from fairheads.data import Dataset, RowRecord, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.models import Bundle, open_model, weights_digest
from fairheads.models.running import running
from fairheads.pathways import SAMPLE, analyze_pathways, survey
from fairheads.pathways.counterfactual import PairGenerator
from fairheads.pathways.details import checked_flip
from fairheads.pathways.pair import Pair, contrasts
from fairheads.results import AuditReport, DataInfo, DisparityReport, GroupShare, ModelInfo, Number, undefined
from fairheads.sums import Cells, Tally
from fairheads.twins import TwinRecipe
from fairheads.twins.given import refuse_other_recipe, refuse_trained_on, refuse_twice, same_rows

Net = Network | nn.Module | ExportedProgram
Model = Net | Bundle | str | Path


@one_thread()
def audit(
    model: Model,
    data: Dataset,
    *,
    twins: Sequence[Model] | TwinRecipe | None = None,
    factory: str | None = None,
    outcome: Outcome | None = None,
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
    model : nn.Module, ExportedProgram, Network, Bundle, or the path of a saved model
        One logit of the favourable outcome a row; above 0 is a favourable decision. Of a path `open_model` in
        `fairheads.models` says which kinds of file there are, and vets them.
    data : Dataset
        Rows with recorded labels and groups, encoded as the model takes them.
    twins : sequence of models, TwinRecipe or None
        The same network without the constraint: given, or trained by the recipe, which needs a bundle, or a factory and
        a record of the training. None allows ``consistent_with_compensating_head`` at most. A recipe with ``placebo``
        twins shows the deciding effect beside theirs too, which costs as much as so many twins and decides nothing.
    factory, outcome
        How the paths among ``model`` and ``twins`` are opened, as in `fairheads.models.open_model`: the function that
        builds the network of weights alone, and how outputs become the score. Twins that are bundles need neither.
        What is in memory already takes an outcome by `fairheads.activations.TorchNetwork`.
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
        If the data cannot be used, among others because they hold rows the model was trained on, or the network fails
        on them.
    ConfigError
        If a setting or the kind of ``model`` or ``twins`` makes no sense, or the factory fails.
    UnsafeModelError
        If loading a file would run code, or it is damaged.

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
    how = _Opening.of(factory, outcome, model, twins)
    opened = how.open(model)
    net, bundle = _net(opened), _recorded(opened, twins)
    network = as_network(net, layers=layers)
    with running("the model", data.inputs):
        names = tuple(layer.name for layer in survey(network, data, layers))
    _check_flip(flip if details else None, data, reference)
    overlap, expected = _overlap(bundle, data)
    disparity, clipped = _disparity(network, data)
    others = _twins(twins, opened, bundle, data, how, network)
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
        model=_model_info(network, bundle, names, Path(model).absolute().name if isinstance(model, str | Path) else ""),
        data=_data_info(data, disparity, bundle, max(p.n for p in pathways.values()), overlap, expected),
        seed=seed,
        versions=_versions(network),
        disparity=disparity,
        pathways=pathways,
        notes=(*notes, *_scoring(network, clipped, len(data))),
    )


Opened = Net | Bundle


@dataclass(frozen=True)
class _Opening:
    """How paths become models."""

    factory: str | None
    outcome: Outcome | None

    @classmethod
    def of(
        cls, factory: str | None, outcome: Outcome | None, model: Model, twins: Sequence[Model] | TwinRecipe | None
    ) -> _Opening:
        """These settings, refused where there is nothing to open."""
        given = [model, *(() if twins is None or isinstance(twins, TwinRecipe) else twins)]
        if (factory is not None or outcome is not None) and not any(isinstance(each, str | Path) for each in given):
            raise ConfigError(
                "`factory` and `outcome` are for the paths of saved models, and none is given; of a network in memory"
                " say TorchNetwork(net, outcome=...)."
            )
        return cls(factory, outcome)

    def open(self, model: Model) -> Opened:
        """The model, if it is a path the one that is there."""
        if not isinstance(model, str | Path):
            return model
        return open_model(model, factory=self.factory, outcome=self.outcome)

    def open_twin(self, twin: Model) -> Opened:
        """A twin; bundles, and networks that are found whole in a folder, need no factory, and bundles no outcome."""
        if not isinstance(twin, str | Path) or not Path(twin).is_dir():
            return self.open(twin)
        opened = open_model(twin)
        if self.outcome is None or not isinstance(opened, nn.Module):
            return opened
        return TorchNetwork(opened, outcome=self.outcome)

    def net(self, twin: Opened) -> Net:
        """The network of a twin; that of a bundle returns logits, whatever the outcome of others."""
        return _net(twin) if self.outcome is None or not isinstance(twin, Bundle) else TorchNetwork(twin.net)


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


def _twins(
    twins: Sequence[Model] | TwinRecipe | None,
    model: Opened,
    bundle: Bundle | None,
    data: Dataset,
    how: _Opening,
    network: Network,
) -> _Twins:
    """Open or train the twins, and refuse those that are none: by recipe, rows or weights."""
    if twins is None:
        return _Twins()
    if isinstance(twins, TwinRecipe):
        return _trained(twins, model, data)
    opened = [how.open_twin(twin) for twin in twins]
    bundles = [each for each in opened if isinstance(each, Bundle)]
    refuse_trained_on(opened, data)
    for each in bundles:
        if bundle is not None:
            refuse_other_recipe(bundle, each)
    refuse_twice([module for module in map(_module, (model, *opened)) if module is not None])
    digests = [each.digest for each in (model, *opened) if isinstance(each, OnnxNetwork)]
    if len(set(digests)) < len(digests):
        raise InputError("two of the twins, or a twin and the model, are the same file; each must be trained anew.")
    networks = [how.net(each) for each in opened]
    some = next(blocks(data)).inputs
    for number, net in enumerate(networks, 1):
        with running(f"twin {number}", some):
            as_network(net, like=network).forward(some)
    return _Twins(networks, same_rows([bundle, *opened]))


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


def _overlap(bundle: Bundle | None, data: Dataset) -> tuple[Number, Number]:
    if bundle is None or bundle.rows is None:
        unknown = undefined("the model has no record of its training rows")
        return unknown, unknown
    share, expected = bundle.rows.refuse_overlap(data)
    return Number(value=share, n=len(data)), Number(value=expected, n=bundle.rows.n)


@one_thread()
def network_disparity(model: Net, data: Dataset) -> DisparityReport:
    """The disparity report of a network's decisions (score above 0) on all rows; cells are summed block by block."""
    return _disparity(as_network(model), data)[0]


def _disparity(network: Network, data: Dataset) -> tuple[DisparityReport, int]:
    """The report, and how many rows have a probability that was clipped."""
    cells, clipped = Cells.empty(data.group_names), 0
    for batch in blocks(data):
        with running("the model", batch.inputs):
            decision = network.forward(batch.inputs) > 0
        clipped += network.clipped if isinstance(network, TorchNetwork | OnnxNetwork) else 0
        cells = cells + Cells.count(y=batch.y, decision=decision, group=batch.group, groups=data.group_names)
    tally = Tally(n=len(data), columns=("group",), cells=cells)
    return disparity_of(tally, metrics=CORE, name=data.name), clipped


def _scoring(network: Network, clipped: int, n: int) -> list[str]:
    """How outputs became scores, where they are no logits, as lines of the report."""
    outcome = network.outcome if isinstance(network, TorchNetwork | OnnxNetwork) else None
    said = [] if outcome is None else [f"The score is made of the network's outputs as {str(outcome)!r}."]
    if clipped:
        said.append(f"{clipped:,} of the {n:,} rows have a probability without a logit, and the nearest that has one.")
    return said


def _model_info(network: Network, bundle: Bundle | None, layers: tuple[str, ...], file: str) -> ModelInfo:
    module = network.module if isinstance(network, TorchNetwork) else None
    kind = "ExportedProgram" if isinstance(module, UnflattenedModule) else type(module or network).__name__
    digest, parameters = (network.digest, network.parameters) if isinstance(network, OnnxNetwork) else ("", 0)
    if module is not None:
        digest, parameters = weights_digest(module), sum(p.numel() for p in module.parameters())
    return ModelInfo(
        name=(bundle.name if bundle is not None else "") or file or kind,
        digest=digest,
        architecture=kind + _widths(module),
        parameters=parameters,
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


def _versions(network: Network) -> dict[str, str]:
    packages = ("fairheads", "torch", "numpy", "scipy")
    found = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    if isinstance(network, OnnxNetwork):
        import onnxruntime

        found["onnxruntime"] = onnxruntime.__version__
    return found
