"""The self-test: plant in every twin, audit it beside the others, and count."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from fairheads.activations import TorchNetwork, one_thread
from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, InputError
from fairheads.models import network_digest
from fairheads.pathways import SAMPLE, survey
from fairheads.pathways.analyze import affordable
from fairheads.pathways.case import Background
from fairheads.pathways.conditions import RULE
from fairheads.pathways.pair import Pair, contrasts
from fairheads.results import SelftestReport
from fairheads.selftest.bench import Bench, Progress
from fairheads.selftest.given import Model, given_networks
from fairheads.selftest.plants import Ground, Plant, estimate_for, merge_in, units_in, unused_units
from fairheads.twins import TwinRecipe

STRENGTHS = (0.25, 0.5, 1.0)


@one_thread()
def selftest(
    model: Model,
    data: Dataset,
    *,
    twins: Sequence[Model] | TwinRecipe,
    train_data: Dataset | None = None,
    strengths: Sequence[float] = STRENGTHS,
    group: str | None = None,
    reference: str | None = None,
    layers: Sequence[str] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    alpha: float = 0.05,
    name: str = "",
    before: Callable[[str, str], None] | None = None,
    progress: Progress | None = None,
) -> SelftestReport:
    """Whether an audit of this network on these rows would find a head of a stated strength, and whether it finds none.

    Heads are planted in the twins, which have none of their own, and each is audited beside the others by the rule of
    `fairheads.pathways.analyze_pathways`. The strength b of a head is given as a share of what demographic parity needs
    on the rows that it is fitted on.

    * MERGE: a group head on the frozen last layer of a twin, merged into its task head: ``z_y + b z_g + t``.
    * PLANT: in `MLP`, `ResNet` and `Transformer`, two units a layer that carry an estimate of the group to the logit.
    * U and UNUSED, which have no head: the twins as they are (which is MERGE with b = 0), and PLANT with b = 0.
    * PERM, where there is nothing to find: the twins and the model, with groups permuted among the rows of each label.

    Parameters
    ----------
    model : nn.Module, Network, Bundle, or the path of a saved bundle
        The network whose audit is in question. It decides which layers are looked at; its own verdict is told.
    data : Dataset
        Rows for audits, on which neither the model nor the twins were trained.
    twins : sequence of models, or TwinRecipe
        Torch modules or bundles of the model's architecture, trained without the constraint; at least 3. Each plant
        is compared with one twin fewer than the model is, so that the audit itself has a little more power.
    train_data : Dataset, optional
        Training rows, to fit group heads on; a recipe brings its own. Without, half of ``data`` is taken for it.
    strengths : sequence of float
        Above 0. Each costs one measurement a twin and kind of head.
    group : str, optional
        The group that heads are planted for; by default the largest beside the reference.
    reference, layers, sample, seed, alpha
        As in `fairheads.pathways.analyze_pathways`. Of several groups each is tested at Holm's first level.
    name, before
        As in `fairheads.audit.audit`.
    progress : callable, optional
        Called with the number of networks that were measured, and how many there will be; `fairheads.progress.Bar`
        draws it.

    Returns
    -------
    SelftestReport

    Raises
    ------
    ConfigError
        On fewer than 3 twins, twins without torch modules, or settings that make no sense.
    InputError
        If the rows cannot be used: too few of a group or label, no gap in recorded labels, which gives no head a
        direction, or training rows among them.

    Notes
    -----
    Not shown: whether the model has a head; that a head which was learned is as easily found as one that was planted;
    power on other rows. The runs share rows and twins, so that they are not independent.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5: the merge.

    Examples
    --------
    >>> from fairheads.planted import Setting, World, Recipe, twins_of
    >>> setting = Setting.drawn(World(), 800, seed=0, recipe=Recipe(epochs=2))
    >>> report = selftest(
    ...     setting.unconstrained,
    ...     setting.audit_rows(400),
    ...     twins=twins_of(setting, 3),
    ...     train_data=setting.rows,
    ...     strengths=(1.0,),
    ...     layers=("backbone.5",),
    ... )
    >>> report.planted, report.twins, report.nulls
    (('MERGE', 'PLANT'), 3, 10)
    """
    started = time.perf_counter()
    strengths = _checked(strengths, sample, seed, alpha)
    given = given_networks(model, twins, data, train_data, name)
    audited, fitted = _rows(data, given.train_data, seed)
    network = given.network(layers)
    found = survey(network, audited, layers)
    names = tuple(layer.name for layer in found)
    pairs = contrasts(audited, reference)
    code, against = _contrast(audited, pairs, group)
    pair = Pair.of(audited, code, against, min(sample, affordable(found)), seed)
    _refuse(pair, names)
    origin = {"model": network_digest(network), "rows": RowRecord.of(data).digest}
    if before is not None:
        before(origin["model"], origin["rows"])
    bench = Bench(
        network,
        tuple(given.twins),
        pair,
        names,
        Background(given.disjoint, given.matched),
        given.train_data if given.matched is not False else None,
        alpha / len(pairs),
        progress,
    )
    favourable = network.favourable if isinstance(network, TorchNetwork) else None
    ground = Ground(fitted, *pair.names, favourable=1 if favourable is None else favourable)
    estimate = estimate_for(bench.twins, ground, names)
    kinds: dict[str, Callable[[nn.Module], Plant]] = {"MERGE": lambda net: merge_in(net, ground)}
    if estimate is not None:
        kinds["PLANT"] = lambda net: units_in(net, ground, estimate)
    bench.expect(len(kinds) * len(strengths), unused=estimate is not None)
    bench.measure_twins()
    verdict = bench.audited(network, None).verdict
    classes = [each for name, plant in kinds.items() for each in bench.planted(name, plant, strengths)]
    classes.append(bench.without_head("U", bench.twins))
    if estimate is not None:
        classes.append(bench.without_head("UNUSED", [unused_units(t, ground, estimate) for t in bench.twins]))
    classes.append(bench.permuted(audited, seed))
    return SelftestReport(
        model=given.name,
        data=data.name or "unnamed",
        group=pair.names[0],
        reference=pair.names[1],
        n=len(pair.data),
        fitted_on=len(fitted),
        split=given.train_data is None,
        twins=len(bench.twins),
        layers=names,
        alpha=bench.alpha,
        margin=RULE.swap_margin,
        seed=seed,
        verdict=verdict,
        classes=tuple(classes),
        measured=bench.measured,
        provenance=origin,
        seconds=time.perf_counter() - started,
    )


def _checked(strengths: Sequence[float], sample: int, seed: int, alpha: float) -> tuple[float, ...]:
    if not strengths or not all(0 < s < float("inf") for s in strengths):
        raise ConfigError(f"`strengths` must be above 0, at least one, got {list(strengths)}.")
    if not 0 < alpha < 1 or sample < 1 or seed < 0:
        raise ConfigError(
            f"`alpha` must lie between 0 and 1, `sample` be at least 1 and `seed` at least 0, got {alpha}, {sample} and"
            f" {seed}."
        )
    return tuple(sorted(set(strengths)))


def _rows(data: Dataset, train_data: Dataset | None, seed: int) -> tuple[Dataset, Dataset]:
    """The rows to audit, and those to fit group heads on: where no training rows are given, one half each."""
    if train_data is not None:
        return data, train_data
    order = np.random.default_rng(seed).permutation(len(data))
    return data.take(np.sort(order[len(data) // 2 :])), data.take(np.sort(order[: len(data) // 2]))


def _contrast(data: Dataset, pairs: Sequence[tuple[int, int]], group: str | None) -> tuple[int, int]:
    """The codes of the group and of the reference."""
    names = [data.group_names[code] for code, _ in pairs]
    if group is None:
        return max(pairs, key=lambda pair: int((data.group == pair[0]).sum()))
    if group not in names:
        raise ConfigError(f"`group` must be one of {names}, got {group!r}.")
    return pairs[names.index(group)]


def _refuse(pair: Pair, layers: Sequence[str]) -> None:
    if pair.too_small is not None:
        raise InputError(f"nothing could be found on these rows: {pair.too_small}.")
    if not layers:
        raise InputError("the network has no hidden layer to look into.")
    if pair.orientation == 0:
        raise InputError(
            f"the recorded labels show no gap between {pair.names[0]!r} and {pair.names[1]!r}"
            f" ({pair.base_rate_gap}): no head has a direction here, and an audit says of none that it compensates."
        )
