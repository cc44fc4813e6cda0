"""One network for every value of an option, and the front of accuracy and disparity over them."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .objectives import NUMBERS, ObjectiveOptions, objective_of, refuse_sweep_of
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.models import Bundle
    from fairheads.results import Front
    from fairheads.training import Objective

    from .job import Job

FRONT = tuple(f"front.{form}" for form in ("json", "csv", "md", "html", "png", "svg"))


class Sweep(NamedTuple):
    """An option and the values that it takes one after another."""

    option: str
    values: tuple[float, ...]

    def folder(self, value: float) -> str:
        """Name of the folder of one model: ``weight-0.01``."""
        short = f"{value:g}"
        return f"{self.option}-{short if float(short) == value else repr(value)}"


def parsed(text: str) -> Sweep:
    """The sweep that ``weight=0,1,3`` describes.

    Raises
    ------
    ConfigError
        If it describes none.
    """
    from fairheads.errors import ConfigError

    option, sign, listed = (part.strip() for part in text.partition("="))
    if not sign or option not in NUMBERS:
        raise ConfigError(f"`--sweep` must be OPTION=V,V,... with OPTION one of {', '.join(NUMBERS)}, got {text!r}.")
    values = [_number(part.strip(), text) for part in listed.split(",")]
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ConfigError(f"`--sweep` must have every value once, got {twice[0]:g} twice in {text!r}.")
    return Sweep(option, tuple(values))


def _number(part: str, text: str) -> float:
    from fairheads.errors import ConfigError

    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"`--sweep` must list finite numbers, got {part!r} in {text!r}.")
    return value + 0.0  # no minus zero


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep whose values and folder are known to do, before anything is read or trained."""

    sweep: Sweep
    options: ObjectiveOptions
    objectives: tuple[Objective, ...]
    out: Path
    old: tuple[Path, ...]

    def run(self, job: Job) -> Front:
        """Train, judge and save a network for every value, then write the front.

        Raises
        ------
        ConfigError, InputError, DivergedError
            Of the rows or a training. The models that were finished stay; there is no front.
        """
        from fairheads.errors import ConfigError
        from fairheads.models import save_bundle
        from fairheads.results import TrainedReport, front_of

        if not job.holds_out:
            raise ConfigError("`--sweep` needs held-out rows: a share by `--test`, or `--test-data`.")
        judged = []
        split = ""
        for i, value in enumerate(self.sweep.values):
            name = self.sweep.folder(value)
            bundle = self._fitted(job, i, name)
            report, split = job.judge(bundle)
            if i == 0:
                for path in self.old:
                    _remove(path)
            save_bundle(bundle, self.out / name)
            say(f"saved {self.out / name}")
            judged.append(
                TrainedReport(
                    name=name,
                    objective=self.options.objective,
                    setting={self.sweep.option: value},
                    seed=job.seed,
                    report=report,
                    model=name,
                )
            )
        note = f"Trained as {self.options.words(self.sweep.option)}; {job.words()}."
        front = front_of(judged, split=split, notes=[note])
        for file in front.save(self.out):
            say(f"wrote {file}")
        return front

    def _fitted(self, job: Job, i: int, name: str) -> Bundle:
        from fairheads.errors import DivergedError

        try:
            return job.fit(self.objectives[i], f"training {name} ({i + 1} of {len(self.objectives)})")
        except DivergedError as error:
            raise DivergedError(f"{name}: {error}") from error


def planned(text: str, options: ObjectiveOptions, *, out: Path, overwrite: bool) -> Plan:
    """The sweep that ``text`` describes; the objective of every value is made at once, so that a wrong one is found.

    Raises
    ------
    ConfigError
        If a value makes no sense, or the objective does not have the option.
    InputError
        If the folder exists, unless ``overwrite`` is True and it holds nothing but a sweep.
    """
    from fairheads.errors import ConfigError

    sweep = parsed(text)
    refuse_sweep_of(sweep.option, options)
    if sweep.option in options.numbers:
        raise ConfigError(f"give either `--{sweep.option}` or `--sweep {sweep.option}=...`, not both.")
    made = tuple(objective_of(options.having(sweep.option, value)) for value in sweep.values)
    old = _replaced(out, overwrite=overwrite)
    return Plan(sweep=sweep, options=options, objectives=made, out=out, old=tuple(old))


def _replaced(out: Path, *, overwrite: bool) -> list[Path]:
    """What an earlier sweep left in the folder, to be removed when there is something to put in its place."""
    from fairheads.errors import InputError
    from fairheads.models import check_free

    if not out.exists():
        return []
    if not overwrite:
        raise InputError(f"{str(out)!r} exists; choose another folder, or overwrite it (--overwrite).")
    inside = sorted(out.iterdir()) if out.is_dir() else [out]
    for path in inside:
        a_model = path.is_dir() and not path.is_symlink() and path.name.startswith(tuple(f"{n}-" for n in NUMBERS))
        if a_model:
            check_free(path, overwrite=True)
        elif path.suffix == ".part":
            continue  # of a sweep that was killed as it wrote
        elif path.name not in FRONT or not path.is_file():
            raise InputError(
                f"{str(out)!r} is no sweep, or holds other files too ({path.name}); choose another folder."
            )
    return inside


def _remove(path: Path) -> None:
    """Remove a file or a folder; a folder has another name as long as it lasts, since half a model is none."""
    if path.is_dir():
        part = path if path.suffix == ".part" else path.with_name(f".{path.name}.{os.getpid()}.part")
        shutil.rmtree(path.replace(part))
    else:
        path.unlink()
