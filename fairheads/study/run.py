"""The whole study: train what is missing, measure what is missing, put it together."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from threading import Lock

from fairheads import __version__
from fairheads.errors import ConfigError, FairheadsError, InputError, first_line
from fairheads.results import PaperReport, PaperRun
from fairheads.results._saving import save_texts
from fairheads.results.record import from_plain, json_text, to_plain
from fairheads.study.gather import report_of
from fairheads.study.measure import measure_fronts, measure_network
from fairheads.study.rows import read_parts
from fairheads.study.setting import PaperSetting
from fairheads.study.studio import Studio
from fairheads.workers import Worker, cores, worker

Progress = Callable[[str, int, int], None]

SETTING = "setting.json"
DONE, FAILED = "done\n", "failed: "
"""What a worker answers to a name."""


def paper_study(
    setting: PaperSetting,
    out: str | Path,
    *,
    source: str | Path | None = None,
    jobs: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> PaperReport:
    """Train and measure every network of a setting, and say which of the paper's four claims hold.

    Everything is kept in ``out`` as soon as it is done: a study that was interrupted goes on where it stood, with the
    same rows, setting and version of the package. The networks in ``out/networks`` are models that every command takes.

    Parameters
    ----------
    setting : PaperSetting
        `fairheads.study.SETTINGS` has one for every data set.
    out : path
        A folder of this study alone.
    source : path, optional
        The table of COMPAS, or the folder of images: `fairheads.study.rows.read_parts`. Adult needs none.
    jobs : int, optional
        Processes of one thread each, by default one a core; with a device that is no CPU one. Each
        holds the rows.
    device : str, optional
        Where networks are trained.
    progress : callable, optional
        Called with what is being done, how much of it is done, and of how much.

    Raises
    ------
    ConfigError
        If ``out`` holds a study of another setting, of other rows or of another version, or ``jobs`` is below 1.
    InputError
        If ``source`` is missing or not what the setting reads.
    FairheadsError
        If a worker process fails; the others are then stopped.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440).
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"`jobs` must be at least 1, got {jobs}.")
    where = None if source is None else Path(source)
    studio = Studio(setting, read_parts(setting, where), Path(out))
    _claim(studio)
    workers = jobs or (1 if device not in (None, "cpu") else cores())
    tell = progress or (lambda *_: None)
    for step, names in _stages(studio):
        _do(studio, step, names, source=where, jobs=min(workers, len(names)), device=device, tell=tell)
    return report_of(setting, studio.parts, _runs(studio), _notes(studio))


def _claim(studio: Studio) -> None:
    """Makes the folder that of this setting, these rows and this version.

    Raises
    ------
    ConfigError
        If it is that of another.
    InputError
        If it cannot be written, or holds something that is no study.
    """
    file = studio.folder / SETTING
    wanted = {**studio.setting.to_dict(), "rows": studio.parts.digest, "version": __version__}
    try:
        if file.exists():
            there = json.loads(file.read_text(encoding="utf-8"))
            other = sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key))
            if other:
                raise ConfigError(
                    f"{str(studio.folder)!r} holds a study with other settings ({', '.join(other)}); choose another"
                    " folder, or the same settings."
                )
            return
        if studio.folder.exists() and any(each.suffix != ".part" for each in studio.folder.iterdir()):
            raise InputError(f"{str(studio.folder)!r} is not empty and holds no study; choose another folder.")
        save_texts(studio.folder, {SETTING: json_text(wanted)})
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, FairheadsError):
            raise
        raise InputError(f"{str(studio.folder)!r} cannot be used for a study: {first_line(error)}.") from error


# ---------------------------------------------------------------- what is to do


def _stages(studio: Studio) -> list[tuple[str, list[str]]]:
    """Steps in their order with the names of what is missing: others build on unconstrained networks."""
    tasks = [task for task in studio.setting.tasks() if studio.is_possible(task)]
    missing = [task for task in tasks if not studio.is_trained(task)]
    free = [task.name for task in missing if task.kind == "unconstrained"]
    rest = [task.name for task in missing if task.kind != "unconstrained"]
    measured = [name for name in _measurements(studio) if not studio.is_measured(name)]
    stages = [("training unconstrained networks", free), ("training networks", rest), ("measuring", measured)]
    return [(step, names) for step, names in stages if names]


def _measurements(studio: Studio) -> list[str]:
    """Names of all measurements: every network but the two-headed ones, and the fronts of every seed."""
    tasks = [task for task in studio.setting.tasks() if studio.is_possible(task) and task.kind != "two-headed"]
    return [task.name for task in tasks] + [f"fronts-{seed}" for seed in range(studio.setting.seeds)]


def do(studio: Studio, step: str, name: str, device: str | None = None) -> None:
    """Train or measure one thing, and keep it."""
    tasks = {task.name: task for task in studio.setting.tasks()}
    if step != "measuring":
        studio.train(tasks[name], device)
    elif name in tasks:
        studio.write(name, [to_plain(measure_network(studio, tasks[name]))])
    else:
        runs = measure_fronts(studio, int(name.removeprefix("fronts-")))
        studio.write(name, [to_plain(run) for run in runs])


def _runs(studio: Studio) -> list[PaperRun]:
    """Every run in the order of methods, weights and gaps, then seeds."""
    runs = [from_plain(PaperRun, plain) for name in _measurements(studio) for plain in studio.read(name)]
    order = ["unconstrained", *studio.setting.penalties, "massaging", "merge", "thresholds"]
    return sorted(runs, key=lambda run: (order.index(run.method), run.weight, run.max_gap, run.seed))


def _notes(studio: Studio) -> list[str]:
    if all(studio.is_possible(task) for task in studio.setting.tasks()):
        return []
    return ["There is no massaging: it ranks all training rows in memory, and these are read anew in every epoch."]


# ---------------------------------------------------------------- who does it


def _do(
    studio: Studio,
    step: str,
    names: Sequence[str],
    *,
    source: Path | None,
    jobs: int,
    device: str | None,
    tell: Progress,
) -> None:
    """One step, here or in worker processes that take one name after the other."""
    tell(step, 0, len(names))
    if jobs == 1:
        for done, name in enumerate(names, 1):
            do(studio, step, name, device)
            tell(step, done, len(names))
        return
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        left.put(name)
    lock, finished = Lock(), [0]

    def told() -> None:
        with lock:
            finished[0] += 1
            tell(step, finished[0], len(names))

    running: list[Worker] = []
    with ThreadPoolExecutor(jobs) as pool:
        workers = [pool.submit(_work, studio.folder, step, left, source, device, told, running) for _ in range(jobs)]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:  # an error or Ctrl-C: nothing more is begun, and what runs is stopped
            with suppress(queue.Empty):
                while True:
                    left.get_nowait()
            for one in running:
                one.process.terminate()
            raise


def _work(
    folder: Path,
    step: str,
    left: queue.SimpleQueue[str],
    source: Path | None,
    device: str | None,
    told: Callable[[], None],
    running: list[Worker],
) -> None:
    """One worker process: it is given a name and writes a line when that is done, until none is left."""
    arguments = str(folder.resolve()), step, "" if source is None else str(source.resolve()), device or ""
    name, said = "", ""
    with worker("fairheads.study.worker", *arguments) as one:
        running.append(one)
        with suppress(queue.Empty, BrokenPipeError):  # none is left, or it ended; why is said below
            while True:
                name = left.get_nowait()
                said = one.ask(name)
                if said != DONE:
                    break
                told()
        failed = one.failure()
    message = said.removeprefix(FAILED).strip() if said.startswith(FAILED) else failed
    if message is not None:
        raise FairheadsError(f"{step}, {name or 'reading the rows'}: {message}")
