"""A worker: a process that claims points and tries them, one after another, until none waits or the time is over."""

from __future__ import annotations

import contextlib
import fcntl
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miras_compiler.errors import MirasError, SpecError
from miras_compiler.sweep.grid import Grid

if TYPE_CHECKING:
    import optuna

WORKERS = "workers"
HEARTBEAT = 60.0  # seconds


@dataclass(frozen=True)
class SweepJob:
    """A sweep as its workers see it; `deadline` in seconds of the epoch, `threads` of each worker, `ahead`: whether it prepares the next
    point while one is trained."""

    grid: Grid
    folder: Path
    url: str | None
    deadline: float
    threads: int
    ahead: bool


def shares(grid: Grid, workers: int, cores: int) -> tuple[int, bool]:
    """The threads of each worker, and True if each prepares the next point on a core beside them: two for one core would wait for each
    other in every operator."""
    ahead = cores > workers and grid.verify and not grid.ranges
    return max(1, cores // workers - ahead), ahead


def work(job: SweepJob, number: int, environment: Mapping[str, str]) -> None:
    """The life of worker `number`. It ends with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's
    os.environ.update({"OMP_NUM_THREADS": str(job.threads), **environment})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _write_to(job.folder / WORKERS / f"{number}.log")
    warnings.simplefilter("ignore")
    from miras_compiler.sweep.queue import claim
    from miras_compiler.sweep.storage import open_storage, open_study

    study = open_study(open_storage(job.folder, job.url), job.grid)
    with alive(job.folder) as name:
        while time.time() < job.deadline and (trial := claim(study, job.grid, name)) is not None:
            with _beating(study, trial) if job.url else contextlib.nullcontext(), _preparing(job, study, number):
                _try(job, study, trial)


def _try(job: SweepJob, study: optuna.Study, trial: optuna.Trial) -> None:
    """One trial, with whatever comes of it."""
    from optuna.trial import TrialState

    from miras_compiler.sweep.attempt import attempt
    from miras_compiler.sweep.points import Point, values_of
    from miras_compiler.sweep.queue import FAILED, MEASURED, POINT, SKIPPED

    point = Point(trial.user_attrs[POINT], trial.params)
    print(f"point {point.name}: {trial.params}", flush=True)
    found: dict[str, Any] = {}
    why, reason = FAILED, ""
    try:
        found = attempt(job.grid, job.folder, point, values_of(job.grid, trial.params))._asdict()
        reason = _not_finite(found)
    except SpecError as refused:
        why, reason = SKIPPED, str(refused)
    except MirasError as problem:
        reason = str(problem)
    except Exception as bug:  # the other points still have something to say
        traceback.print_exc()
        reason = f"{type(bug).__name__}: {bug}; {job.folder / WORKERS} has the details"
    if reason:
        trial.set_user_attr(why, reason)
        study.tell(trial, state=TrialState.FAIL)
    else:
        trial.set_user_attr(MEASURED, found)
        study.tell(trial, [float(found[name]) for name in job.grid.objectives])


def _not_finite(measured: Mapping[str, Any]) -> str:
    wrong = [name for name, value in measured.items() if isinstance(value, float) and not math.isfinite(value)]
    return f"{wrong[0]} is not a number" if wrong else ""


@contextlib.contextmanager
def alive(folder: Path) -> Iterator[str]:
    """A name for this process, and a file that it holds locked as long as it lives."""
    name = uuid.uuid4().hex
    place = folder / WORKERS / f"{name}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield name
    finally:
        place.unlink(missing_ok=True)
        os.close(handle)


def is_alive(folder: Path, name: str) -> bool | None:
    """True if a worker of this folder lives; None for a worker of another folder."""
    place = folder / WORKERS / f"{name}.lock"
    try:
        handle = os.open(place, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def _beating(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Tells workers of other machines that the trial is being worked at."""
    from miras_compiler.sweep.queue import BEAT

    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            study._storage.set_trial_user_attr(trial._trial_id, BEAT, time.time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def _preparing(job: SweepJob, study: optuna.Study, number: int) -> Iterator[None]:
    """Compiles and verifies a point that waits in a process beside this one, so that a GPU need not wait for it: worker `number` takes the
    one that is so many places from the first, so that no two prepare the same."""
    from miras_compiler.sweep.queue import POINT, waiting

    following = waiting(study)[number : number + 1] if job.ahead else []
    if not following:
        yield
        return
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_prepare, args=(job, following[0].user_attrs[POINT]), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.join()


def _prepare(job: SweepJob, index: int) -> None:
    """The life of the process that prepares a point. It ends with the worker that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from miras_compiler.sweep.attempt import prepare_point

    prepare_point(job.grid, job.folder, index)


def _write_to(log: Path) -> None:
    """Sends everything that is printed here to a file: the terminal is the supervisor's."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
