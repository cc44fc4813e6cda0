"""The twins that stand beside an audited network: opened or trained, and refused where they are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairheads.activations import Network, OnnxNetwork, as_network
from fairheads.audit.opening import Model, Net, Opening, module_of
from fairheads.data import Dataset, RowRecord, Stream, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.models import Bundle, Opened
from fairheads.models.running import running
from fairheads.models.scikit import refuse_other_columns
from fairheads.twins import TwinRecipe
from fairheads.twins.given import refuse_other_recipe, refuse_trained_on, refuse_twice, same_rows


@dataclass(frozen=True, eq=False)
class Twins:
    """The twins as networks, whether they were trained on the model's rows, and those rows where they are at hand."""

    networks: Sequence[Net] = ()
    matched: bool | None = None
    train_data: Dataset | None = None
    placebos: Sequence[Net] = ()


def twins_of(
    twins: Sequence[Model] | TwinRecipe | None,
    model: Opened,
    bundle: Bundle | None,
    data: Dataset | Stream,
    rows: RowRecord,
    how: Opening,
    network: Network,
) -> Twins:
    """Open or train the twins, and refuse those that are none: by recipe, rows or weights."""
    if twins is None:
        return Twins()
    if isinstance(twins, TwinRecipe):
        return _trained(twins, model, rows)
    opened = [how.open_twin(twin) for twin in twins]
    for number, each in enumerate(opened, 1):
        refuse_other_columns(each, data, f"twin {number}")
    bundles = [each for each in opened if isinstance(each, Bundle)]
    refuse_trained_on(opened, rows)
    for each in bundles:
        if bundle is not None:
            refuse_other_recipe(bundle, each)
    refuse_twice([module for module in map(module_of, (model, *opened)) if module is not None])
    digests = [each.digest for each in (model, *opened) if isinstance(each, OnnxNetwork)]
    if len(set(digests)) < len(digests):
        raise InputError("two of the twins, or a twin and the model, are the same file; each must be trained anew.")
    networks = [how.net(each) for each in opened]
    some = next(blocks(data)).inputs
    for number, net in enumerate(networks, 1):
        with running(f"twin {number}", some):
            as_network(net, like=network).forward(some)
    return Twins(networks, same_rows([bundle, *opened]))


def _trained(recipe: TwinRecipe, model: Opened, rows: RowRecord) -> Twins:
    own = model if isinstance(model, Bundle) else module_of(model)
    if own is None:
        raise ConfigError(f"a TwinRecipe needs a bundle or a torch module, got {type(model).__name__}; pass twins.")
    matched = recipe.matches(own)
    if not matched:  # else these rows are the model's own, which were compared with the data
        RowRecord.of(recipe.train_data).refuse_overlap(rows, of="a twin")
    placebos = _counted(recipe, 0).placebos(own) if recipe.placebo else ()
    networks = _counted(recipe, recipe.placebo).train(own)
    return Twins(networks, matched, None if matched is False else recipe.train_data, placebos)


def _counted(recipe: TwinRecipe, before: int) -> TwinRecipe:
    """The recipe that tells of its progress after ``before`` networks, of all that are trained for the audit."""
    tell, of = recipe.progress, recipe.n + recipe.placebo
    return recipe if tell is None else replace(recipe, progress=lambda done, _: tell(before + done, of))
