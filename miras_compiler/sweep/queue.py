"""Points as trials that wait: workers claim them one by one, and those of workers that died wait again.

A trial of Optuna has these attributes: `point`, its number; `worker`, who tries it, and `beat`, when that worker was last known to live;
`skipped`, `failed` or `lost`, why it came to nothing; `measured`, its measures. A point has one trial that counts: the first that is
not lost.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from miras_compiler.errors import SpecError
from miras_compiler.sweep.axes import Range
from miras_compiler.sweep.grid import Grid
from miras_compiler.sweep.points import Point, points, values_of
from miras_compiler.sweep.variant import training, variant

POINT, WORKER, BEAT, SKIPPED, FAILED, LOST, MEASURED = "point", "worker", "beat", "skipped", "failed", "lost", "measured"
ATTEMPTS = 3  # of a point whose worker dies
SILENT = 600  # seconds after which a worker of another machine is dead
UNNAMED = 60  # seconds that a worker has to say its name


def counting(study: optuna.Study) -> dict[int, FrozenTrial]:
    """The trial that counts, by its point."""
    found: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        if POINT in trial.user_attrs and LOST not in trial.user_attrs:
            found.setdefault(trial.user_attrs[POINT], trial)
    return dict(sorted(found.items()))


def fill(study: optuna.Study, grid: Grid) -> None:
    """Adds the points that have no trial yet: one that is refused is skipped at once, the others wait, as many as the budget has."""
    known = counting(study)
    wanted = grid.budget.trials
    lost = attempts(study)
    valid = 0
    for point in points(grid) if not grid.ranges else islice(points(grid), wanted):
        if wanted is not None and valid >= wanted:
            break
        trial = known.get(point.index)
        reason = trial.user_attrs.get(SKIPPED) if trial else None if grid.ranges else refusal(grid, point)
        if trial is None and reason is not None:
            attributes = {POINT: point.index, SKIPPED: reason}
            study.add_trial(
                create_trial(state=TrialState.FAIL, params=dict(point.chosen), distributions=_choices(grid), user_attrs=attributes)
            )
        elif trial is None:
            wait(study, point, lost.get(point.index, {}))
        valid += reason is None or bool(grid.ranges)


def refusal(grid: Grid, point: Point) -> str | None:
    """Why a point without ranges is none."""
    values = values_of(grid, point.chosen)
    try:
        variant(grid, values)
        training(grid, values)
    except SpecError as error:
        return str(error)
    return None


def wait(study: optuna.Study, point: Point, drawn: Mapping[str, Any]) -> None:
    """A trial for a point; `drawn` are numbers of ranges that an earlier trial had drawn."""
    study.enqueue_trial({**drawn, **point.chosen}, user_attrs={POINT: point.index})


def attempts(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """The parameters that lost trials had, by their point."""
    return {trial.user_attrs[POINT]: trial.params for trial in study.get_trials(deepcopy=False) if LOST in trial.user_attrs}


def waiting(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that nobody has claimed."""
    mine = counting(study).values()
    return [trial for trial in mine if trial.state == TrialState.WAITING]


def claim(study: optuna.Study, grid: Grid, worker: str) -> optuna.Trial | None:
    """The next trial, which no other worker gets, with its numbers drawn; None where none waits."""
    for frozen in waiting(study):
        trial_id = frozen._trial_id
        with contextlib.suppress(UpdateFinishedTrialError):
            if study._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                study._storage.set_trial_user_attr(trial_id, WORKER, worker)
                study._storage.set_trial_user_attr(trial_id, BEAT, time.time())
                study.sampler = optuna.samplers.TPESampler(seed=(grid.seeds[0] * 1_000_003 + frozen.user_attrs[POINT]) % 2**32)
                trial = optuna.Trial(study, trial_id)
                for axis in grid.axes:
                    _suggest(trial, axis)
                return trial
    return None


def take_back(study: optuna.Study, grid: Grid, is_alive: Callable[[str], bool | None]) -> list[int]:
    """Lets the trials of dead workers wait again, and returns their points. `is_alive` says None of workers of other folders."""
    before: dict[int, int] = {}
    taken = []
    for trial in study.get_trials(deepcopy=False):
        point = trial.user_attrs.get(POINT)
        if point is None:
            continue
        if LOST in trial.user_attrs:
            before[point] = before.get(point, 0) + 1
        elif trial.state == TrialState.RUNNING and not _lives(trial, is_alive):
            last = before.get(point, 0) + 1 >= ATTEMPTS
            reason = (FAILED, f"its worker died {ATTEMPTS} times") if last else (LOST, "its worker died")
            with contextlib.suppress(UpdateFinishedTrialError, ValueError):
                study._storage.set_trial_user_attr(trial._trial_id, *reason)
                study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                if not last:
                    wait(study, next(each for each in points(grid) if each.index == point), trial.params)
                taken.append(point)
    return taken


def _lives(trial: FrozenTrial, is_alive: Callable[[str], bool | None]) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        began = trial.datetime_start
        return began is not None and time.time() - began.timestamp() < UNNAMED
    known = is_alive(worker)
    return time.time() - trial.user_attrs.get(BEAT, 0) < SILENT if known is None else known


def _suggest(trial: optuna.Trial, axis: Any) -> None:
    if not isinstance(axis, Range):
        trial.suggest_categorical(axis.key, axis.texts)
    elif axis.integer:
        trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
    else:
        trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)


def _choices(grid: Grid) -> dict[str, Any]:
    return {axis.key: optuna.distributions.CategoricalDistribution(axis.texts) for axis in grid.choices}
