"""The learning curve of a run: metrics.jsonl, TensorBoard, and a function that watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback

from miras_compiler.gpus import GPUS, gpu_class
from miras_compiler.runs import RunFolder
from miras_compiler.train.processes import world_size
from miras_compiler.train.settings import TrainSettings
from miras_compiler.train.sources import RowSource

Tell = Callable[[Mapping[str, Any]], None]
"""Takes a row of metrics.jsonl."""


class CurveRecorder(TrainerCallback):
    """Writes a row for every point of the curve. `share_of_peak`, on a GPU whose peak is known, is of 6 FLOPs a parameter and token."""

    def __init__(self, run: RunFolder, source: RowSource, settings: TrainSettings, parameters: int, tell: Tell) -> None:
        self.run, self.source, self.settings, self.tell = run, source, settings, tell
        self.flops = 6 * parameters
        self.peak = _peak()
        self.writer: SummaryWriter | None = None
        self.step = self.tokens = 0
        self.since = 0.0
        self.hook = threading.excepthook

    def begin(self, step: int) -> None:
        """Takes up the curve at `step`: rows of later steps are cut off."""
        if self.run.metrics.is_file():
            self.run.keep_rows(step)
        self.step, self.tokens = step, sum(map(self._tokens, range(step)))
        threading.excepthook = self._refused
        self.writer = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=step + 1)

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.since = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        if self.writer is None or not logs or "loss" not in logs:
            return
        now, step = time.perf_counter(), state.global_step
        tokens = sum(map(self._tokens, range(self.step, step)))
        speed = tokens / (now - self.since)
        self.step, self.tokens, self.since = step, self.tokens + tokens, now
        row = {
            "step": step,
            "loss": logs["loss"],
            "lr": logs["learning_rate"],
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
            "grad_norm": logs.get("grad_norm"),
        }
        if self.peak is not None:
            row["share_of_peak"] = round(speed * self.flops / (self.peak * world_size()), 4)
        self.run.add_rows([row])
        for name, value in row.items():
            if name not in ("step", "tokens") and value is not None:
                self.writer.add_scalar(name, value, step)
        self.tell(row)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.since = time.perf_counter()  # a speed is that of training alone

    def end(self) -> None:
        """Closes TensorBoard's log; raises OSError where it cannot be written."""
        try:
            if self.writer is not None:
                self.writer.close()
        finally:
            threading.excepthook = self.hook

    def _refused(self, refusal: threading.ExceptHookArgs) -> None:
        """TensorBoard writes in a thread, whose OSError the next call of the writer raises again: it is no traceback."""
        if not issubclass(refusal.exc_type, OSError):
            self.hook(refusal)

    def _tokens(self, step: int) -> int:
        return self.settings.batch * self.source.tokens(step)


def _peak() -> float | None:
    """Peak FLOPs per second of this machine's GPU in bfloat16; None where there is none, or it is not known."""
    if not torch.cuda.is_available():
        return None
    gpu = GPUS.get(gpu_class(torch.cuda.get_device_name()))
    return None if gpu is None else gpu.products
