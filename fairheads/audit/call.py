"""Everything together: the rows, the model and its twins are looked over, counted and analysed, and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fairheads.activations import Outcome, as_network, one_thread
from fairheads.audit.beside import twins_of
from fairheads.audit.counting import Kept, counted
from fairheads.audit.opening import Model, Net, Opening, listed, net_of, recorded
from fairheads.audit.told import data_info, model_info, repeated, scoring, versions
from fairheads.data import Dataset, RowRecord, Stream, refuse_other_rows
from fairheads.models import Bundle, network_digest
from fairheads.models.running import running
from fairheads.models.scikit import refuse_other_columns
from fairheads.pathways import SAMPLE, analyze_pathways, survey
from fairheads.pathways.analyze import affordable
from fairheads.pathways.counterfactual import PairGenerator
from fairheads.pathways.details import checked_flip
from fairheads.pathways.pair import keep_drawn, pairs_of
from fairheads.results import AuditReport, DisparityReport, Number, undefined
from fairheads.twins import TwinRecipe


@one_thread()
def audit(
    model: Model,
    data: Dataset | Stream,
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
    name: str = "",
    before: Callable[[str, str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    looking: Callable[[int, int], None] | None = None,
    resume: str | Path | None = None,
) -> AuditReport:
    """Audit a network on rows that it was not trained on.

    Parameters
    ----------
    model : nn.Module, ExportedProgram, Network, Bundle, or the path of a saved model
        One logit of the favourable outcome a row; above 0 is a favourable decision. Of a path `open_model` in
        `fairheads.models` says which kinds of file there are, and vets them.
    data : Dataset or Stream
        Rows with recorded labels and groups, encoded as the model takes them. Decisions are counted on all of them,
        block by block: a stream, which is read twice, gives the report of the same rows in memory.
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
    name : str
        What the report calls a model that is in memory; a bundle keeps its own name, and a path that of its file.
    before : callable, optional
        Called with the digests of the weights and of the rows before anything is counted. What it raises ends the
        audit: `fairheads.reports.refuse_other` keeps a report of something else that way.
    progress : callable, optional
        Called with the number of rows whose decisions are counted, and of all rows; `fairheads.progress.Bar` draws it.
    looking : callable, optional
        Called with the number of networks that were looked into, and of all, as `fairheads.pathways.analyze_pathways`
        calls its ``progress``.
    resume : path, optional
        File that keeps what was counted, written every two seconds. If the audit is killed, the next one with the same
        model and rows goes on from there and ends with the same bytes; anything else in the file is left alone or
        written over. `fairheads.audit.forget` removes it once the report is saved.

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
    refuse_other_rows(data)
    twins = listed(twins)
    how = Opening.of(factory, outcome, model, twins)
    opened = how.open(model)
    refuse_other_columns(opened, data)
    net, bundle = net_of(opened), recorded(opened, twins)
    network = as_network(net, layers=layers)
    with running("the model", data.inputs, data.feature_names):
        found = survey(network, data, layers)
    names, sample = tuple(layer.name for layer in found), min(sample, affordable(found))
    if flip is not None and details:  # one that is none is refused before anything is counted or trained
        for pair in pairs_of(data, reference, sample, seed):
            checked_flip(flip, pair)
    rows, weights = RowRecord.of(data), network_digest(network)
    if before is not None:
        before(weights, rows.digest)
    overlap, expected = _overlap(bundle, rows)
    keep_drawn(data, reference, sample, seed)
    kept = None if resume is None else Kept(Path(resume), network, weights, data, versions(network))
    counts = counted(network, data, kept=kept, tell=progress)
    disparity = counts.report(data.name)
    others = twins_of(twins, opened, bundle, data, rows, how, network)
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
        progress=looking,
    )
    return AuditReport(
        model=model_info(network, bundle, names, _file_name(model) or name),
        data=data_info(data, rows, disparity, bundle, max(p.n for p in pathways.values()), overlap, expected),
        seed=seed,
        versions=versions(network),
        disparity=disparity,
        pathways=pathways,
        notes=(*notes, *scoring(network, counts.clipped, counts.n), *repeated(rows)),
    )


def _file_name(model: Model) -> str:
    return Path(model).absolute().name if isinstance(model, str | Path) else ""


def _overlap(bundle: Bundle | None, rows: RowRecord) -> tuple[Number, Number]:
    if bundle is None or bundle.rows is None:
        unknown = undefined("the model has no record of its training rows")
        return unknown, unknown
    share, expected = bundle.rows.refuse_overlap(rows)
    return Number(value=share, n=rows.n), Number(value=expected, n=bundle.rows.n)


@one_thread()
def network_disparity(model: Net, data: Dataset | Stream) -> DisparityReport:
    """The disparity report of a network's decisions (score above 0) on all rows; cells are summed block by block."""
    refuse_other_rows(data)
    return counted(as_network(model), data).report(data.name)
