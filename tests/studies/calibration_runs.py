"""The networks of the calibration study: every planted class on one data set, with twins, measured and kept on disk.

What is measured is a `Case` for each pair of groups: everything that the verdict rests on. Rules of the verdict are
then compared on the same cases, without training or measuring anything again.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fairheads.activations import TorchNetwork, one_thread
from fairheads.data import Dataset
from fairheads.pathways import SAMPLE
from fairheads.pathways.analyze import survey
from fairheads.pathways.case import Background, Case, measure_case
from fairheads.pathways.effects import point_effects
from fairheads.pathways.fits import LayerData, fits_of
from fairheads.pathways.measure import TwinMeasure, measure_twin, turned
from fairheads.pathways.pair import Pair, contrasts
from fairheads.pathways.sample import collect
from fairheads.planted import (
    NULL_CLASSES,
    POSITIVE_CLASSES,
    Planted,
    Setting,
    World,
    added_head,
    merged_head,
    twins_of,
    unconstrained,
)
from fairheads.training import Unconstrained

ROWS, SMALL, TWINS = 6000, 1000, 12
KINDS = ("table", "image", "tokens")
MARGIN, TRUTH = 0.1, 30_000
GAP = 0.6
"""Of merit, in standard deviations: base rates then differ by about .22, as on Adult by sex (.20)."""

Builder = Callable[[Setting], Planted]


@dataclass(frozen=True)
class Entry:
    """A class as the study runs it: its name, how it is built, and how many rows are audited."""

    name: str
    build: Builder
    rows: int = ROWS


@dataclass(frozen=True)
class Measured:
    """One network of the study: what is true of it, and its case for each group beside the reference."""

    name: str
    truth: str
    kind: str
    seed: int
    strength: float
    true_effect: float
    cases: tuple[Case, ...]
    seconds: float


def _longer(setting: Setting) -> Planted:
    recipe = replace(setting.recipe, epochs=4 * setting.recipe.epochs)
    return unconstrained(replace(setting, recipe=recipe))


def _small(build: Builder) -> Builder:
    """The same class where few rows are trained on."""

    def built(setting: Setting) -> Planted:
        world = setting.known_world
        return build(Setting.drawn(world, SMALL, seed=setting.seed, recipe=setting.recipe))

    return built


def _weak(setting: Setting) -> Planted:
    """Trained on an eighth of the rows; the twins, which the auditor was given, on all."""
    few = setting.rows.take(range(len(setting.rows) // 8))
    return replace(unconstrained(setting), network=setting.trained(Unconstrained(), few))


def _with_swap(effect: float) -> Builder:
    """A planted head of so much strength that the largest swap effect over layers is ``effect``, on many rows."""

    def built(setting: Setting) -> Planted:
        rows = setting.known_world.draw(TRUTH, seed=TRUTH + setting.seed)
        pair = Pair.of(rows, 1, 0, TRUTH, 0)

        def swap(share: float) -> float:
            network = TorchNetwork(added_head(setting, share=share).network)
            names = [layer.name for layer in survey(network, rows)]
            sample = collect(network, rows, pair.member, names, 0)
            layers = [LayerData.of(sample, name, sample.activations[name], pair.control) for name in names]
            effects = [point_effects(network, sample, layer, fits_of(sample, layer)) for layer in layers]
            return max(turned(each, pair.sign)[0] for each in effects)

        low, high = 0.0, 1.0
        values = swap(low), swap(high)
        for _ in range(3):  # nearly a straight line
            share = low + (high - low) * (effect - values[0]) / (values[1] - values[0])
            found = swap(share)
            if abs(found - effect) < 0.002:
                break
            low, values = (share, (found, values[1])) if found < effect else (low, (values[0], values[1]))
            high, values = (share, (values[0], found)) if found > effect else (high, values)
        return added_head(setting, share=share)

    return built


def _shared(build: Callable[..., Planted], share: float) -> Builder:
    return lambda setting: build(setting, share=share)


def entries(kind: str) -> tuple[Entry, ...]:
    """The classes that are run on data of one kind: all of them on tables, where networks are quick to train."""
    named = [Entry(build.__name__, build) for build in (*NULL_CLASSES, *POSITIVE_CLASSES)]
    named += [Entry("half a merge", _shared(merged_head, 0.5))]
    if kind == "table":
        named += [
            Entry("long training", _longer),
            Entry("few rows", _small(unconstrained), SMALL),
            Entry("weak", _weak),
            Entry("a quarter of a merge", _shared(merged_head, 0.25)),
            Entry("half a planted head", _shared(added_head, 0.5)),
            Entry("effect at the margin", _with_swap(MARGIN)),
            Entry("effect of two margins", _with_swap(2 * MARGIN)),
        ]
    return tuple(named)


def measured(planted: Planted, entry: Entry, kind: str, theirs: dict[tuple[str, str], list[TwinMeasure]]) -> Measured:
    """Measure one network; twins that were measured for the same rows and pair of groups are taken from ``theirs``."""
    start = time.perf_counter()
    setting = planted.setting
    rows = setting.audit_rows(entry.rows)
    network = TorchNetwork(planted.network)
    names = [layer.name for layer in survey(network, rows)]
    cases = []
    for code, against in contrasts(rows, None):
        pair = Pair.of(rows, code, against, SAMPLE, 0)
        if pair.names not in theirs:
            theirs[pair.names] = [] if pair.too_small else _twins(setting, pair, rows)
        background = Background(rows_disjoint=True, twins_matched=True)
        case = measure_case(network, theirs[pair.names], pair, names, background=background, train_data=setting.rows)
        cases.append(case)
    effect = planted.true_effect
    seconds = time.perf_counter() - start
    return Measured(entry.name, planted.truth, kind, setting.seed, planted.strength, effect, tuple(cases), seconds)


def _twins(setting: Setting, pair: Pair, rows: Dataset) -> list[TwinMeasure]:
    found = []
    for twin in twins_of(setting, TWINS):
        network = TorchNetwork(twin)
        names = [layer.name for layer in survey(network, rows)]
        found.append(measure_twin(network, pair, names, setting.rows))
    return found


def one_data_set(kind: str, seed: int, work: str) -> tuple[str, int, float]:
    """Train and measure every class on one data set; kept on disk, and read from there another time."""
    file = Path(work) / f"{kind}-{seed:03}.pickle"
    start = time.perf_counter()
    if not file.exists():
        with one_thread():
            setting = Setting.drawn(World(kind=kind, gap=GAP), ROWS, seed=seed)
            twins: dict[int, tuple[Setting, dict[tuple[str, str], list[TwinMeasure]]]] = {}
            found = []
            for entry in entries(kind):
                planted = entry.build(setting)
                # Keyed by the setting itself: classes that move to other rows have twins of their own.
                _, theirs = twins.setdefault(id(planted.setting), (planted.setting, {}))
                found.append(measured(planted, entry, kind, theirs))
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(found))
        part.replace(file)
    return kind, seed, time.perf_counter() - start


def read_data_set(kind: str, seed: int, work: str) -> list[Measured]:
    """What `one_data_set` kept."""
    found: list[Measured] = pickle.loads((Path(work) / f"{kind}-{seed:03}.pickle").read_bytes())
    return found
