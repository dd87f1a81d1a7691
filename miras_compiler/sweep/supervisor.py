"""Keeps workers going until no point waits: starts them, and lets points of dead ones wait again."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna

from miras_compiler.errors import InputError
from miras_compiler.runs import read_object
from miras_compiler.store import write_file
from miras_compiler.sweep.grid import Grid
from miras_compiler.sweep.points import points
from miras_compiler.sweep.queue import fill, refusal, take_back, waiting
from miras_compiler.sweep.storage import cut_torn_line, open_storage, open_study, shown
from miras_compiler.sweep.worker import WORKERS, SweepJob, is_alive, work

ABOUT = "sweep.json"
POLL = 0.5  # seconds
YOUNG = 3.0  # seconds; workers that die younger than that are not started for ever
GPU = Path("/dev/nvidia0")


def begin(grid: Grid, folder: Path, url: str | None, command: str) -> optuna.Study:
    """The study of a sweep with all its points. InputError, and nothing is written, where the folder is another's, the database is away,
    or no point is a spec."""
    place = shown(url) if url else None
    known = read_object(folder / ABOUT) if (folder / ABOUT).is_file() else None
    if known is None:
        _check_is_free(folder)
        _check_some_are_valid(grid)
    else:
        _check_is_same(folder, known, grid, place)
    storage = open_storage(folder, url) if url else None
    if known is None:
        about = {"command": command, "grid": grid.place, "digest": grid.digest, "storage": place}
        write_file(folder / ABOUT, json.dumps(about, ensure_ascii=False, indent=2) + "\n")
    study = open_study(storage or open_storage(folder, url), grid)
    take_back(study, grid, partial(is_alive, folder))
    fill(study, grid)
    return study


def run(study: optuna.Study, job: SweepJob, count: int, watch: Callable[[], None]) -> None:
    """Runs `count` workers until no point waits, or the time is over; `watch` is called again and again.

    An interrupt ends the workers, and their points wait. InputError where workers do not come up.
    """
    context = multiprocessing.get_context("spawn")
    gpus = _gpus()
    workers: dict[int, tuple[BaseProcess, float]] = {}
    died_young = 0
    try:
        while True:
            if time.time() < job.deadline:
                for number in range(min(count, len(workers) + len(waiting(study)))):
                    if number not in workers:
                        device = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
                        process: BaseProcess = context.Process(target=work, args=(job, number, device))
                        process.start()
                        workers[number] = process, time.monotonic()
            watch()
            if not workers:
                return
            time.sleep(POLL)
            for number, (process, since) in list(workers.items()):
                if not process.is_alive():
                    del workers[number]
                    if process.exitcode:
                        cut_torn_line(job.folder)
                        died_young = died_young + 1 if time.monotonic() - since < YOUNG else 0
            take_back(study, job.grid, partial(is_alive, job.folder))
            if died_young > count:
                raise InputError(f"the workers die as soon as they begin; {job.folder / WORKERS} has their messages")
    finally:
        _end([process for process, _ in workers.values()])
        cut_torn_line(job.folder)
        take_back(study, job.grid, partial(is_alive, job.folder))


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _check_is_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(f"{folder}: is not empty and holds no sweep; choose another folder with -o")


def _check_is_same(folder: Path, known: dict[str, object], grid: Grid, place: str | None) -> None:
    if known.get("digest") != grid.digest:
        raise InputError(
            f"{folder}: holds the sweep of another grid ({known.get('grid')} was {known.get('digest')}, {grid.place} is {grid.digest}); "
            "choose another folder with -o, or go on with the grid as it was: its budget alone may change"
        )
    if known.get("storage") != place:
        kept = known.get("storage")
        remedy = f"give --storage {kept}" if kept else "leave --storage out"
        raise InputError(f"{folder}: its trials are kept in {kept or 'its own journal'}; {remedy}, or choose another folder with -o")


def _check_some_are_valid(grid: Grid) -> None:
    """Raises InputError where every point is refused."""
    if grid.ranges:
        return
    reasons: dict[str, None] = {}
    for point in points(grid):
        reason = refusal(grid, point)
        if reason is None:
            return
        reasons[reason] = None
    first = "\n".join(list(reasons)[:5])
    raise InputError(f"{grid.place}: no point is a spec, so there is nothing to train; change `vary` or `base`\n{first}")


def _gpus() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name for name in said.split(",") if name.strip()]
    if not GPU.exists():
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
