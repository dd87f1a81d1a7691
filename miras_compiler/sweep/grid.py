"""GRID.yaml: the keys that a sweep varies, the training of each point, and the budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict, ValidationError

from miras_compiler.elements.base import Settings
from miras_compiler.elements.complaints import complaints
from miras_compiler.errors import Fault, InputError, near, nearest, short
from miras_compiler.spec import Spec, digest, load_spec
from miras_compiler.spec.fault import spec_error
from miras_compiler.spec.load import read_text
from miras_compiler.spec.shipped import SpecFile
from miras_compiler.spec.source import read_source
from miras_compiler.sweep.axes import Axis, Choices, Range, axis_faults
from miras_compiler.sweep.keys import key_fault

BASE = "base"
REMEDY = "start with `base: SPEC` and `vary:`; docs/sweeping.md has an example"
LARGER = {"quality": True, "tokens_per_second": True, "state_bytes": False, "parameters": False, "loss": False}
"""What a point is measured by, and whether more of it is better; the quality of a text, bits per byte, is better where it is smaller."""

Number = Annotated[int, Field(ge=1)]


class Training(Settings):
    """The training of every point: the options of `miras train`."""

    key = "train"

    task: str | None = None
    data: str | Annotated[tuple[str, ...], Strict(False)] | None = None
    tokenizer: str | None = None
    steps: Number = 1000
    batch: Number = 32
    length: int | None = None
    lr: float = 1e-3
    warmup: int | None = None
    weight_decay: float = 0.1
    micro_batch: Number | None = None
    save_every: Number | None = None
    log_every: Number | None = None
    precision: str = "auto"
    compile: bool = False
    hold_out: float = 0.1

    @property
    def files(self) -> list[str]:
        """The texts, as they are named."""
        return [self.data] if isinstance(self.data, str) else list(self.data or ())

    def settings(self) -> dict[str, Any]:
        """The fields of `train.settings.TrainSettings` but for the seed."""
        return self.model_dump(exclude={"task", "data", "tokenizer"})


class Budget(Settings):
    """`trials` points at most; none is begun later than `minutes` after the command."""

    key = "budget"

    trials: Number | None = None
    minutes: Annotated[float, Field(gt=0, le=1e9)] | None = None


class GridFile(Settings):
    """The file as it is written."""

    base: str | Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]
    vary: dict[str, Any] = Field(default_factory=dict)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Strict(False), Field(min_length=1)] = (0,)
    train: Training
    budget: Budget = Budget()
    verify: bool = True
    objectives: Annotated[tuple[str, ...], Strict(False), Field(min_length=1)] = ("quality", "state_bytes")


@dataclass(frozen=True)
class Grid:
    """A checked grid. `places` are the lines of the keys that vary, as messages name them; without `verify` packages are trained as they
    are written."""

    place: str
    folder: Path
    bases: Mapping[str, Spec]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    train: Training
    budget: Budget
    verify: bool
    objectives: tuple[str, ...]
    places: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits of all settings but `verify` and the budget, which can be raised."""
        said = {
            "bases": [digest(spec) for spec in self.bases.values()],
            "axes": [axis.as_dict() for axis in self.axes],
            "seeds": self.seeds,
            "train": self.train.model_dump(mode="json"),
            "objectives": self.objectives,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def ranges(self) -> list[Range]:
        return [axis for axis in self.axes if isinstance(axis, Range)]

    @property
    def choices(self) -> list[Choices]:
        return [axis for axis in self.axes if isinstance(axis, Choices)]

    def larger(self, measure: str) -> bool:
        """True if more of a measure is better."""
        return LARGER[measure] and not (measure == "quality" and self.train.task is None)

    def data(self) -> list[Path]:
        """The texts: beside the grid, or where the command runs."""
        return [_beside(self.folder, name) for name in self.train.files]


def load_grid(path: Path) -> Grid:
    """The grid in a file. SpecError has everything that is wrong, with its line; InputError where it cannot be read."""
    source = read_source(read_text(SpecFile(path, str(path)), "name a grid"), str(path), what="a grid", remedy=REMEDY)
    try:
        written = GridFile.unchecked(source.tree)
    except ValidationError as error:
        raise spec_error(complaints(error, source.tree, GridFile), source) from None
    folder = path.resolve().parent
    bases, faults = _bases(written, path.parent)
    if not faults:  # the keys of a spec that is not there are not known
        faults += [fault for key in written.vary if (fault := key_fault(key, list(bases.values()), written.vary))]
    axes, wrong = axis_faults(written.vary)
    faults += wrong
    faults += [*_of_objectives(written), *_of_seeds(written), *_of_training(written, folder), *_of_budget(written, axes)]
    if faults:
        raise spec_error(faults, source)
    if len(bases) > 1:
        axes = (Choices(BASE, tuple(bases)), *axes)
    places = {axis.key: str(source.mark((BASE,) if axis.key == BASE else ("vary", axis.key))) for axis in axes}
    return Grid(str(path), folder, bases, axes, written.seeds, written.train, written.budget, written.verify, written.objectives, places)


def _bases(written: GridFile, folder: Path) -> tuple[dict[str, Spec], list[Fault]]:
    """The specs by their names in the grid, and their faults."""
    listed = not isinstance(written.base, str)
    named: Sequence[str] = written.base if listed else (written.base,)  # type: ignore[assignment]
    found: dict[str, Spec] = {}
    faults = []
    for index, name in enumerate(named):
        path = (BASE, index) if listed else (BASE,)
        if name in found:
            faults.append(Fault(path, f"'{short(name)}' is given twice", remedy="keep one"))
        try:
            beside = folder / name
            found[name] = load_spec(beside if beside.is_file() else name)
        except InputError as error:
            faults.append(Fault(path, f"the spec {short(name)} cannot be taken", " ".join(str(error).splitlines())))
    return found, faults


def _of_objectives(written: GridFile) -> Iterator[Fault]:
    for index, name in enumerate(written.objectives):
        if name not in LARGER:
            yield Fault(("objectives", index), f"unknown objective '{short(name)}'", remedy=nearest(name, LARGER))
        elif name in written.objectives[:index]:
            yield Fault(("objectives", index), f"'{name}' is given twice", remedy="keep one")


def _of_seeds(written: GridFile) -> Iterator[Fault]:
    for index, seed in enumerate(written.seeds):
        if seed in written.seeds[:index]:
            yield Fault(("seeds", index), f"{seed} is given twice", remedy="keep one")


def _of_budget(written: GridFile, axes: Sequence[Axis]) -> Iterator[Fault]:
    if written.budget.trials is None and any(isinstance(axis, Range) for axis in axes):
        key = next(axis.key for axis in axes if isinstance(axis, Range))
        yield Fault(("vary", key), "a range has no end of points", "budget.trials is missing", "add `budget: {trials: 20}`")


def _of_training(written: GridFile, folder: Path) -> Iterator[Fault]:
    """The faults that `miras train` would find, at the keys of the grid."""
    from miras_compiler.tasks import build_task
    from miras_compiler.train.settings import TrainSettings

    train = written.train
    if (train.task is None) == (train.data is None):
        yield Fault(("train",), "task or data: name one of the two to train on", remedy="for example `task: mqar`")
    if train.task is not None and train.tokenizer is not None:
        yield Fault(("train", "tokenizer"), "a task has tokens of its own", remedy="leave it out")
    for name in train.files:
        if not _beside(folder, name).exists():
            yield Fault(("train", "data"), f"{short(name)} is not there", remedy="name files beside the grid, or from where you are")
    try:
        TrainSettings(**train.settings())
    except InputError as error:
        yield at_option(error)
    if train.task is not None:
        try:
            build_task(train.task, **({} if train.length is None else {"length": train.length}))
        except InputError as error:
            yield Fault(("train", "task"), str(error).removeprefix(f"--task {short(train.task)}: "))


def at_option(error: InputError) -> Fault:
    """A message about an option of the command line, at the key of the grid."""
    text = str(error).removeprefix("--")
    name = near(text.partition(" ")[0].rstrip(":").replace("-", "_"), Training.model_fields)
    return Fault(("train", name) if name else ("train",), text)


def _beside(folder: Path, name: str) -> Path:
    beside = folder / name
    return beside if beside.exists() else Path(name)
