"""Tries one point: compiles it, verifies its package, trains a run a seed in folders of its own, measures."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.errors import CheckFailed, InputError
from miras_compiler.runs import RunFolder, step_of
from miras_compiler.spec import Spec, digest
from miras_compiler.store import REPORT, write_file, write_package
from miras_compiler.sweep.grid import BASE, Grid, Training
from miras_compiler.sweep.lock import FileLock
from miras_compiler.sweep.material import Material, material
from miras_compiler.sweep.measure import Measured, measure
from miras_compiler.sweep.points import Point, points, values_of
from miras_compiler.sweep.variant import spec_keys

if TYPE_CHECKING:
    from miras_compiler.train.settings import TrainSettings

RUNS, PACKAGES = "runs", "packages"
LONGEST = 300  # signs of a reason


def attempt(grid: Grid, folder: Path, point: Point, values: Mapping[str, Any]) -> Measured:
    """SpecError where the point is no spec, CheckFailed where its package or its training fails."""
    ready = material(grid, values)
    compilation = compile_spec(ready.spec)
    prepare(grid, folder, compilation)
    runs = [_train(grid, folder, point, values, compilation, ready, seed) for seed in grid.seeds]
    return measure(compilation, runs)


def prepare(grid: Grid, folder: Path, compilation: Compilation) -> Path:
    """The package of a spec, verified if the grid asks for it: once for all points that have the same spec. CheckFailed where it does not
    hold."""
    from miras_compiler.verified import verify_package

    spec, own = compilation.spec, folder / PACKAGES / digest(compilation.spec)
    own.mkdir(parents=True, exist_ok=True)
    with FileLock(own / ".lock"):
        package = write_package(own, spec.name, compilation.files)
        if grid.verify and not (package / REPORT).is_file():
            report = verify_package(spec, package, quick=True, compilation=compilation)
            failed = [f"{row.check}, {row.subject}: {row.note[:LONGEST]}" for row in report.tried if not row.passed]
            if failed:
                raise CheckFailed(f"verification failed: {'; '.join(failed)}; `miras verify {package / 'spec.yaml'}` shows all")
            write_file(package / REPORT, report.text())
    return package


def prepare_point(grid: Grid, folder: Path, index: int) -> None:
    """Prepares a point without ranges, for a process that runs ahead; its faults are reported when it is tried."""
    point = next(each for each in points(grid) if each.index == index)
    try:
        prepare(grid, folder, compile_spec(material(grid, values_of(grid, point.chosen)).spec))
    except (CheckFailed, InputError):
        return


def _train(
    grid: Grid, folder: Path, point: Point, values: Mapping[str, Any], compilation: Compilation, ready: Material, seed: int
) -> RunFolder:  # fmt: skip
    """The run of a seed, trained to its end: made, or taken up where a worker died."""
    from miras_compiler.train.data import open_source
    from miras_compiler.train.loop import train
    from miras_compiler.train.plot import plot_loss
    from miras_compiler.train.settings import TrainSettings

    settings = replace(TrainSettings(**ready.train.settings()), seed=seed)
    place = folder / RUNS / (point.name if len(grid.seeds) == 1 else f"{point.name}-seed{seed}")
    run = RunFolder(place)
    if not _is_begun(run, compilation.spec, settings):
        if place.exists():
            shutil.rmtree(place)
        _make(grid, place, values, compilation, ready, settings)
    if last_step(run) < settings.steps:
        train(run, open_source(run, settings), settings, lambda row: None)
        plot_loss(run, f"{compilation.spec.name} {point.name}, seed {seed}")
    return run


def last_step(run: RunFolder) -> int:
    """The step of its newest whole checkpoint, 0 without one."""
    whole = run.checkpoints()
    return step_of(whole[-1]) if whole else 0


def _is_begun(run: RunFolder, spec: Spec, settings: TrainSettings) -> bool:
    """True if a run's folder is of this very spec and training."""
    if not run.is_there():
        return False
    about = run.about()
    same = all(about.get(name) == value for name, value in settings.as_dict().items() if name != "length")
    return same and about.get("digest") == digest(spec)


def _make(
    grid: Grid, place: Path, values: Mapping[str, Any], compilation: Compilation, ready: Material, settings: TrainSettings
) -> None:  # fmt: skip
    """The folder of a new run, as `miras train` makes it."""
    from miras_compiler.records import origin_here
    from miras_compiler.train.folder import device_here, make_run

    def fill(folder: Path) -> None:
        write_package(folder, "package", compilation.files)
        ready.data.write(folder)

    about = {
        **origin_here(device_here(), settings.seed, _command(grid, place, values, ready.train, settings)).as_dict(),
        "spec": compilation.spec.name,
        "digest": digest(compilation.spec),
        "task": None,
        "data": None,
        **settings.as_dict(),
        **ready.data.about,
    }
    make_run(place, about, fill)


def _command(grid: Grid, place: Path, values: Mapping[str, Any], chosen: Training, settings: TrainSettings) -> str:
    """The line that trains the same run by itself."""
    base = grid.bases[values.get(BASE) or next(iter(grid.bases))]
    words = ["miras", "train", base.location, "--out", str(place)]
    for key in spec_keys(values):
        words += ["--set", f"{key}={json.dumps(values[key], ensure_ascii=False)}"]
    given = {"task": chosen.task, "tokenizer": chosen.tokenizer, **settings.as_dict()}
    for path in grid.data() if chosen.task is None else ():
        words += ["--data", str(path)]
    for name, value in given.items():
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)
