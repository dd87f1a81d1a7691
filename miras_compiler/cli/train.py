"""`miras train`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miras_compiler.cli.libraries import prepare_libraries
from miras_compiler.cli.options import Settings
from miras_compiler.cli.training_progress import progress
from miras_compiler.console import busy

if TYPE_CHECKING:
    from miras_compiler.runs import RunFolder
    from miras_compiler.spec import Spec


def train(
    specs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SPEC", help="Spec files, or names of specs; more than one: a run each, below --out.", show_default=False),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="PATH", help="Text files, folders of them, FASTA, or CSV; can be repeated.", show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="NAME", help="A task instead of data, such as mqar or mqar,vocab_size=64,pairs=4.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run's folder.")] = Path("run"),
    steps: Annotated[int | None, typer.Option("--steps", metavar="NUMBER", help="Default: 1000.", show_default=False)] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", "-B", metavar="NUMBER", help="Sequences of a step, over all devices. Default: 32.", show_default=False),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option("--length", "-T", metavar="NUMBER", help="Tokens of a sequence. Default: the task's, or 512.", show_default=False),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", metavar="NUMBER", help="The highest learning rate. Default: 1e-3.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="NUMBER", help="Of weights and batches. Default: 0.", show_default=False)
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="NAME", help="byte (default), bpe:N, which is trained on the data, or a folder.", show_default=False
        ),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option("--warmup", metavar="STEPS", help="Default: a tenth of the steps, 1000 at most.", show_default=False)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", metavar="NUMBER", help="Of projections. Default: 0.1.", show_default=False)
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option("--micro-batch", metavar="NUMBER", help="Sequences that a device takes at a time.", show_default=False)
    ] = None,
    save_every: Annotated[
        int | None, typer.Option("--save-every", metavar="STEPS", help="Default: ten checkpoints a run.", show_default=False)
    ] = None,
    log_every: Annotated[
        int | None, typer.Option("--log-every", metavar="STEPS", help="Default: 1 on a CPU, 10 on a GPU.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="NAME", help="auto, float32 or bfloat16.", show_default=False)
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            "--hold-out", metavar="SHARE", help="Of the data, their end, which miras eval reads. Default: 0.1.", show_default=False
        ),
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the blocks and the loss with torch.compile.")] = False,
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out from its newest whole checkpoint.")] = False,
) -> None:
    """Train the model of a spec on a text, a genome, series of numbers or a task with known answers.

    The run's folder gets the package, checkpoints that transformers loads, metrics.jsonl, TensorBoard's log and loss.png.

    A run that was killed at any moment goes on with --resume as if nothing had been: the same batches, the same curve.
    """
    arguments = {
        "task": task, "data": [str(path) for path in data] if data else None, "tokenizer": tokenizer, "steps": steps, "batch": batch,
        "length": length, "lr": lr, "seed": seed, "warmup": warmup, "weight_decay": weight_decay, "micro_batch": micro_batch,
        "save_every": save_every, "log_every": log_every, "precision": precision, "hold_out": hold_out, "compile": compile or None,
    }  # fmt: skip
    given = {name: value for name, value in arguments.items() if value is not None}
    from miras_compiler.errors import InputError

    if specs is None or len(specs) == 1:
        _train_one(specs[0] if specs else None, out, given, settings, resume)
        return
    places = {out / path.stem: path for path in specs}
    if len(places) < len(specs):
        raise InputError("SPEC: two specs have one name, and their runs would have one folder; train them one after another")
    from miras_compiler.cli.specs import load_each

    load_each(specs, settings)
    for place, path in places.items():
        _train_one(path, place, given, settings, resume)


def _train_one(spec: Path | None, place: Path, given: Mapping[str, Any], settings: Sequence[str] | None, resume: bool) -> None:
    """One run: made or taken up, and trained to its end."""
    from miras_compiler.errors import InputError
    from miras_compiler.runs import RunFolder, step_of

    prepare_libraries("train")
    from miras_compiler.train.processes import is_first, wait_for_all

    run = RunFolder(place)
    if is_first():
        if resume and run.is_there():
            _check_same(run, spec, given, settings)
        elif spec is None:
            raise InputError(f"{place}: holds no run to go on with; name a SPEC to train" if resume else "name a SPEC to train")
        else:
            _make(spec, place, given, settings)
    wait_for_all()
    from miras_compiler.train.data import open_source
    from miras_compiler.train.loop import train as run_training
    from miras_compiler.train.plot import plot_loss
    from miras_compiler.train.settings import settings_of

    about = run.about()
    chosen = settings_of(about)
    whole = run.checkpoints()
    done = bool(whole) and step_of(whole[-1]) >= chosen.steps
    if is_first():
        for path in run.damaged():
            print(f"{path}: is not whole, and is left out", file=sys.stderr)
        if resume:
            left = "all of its steps are done" if done else f"goes on from {whole[-1].name if whole else 'its beginning'}"
            print(f"{place}: {left}", file=sys.stderr)
    if not done:
        try:
            with progress(f"training {about['spec']}", chosen.steps) as tell:
                run_training(run, open_source(run, chosen), chosen, tell)
        except KeyboardInterrupt:
            if is_first():
                print(f"{place}: to go on: {shlex.join(['miras', 'train', '--out', str(place), '--resume'])}", file=sys.stderr)
            raise
    if is_first():
        picture = plot_loss(run, f"{about['spec']} on {about.get('task') or ', '.join(about['data'])}")
        print(f"wrote {place}: {run.newest_checkpoint().name}, {run.metrics.name}, {picture.name}")


def _check_same(run: RunFolder, path: Path | None, given: Mapping[str, Any], settings: Sequence[str] | None) -> None:
    """Raises InputError where a run cannot be taken up with these arguments."""
    from miras_compiler.errors import InputError
    from miras_compiler.train.data import named_task
    from miras_compiler.train.folder import check_is_same

    about = run.about()
    wanted = dict(given)
    if path is not None:
        from miras_compiler.spec import digest

        wanted["digest"] = digest(_load(path, settings, about))
    elif settings:
        raise InputError("--set changes a spec, and none is named; --resume goes on with the package of the run")
    if "task" in wanted:
        wanted["task"] = named_task(wanted["task"], wanted.get("length"))
        if about.get("task") is not None:
            wanted.pop("length", None)
    check_is_same(run, wanted)


def _make(path: Path, place: Path, given: Mapping[str, Any], settings: Sequence[str] | None) -> None:
    """The folder of a new run. Nothing is written unless everything about it is right."""
    from miras_compiler.cli.specs import load_one
    from miras_compiler.cli.warnings import warn_about
    from miras_compiler.errors import InputError
    from miras_compiler.records import origin_here
    from miras_compiler.spec import digest
    from miras_compiler.store import write_package
    from miras_compiler.train.data import file_data, series_data, task_data, with_vocabulary
    from miras_compiler.train.folder import check_is_free, device_here, make_run
    from miras_compiler.train.processes import world_size
    from miras_compiler.train.settings import TrainSettings

    check_is_free(place)
    if ("task" in given) == ("data" in given):
        raise InputError("--data or --task: name one of the two to train on, such as --task mqar")
    chosen = TrainSettings(**{name: value for name, value in given.items() if name in TrainSettings.__dataclass_fields__})
    chosen.micro(world_size())
    spec = load_one(path, settings)
    warn_about([spec])
    with busy("reading the data") as say:
        if spec.model.input is not None:
            data = series_data(given, spec.model.input.patch, spec.model.input.horizon, chosen)
        elif "task" in given:
            if "tokenizer" in given:
                raise InputError(f"--tokenizer {given['tokenizer']}: a task has tokens of its own; leave it out")
            data = task_data(given["task"], chosen)
        else:
            data = file_data([Path(name) for name in given["data"]], given.get("tokenizer"), chosen)
        if spec.model.vocab_size and _sets_vocabulary(settings):
            data = with_vocabulary(data, spec.model.vocab_size)
        else:
            spec = _load(path, settings, data.about)
        say(f"compiling {spec.name}")
        from miras_compiler.compiler import compile_spec

        files = compile_spec(spec).files

        def fill(folder: Path) -> None:
            write_package(folder, "package", files)
            data.write(folder)

        origin = origin_here(device_here(), chosen.seed, _command(path, place, given, settings))
        about = {
            **origin.as_dict(),
            "spec": spec.name,
            "digest": digest(spec),
            "task": None,
            "data": None,
            **chosen.as_dict(),
            **data.about,
        }
        make_run(place, about, fill)


def _load(path: Path, settings: Sequence[str] | None, about: Mapping[str, Any]) -> Spec:
    """A spec with the vocabulary of a run's data, if they have one, unless settings have another: a preset's sizes depend on it."""
    from miras_compiler.cli.specs import load_one

    size = about["config"].get("vocab_size")
    if size is None or _sets_vocabulary(settings):
        return load_one(path, settings)
    return load_one(path, [*(settings or ()), f"model.vocab_size={size}"])


def _sets_vocabulary(settings: Sequence[str] | None) -> bool:
    return any(setting.partition("=")[0].strip() == "model.vocab_size" for setting in settings or ())


def _command(path: Path, place: Path, given: Mapping[str, Any], settings: Sequence[str] | None) -> str:
    """The line that begins this run anew."""
    words = ["miras", "train", str(path), "--out", str(place)]
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", *([] if each is True else [str(each)])]
    for setting in settings or ():
        words += ["--set", setting]
    return shlex.join(words)
