"""A run's folder: its model and settings, its learning curve, its checkpoints. The only place that knows its files.

RUN/run.json          command, spec, digest, versions, device, seed, data or task, sizes
RUN/package/          the package that was trained
RUN/tokenizer/        of runs on text
RUN/tokens.npy        the text in tokens, the part that is held out at the end; RUN/series.npz: of runs on series of numbers
RUN/metrics.jsonl     a line a step: step, loss, lr, tokens, tokens_per_second, grad_norm
RUN/checkpoint-N/     the model after N steps as a Hugging Face folder, with all that resuming needs
RUN/loss.png, RUN/tensorboard/, RUN/eval.json
"""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.store import write_file

ABOUT, METRICS, EVALUATION = "run.json", "metrics.jsonl", "eval.json"
WHOLE = "whole.json"  # the last file of a checkpoint: size and CRC-32 of all others
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
COMMAND = "miras train"
BLOCK = 2**20  # bytes that are read at a time
_sums: dict[tuple[int, int, int, int], int] = {}  # CRC-32 of files by device, inode, size and time


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run. Nothing is read or written before a method is called."""

    path: Path

    @property
    def package(self) -> Path:
        return self.path / "package"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def evaluation(self) -> Path:
        return self.path / EVALUATION

    @property
    def tokens(self) -> Path:
        return self.path / "tokens.npy"

    @property
    def series(self) -> Path:
        return self.path / "series.npz"

    @property
    def plot(self) -> Path:
        return self.path / "loss.png"

    def is_there(self) -> bool:
        return (self.path / ABOUT).is_file()

    def about(self) -> dict[str, Any]:
        """run.json; InputError where it is none, or another command's."""
        about = read_object(self.path / ABOUT)
        command = about.get("command")
        if not (isinstance(command, str) and f"{command} ".startswith(f"{COMMAND} ")):
            raise InputError(
                f"{self.path / ABOUT}: is of the command {command!r}, and not of `{COMMAND}`; name the folder of a training run"
            )
        return about

    def write_about(self, about: Mapping[str, Any]) -> None:
        write_file(self.path / ABOUT, json.dumps(about, ensure_ascii=False, indent=2) + "\n")

    def write_evaluation(self, scores: Mapping[str, Any]) -> None:
        """eval.json, with the sections of earlier evaluations that `scores` does not name."""
        known = read_object(self.evaluation) if self.evaluation.is_file() else {}
        write_file(self.evaluation, json.dumps(known | dict(scores), ensure_ascii=False, indent=2) + "\n")

    def rows(self, remarks: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of metrics.jsonl; `remarks` take the lines that a killed run left torn."""
        if not self.metrics.is_file():
            if remarks is not None:
                remarks.append(f"{self.metrics}: is not there, so there is no learning curve")
            return
        for count, line in enumerate(self.metrics.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield row
            elif line.strip() and remarks is not None:
                remarks.append(f"{self.metrics}:{count}: is not a JSON object, and is left out")

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))

    def keep_rows(self, last: int) -> None:
        """Cuts the learning curve back to `last` steps: those after it are computed again."""
        rows = [row for row in self.rows() if row.get("step", last + 1) <= last]
        write_file(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def checkpoint(self, step: int) -> Path:
        return self.path / f"checkpoint-{step}"

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, the newest last; a half-written one is left out."""
        found = [(int(mark[1]), path) for path in self.path.glob("checkpoint-*") if (mark := CHECKPOINT.fullmatch(path.name))]
        return [path for _, path in sorted(found) if is_whole(path)]

    def newest_checkpoint(self) -> Path:
        """The newest whole checkpoint; InputError where there is none."""
        whole = self.checkpoints()
        if not whole:
            raise InputError(f"{self.path}: has no whole checkpoint; train it first: `miras train … --out {self.path}`")
        return whole[-1]

    def damaged(self) -> list[Path]:
        """Checkpoints that are not whole."""
        whole = set(self.checkpoints())
        return sorted(path for path in self.path.glob("checkpoint-*") if path not in whole)


def step_of(checkpoint: Path) -> int:
    """The steps that the model of a checkpoint has been trained."""
    mark = CHECKPOINT.fullmatch(checkpoint.name)
    if mark is None:
        raise InputError(f"{checkpoint}: is not a checkpoint; name a folder checkpoint-N of a run")
    return int(mark[1])


def is_whole(checkpoint: Path) -> bool:
    """True if every file of a checkpoint is there as it was written: after a loss of power one may hold zeros."""
    try:
        written = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return bool(written) and all(_mark(checkpoint / name) == mark for name, mark in written.items())
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _mark(file: Path) -> list[int]:
    """Size and CRC-32 of a file, which is read once as long as it stays as it is, under whatever name."""
    known = file.stat()
    key = known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns
    if key not in _sums:
        total = 0
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                total = zlib.crc32(block, total)
        _sums[key] = total
    return [known.st_size, _sums[key]]


def publish_checkpoint(part: Path, place: Path) -> None:
    """Marks the folder `part` as a whole checkpoint and moves it to `place` in one step, in place of an older one."""
    written = {path.relative_to(part).as_posix(): _mark(path) for path in sorted(part.rglob("*")) if path.is_file()}
    (part / WHOLE).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    if place.exists():
        shutil.rmtree(place)
    part.rename(place)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; InputError where the file holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}; name the folder of a run") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; name the folder of a run")
    return value
