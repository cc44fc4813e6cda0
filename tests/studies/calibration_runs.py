"""The networks of the calibration study: planted classes on data sets of several worlds, with twins, kept on disk.

What is measured is a `Case` for each pair of groups: everything that the verdict rests on. Rules of the verdict are
then compared on the same cases, without training or measuring anything again.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import nn

import fairheads
from fairheads.activations import TorchNetwork, one_thread
from fairheads.data import Dataset
from fairheads.pathways import SAMPLE
from fairheads.pathways.analyze import judged, survey
from fairheads.pathways.case import Background, Case, measure_case
from fairheads.pathways.details import described
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
    gated_head,
    late_head,
    merged_head,
    no_proxy,
    parity_penalty,
    routed_heads,
    twins_of,
    unconstrained,
)
from fairheads.results import PathwayReport
from fairheads.training import Unconstrained

Floats = NDArray[np.float64]

ALPHA = 0.05
ROWS, SMALL = 6000, 1000
MARGIN, TRUTH = 0.1, 30_000
GAP = 0.6
"""Of merit, in standard deviations: base rates then differ by about .19, as on Adult by sex (.20)."""

Builder = Callable[[Setting], Planted]


@dataclass(frozen=True)
class Entry:
    """A class as the study runs it: its name, how it is built, and how many rows are audited."""

    name: str
    build: Builder
    rows: int = ROWS


@dataclass(frozen=True)
class Bench:
    """Classes that are run together on each of ``data_sets`` independent data sets of a world.

    Attributes
    ----------
    twins : int
        For each network; 12 show how many are enough, where networks are quick to train.
    first_seed : int
        No two benches share a data set.
    described : bool
        Whether units and routes are described beside the verdict.
    many_rows : int
        So many rows tell what the effects are that the audit estimates; 0 to leave that out.
    """

    name: str
    world: World
    entries: tuple[Entry, ...]
    data_sets: int
    first_seed: int
    twins: int = 12
    described: bool = False
    many_rows: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """One network of the study: what is true of it, and its case for each group beside the reference.

    ``effects`` (layers, 2) are turned swap and erasure on many rows, ``report`` the described audit of the first group:
    None where the bench does not ask for them. ``code`` is the digest of the library that measured, ``device`` where
    the networks were trained and run.
    """

    name: str
    truth: str
    seed: int
    strength: float
    true_effect: float
    units: dict[str, tuple[int, ...]]
    cases: tuple[Case, ...]
    effects: Floats | None
    report: PathwayReport | None
    seconds: float
    code: str
    device: str = "cpu"


@cache
def code_digest() -> str:
    """Of the sources of the library: measurements by several versions are told."""
    digest = hashlib.sha256()
    root = Path(fairheads.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


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


def effects_on(network: nn.Module, rows: Dataset) -> Floats:
    """Turned swap and erasure at every layer, (layers, 2): B beside A, no intervals."""
    run = TorchNetwork(network)
    pair = Pair.of(rows, 1, 0, len(rows), 0)
    names = [layer.name for layer in survey(run, rows)]
    sample = collect(run, pair.data, pair.member, names, 0)
    layers = [LayerData.of(sample, name, sample.activations[name], pair.control) for name in names]
    found = [turned(point_effects(run, sample, layer, fits_of(sample, layer)), pair.sign)[:2] for layer in layers]
    return np.array(found)


def many(setting: Setting, n: int) -> Dataset:
    """Rows of the setting's world that are neither trained on nor audited."""
    return setting.known_world.draw(n, seed=n + setting.seed)


def _with_swap(effect: float) -> Builder:
    """A planted head of so much strength that the largest swap effect over layers is ``effect``, on many rows."""

    def built(setting: Setting) -> Planted:
        rows = many(setting, TRUTH)

        def beyond(share: float) -> float:
            largest: float = effects_on(added_head(setting, share=share).network, rows)[:, 0].max()
            return largest - effect

        return added_head(setting, share=float(brentq(beyond, 0.0, 1.0, xtol=0.01)))

    return built


def _shared(build: Callable[..., Planted], share: float) -> Builder:
    return lambda setting: build(setting, share=share)


MARGIN_CLASSES = (
    Entry("effect at the margin", _with_swap(MARGIN)),
    Entry("effect of two margins", _with_swap(2 * MARGIN)),
)
PLAIN, PARITY, MERGED = (Entry(build.__name__, build) for build in (unconstrained, parity_penalty, merged_head))
HALF_MERGED = Entry("half a merge", _shared(merged_head, 0.5))
EVERY_CLASS = (*(Entry(build.__name__, build) for build in (*NULL_CLASSES, *POSITIVE_CLASSES)), HALF_MERGED)
OTHERS = (
    Entry("long training", _longer),
    Entry("few rows", _small(unconstrained), SMALL),
    Entry("weak", _weak),
    Entry("a quarter of a merge", _shared(merged_head, 0.25)),
    Entry("half a planted head", _shared(added_head, 0.5)),
)


def _late(layer: int) -> Entry:
    return Entry(f"head from layer {layer}", lambda setting: late_head(setting, layer=layer))


PARTS = (*(Entry(build.__name__, build) for build in (added_head, gated_head, routed_heads)), _late(1), _late(2))


def _audited(entries: tuple[Entry, ...], rows: int) -> tuple[Entry, ...]:
    return tuple(replace(entry, rows=rows) for entry in entries)


SEEN = 66
"""Data sets of tables that had been seen when the rule was last changed."""

BY_KIND = {
    "table": Bench("table", World(gap=GAP), EVERY_CLASS + OTHERS, SEEN, 0),
    "image": Bench("image", World(kind="image", gap=GAP), EVERY_CLASS, 30, 0, twins=5),
    "tokens": Bench("tokens", World(kind="tokens", gap=GAP), EVERY_CLASS, 30, 0, twins=5),
}
LATER = Bench("later tables", World(gap=GAP), EVERY_CLASS + OTHERS, 100 - SEEN, SEEN)
"""Every class once more, on tables that nobody had seen when the rule was last changed."""

BOUNDS = Bench("bounds", World(gap=GAP), (PLAIN, *MARGIN_CLASSES, PARITY, MERGED), 40, 1000, many_rows=60_000)
DESCRIBED = Bench("parts", World(gap=GAP), (PLAIN, *PARTS, MERGED), 40, 2000, described=True)
BY_ROWS = tuple(
    Bench(f"{n} rows", World(gap=GAP), _audited((PLAIN, PARITY, MERGED, HALF_MERGED), n), 40, 3000 + 100 * i)
    for i, n in enumerate((500, 1000, 2000, 20_000))
)
BY_PROXY = tuple(
    Bench(f"proxy {proxy:g}", World(gap=GAP, proxy=proxy), (PLAIN, PARITY, MERGED, HALF_MERGED), 40, 4000 + 100 * i)
    for i, proxy in enumerate((0.5, 0.75, 1.5, 2.0))
)
BY_GAP = tuple(
    Bench(f"gap {gap:g}", World(gap=gap), (PLAIN, PARITY, MERGED, HALF_MERGED), 40, 5000 + 100 * i, twins=5)
    for i, gap in enumerate((0.3, 1.0, 1.5, 2.5))
)
"""Base rates differ by .10, .30, .39 and .48."""


def _mild(weight: float) -> Entry:
    return Entry(f"no proxy, weight {weight:g}", lambda setting: no_proxy(setting, weight=weight))


NO_PROXY = Bench("no proxy", World(gap=GAP), tuple(map(_mild, (0.5, 1.0, 2.0, 3.0, 10.0))), 40, 6000, twins=5)
"""How hard a penalty must press where nothing but merit tells of the group, for the verdict to say that merit went."""

BENCHES = {
    bench.name: bench for bench in (*BY_KIND.values(), LATER, BOUNDS, DESCRIBED, *BY_ROWS, *BY_PROXY, *BY_GAP, NO_PROXY)
}


class Twins:
    """Twins of one setting: trained once, and measured once for each pair of groups and number of rows."""

    def __init__(self, setting: Setting, n: int) -> None:
        self.setting, self.n = setting, n
        self._measured: dict[tuple[tuple[str, str], int], list[TwinMeasure]] = {}

    @cached_property
    def networks(self) -> list[TorchNetwork]:
        return [TorchNetwork(twin) for twin in twins_of(self.setting, self.n)]

    def measured(self, pair: Pair) -> list[TwinMeasure]:
        key = pair.names, len(pair.data)
        if key not in self._measured:
            names = [] if pair.too_small else [layer.name for layer in survey(self.networks[0], pair.data)]
            networks = [] if pair.too_small else self.networks
            self._measured[key] = [measure_twin(twin, pair, names, self.setting.rows) for twin in networks]
        return self._measured[key]


def measured(planted: Planted, entry: Entry, bench: Bench, twins: Twins) -> Measured:
    """Audit one network for every group."""
    start = time.perf_counter()
    setting = planted.setting
    rows = setting.audit_rows(entry.rows)
    network = TorchNetwork(planted.network)
    names = [layer.name for layer in survey(network, rows)]
    known: dict[str, Any] = {
        "background": Background(rows_disjoint=True, twins_matched=True),
        "train_data": setting.rows,
    }
    pairs = [Pair.of(rows, code, against, SAMPLE, 0) for code, against in contrasts(rows, None)]
    cases = [measure_case(network, twins.measured(pair), pair, names, **known) for pair in pairs]
    report = None
    if bench.described:
        report = described(judged(cases, ALPHA)[0], network, twins.networks, pairs[0])
    return Measured(
        name=entry.name,
        truth=planted.truth,
        seed=setting.seed,
        strength=planted.strength,
        true_effect=planted.true_effect,
        units={name: tuple(units) for name, units in planted.units.items()},
        cases=tuple(cases),
        effects=effects_on(planted.network, many(setting, bench.many_rows)) if bench.many_rows else None,
        report=report,
        seconds=time.perf_counter() - start,
        code=code_digest(),
    )


def _on(device: str, setting: Setting) -> Setting:
    """The setting with networks that are made, and stay, on a device."""
    if device == "cpu":
        return setting
    made = setting.recipe.network
    return replace(setting, recipe=replace(setting.recipe, network=lambda data, seed: made(data, seed).to(device)))


def file_of(bench: Bench, seed: int, work: Path) -> Path:
    """Where a data set is kept."""
    return work / f"{bench.name.replace(' ', '-')}-{seed:04}.pickle"


def one_data_set(name: str, seed: int, work: Path, device: str = "cpu") -> tuple[str, int, float]:
    """Train and measure every class of a bench on one data set; those that are on disk already are not done again."""
    start = time.perf_counter()
    bench = BENCHES[name]
    file = file_of(bench, seed, work)
    found = read_data_set(name, seed, work) if file.exists() else []
    known = {one.name for one in found}
    wanted = [entry for entry in bench.entries if entry.name not in known]
    with one_thread():
        setting = _on(device, Setting.drawn(bench.world, ROWS, seed=seed))
        twins: dict[int, Twins] = {}
        for entry in wanted:
            planted = entry.build(setting)
            # Keyed by the setting itself: classes that move to other rows have twins of their own.
            own = twins.setdefault(id(planted.setting), Twins(planted.setting, bench.twins))
            found.append(replace(measured(planted, entry, bench, own), device=device))
            part = file.with_suffix(f".{os.getpid()}")
            part.write_bytes(pickle.dumps(found))
            part.replace(file)
    return name, seed, time.perf_counter() - start


def read_data_set(name: str, seed: int, work: Path) -> list[Measured]:
    """What `one_data_set` kept."""
    found: list[Measured] = pickle.loads(file_of(BENCHES[name], seed, work).read_bytes())
    return found
