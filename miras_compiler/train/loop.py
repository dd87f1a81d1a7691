"""The loop: transformers' Trainer over a run's folder, from its newest whole checkpoint or from the beginning."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments
from transformers.trainer import FSDP_MODEL_NAME

from miras_compiler.data.tokenizers import load_tokenizer
from miras_compiler.errors import InputError
from miras_compiler.models import model_classes
from miras_compiler.runs import RunFolder, publish_checkpoint, step_of
from miras_compiler.train.diverged import check_finite
from miras_compiler.train.processes import world_size
from miras_compiler.train.recorder import CurveRecorder, Tell
from miras_compiler.train.settings import TrainSettings
from miras_compiler.train.sources import RowSource

KEPT = 2  # checkpoints
SAVING = ".saving"  # where a checkpoint is written before it is one
BLOCK = "Block"  # the modules that FSDP shards one by one


@dataclass(frozen=True)
class RowDataset(Dataset[Mapping[str, Tensor]]):
    """All rows of all steps one after another: row i is of step i // batch, on whatever device it is read."""

    source: RowSource
    batch: int
    steps: int

    def __len__(self) -> int:
        return self.batch * self.steps

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        row = self.source.row(*divmod(index, self.batch))
        return {name: torch.as_tensor(values) for name, values in row.items()}


def collate(rows: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Rows of one length as a batch."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def train(run: RunFolder, source: RowSource, settings: TrainSettings, tell: Tell) -> None:
    """Trains the model of `run` up to its last step; `tell` is called with every row of the learning curve.

    Raises CheckFailed where the loss is no number, InputError where the disk is full;
    the newest whole checkpoint stays.
    """
    quiet: Any = transformers.utils.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    warnings.filterwarnings("ignore", "FSDP2-wrapped module")  # of views of its results: the loop changes none in place
    on_gpu = torch.cuda.is_available()
    transformers.set_seed(settings.seed)
    make_config, make_model = model_classes(run.package)
    try:
        model = make_model(make_config(**run.about()["config"]))
    except ValueError as problem:
        raise InputError(f"{run.package}: the model cannot be built: {problem}; set other sizes with --set") from None
    if settings.compile:
        model.compile_blocks()
    recorder = CurveRecorder(run, source, settings, parameters=sum(p.numel() for p in model.parameters()), tell=tell)
    trainer = RunTrainer(
        run,
        uses_bfloat16(settings, on_gpu),
        model=model,
        args=arguments(run, settings, on_gpu),
        train_dataset=RowDataset(source, settings.batch, settings.steps),
        data_collator=collate,
        processing_class=load_tokenizer(run.tokenizer) if run.tokenizer.is_dir() else None,
        callbacks=[recorder],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    model.config.use_cache = True  # the Trainer turns it off, and would save that
    whole = run.checkpoints()
    if whole:
        check_sharding(whole[-1], trainer.is_fsdp_enabled)
    try:
        try:
            if trainer.is_world_process_zero():
                recorder.begin(step_of(whole[-1]) if whole else 0)
            trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
        finally:
            recorder.end()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise not_saved(run, error) from None
    except torch.OutOfMemoryError as error:
        raise InputError(f"the GPU's memory is full: {str(error).splitlines()[0]}; train again with a smaller --micro-batch") from None


def check_sharding(checkpoint: Path, sharded: bool) -> None:
    """Raises InputError where a checkpoint was saved by several GPUs and one goes on, or the other way round."""
    if any(checkpoint.glob(f"{FSDP_MODEL_NAME}*")) != sharded:
        saved, now = ("one process", "several GPUs") if sharded else ("several GPUs", "one process")
        raise InputError(f"{checkpoint}: was saved by {saved}, and {now} cannot go on from it; go on as the run began")


def not_saved(run: RunFolder, error: Exception) -> InputError:
    """The user's error for a checkpoint or a curve that could not be written."""
    whole = run.checkpoints()
    left = f"the last good checkpoint is {whole[-1].name}, and nothing of it is lost" if whole else "there was no checkpoint yet"
    free = shutil.disk_usage(run.path).free
    what = f"{run.path}: cannot be written ({free:,} bytes are free): {error}"
    return InputError(f"{what}; {left}; make room there, then go on with --resume")


def arguments(run: RunFolder, settings: TrainSettings, on_gpu: bool) -> TrainingArguments:
    """The Trainer's settings for a run: every device of `torchrun` or `accelerate launch` takes its part of the batch."""
    world = world_size()
    micro = settings.micro(world)
    sharded = world > 1 and not os.environ.get("ACCELERATE_USE_FSDP")
    cores = torch.get_num_threads() if world == 1 else (os.cpu_count() or 1) // world  # a worker of a sweep has its share
    sharding = {"version": 2, "transformer_layer_cls_to_wrap": [BLOCK]}
    options: dict[str, Any] = {
        "output_dir": str(run.path / SAVING),
        "max_steps": settings.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": settings.batch // (world * micro),
        "train_sampling_strategy": "sequential",
        "learning_rate": settings.lr,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "seed": settings.seed,
        "logging_strategy": "steps",
        "logging_steps": settings.logging(on_gpu),
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.saving(on_gpu),
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": not on_gpu,
        "ddp_backend": None if on_gpu or world == 1 else "gloo",
        "dataloader_num_workers": min(8, max(1, cores - 1)) if on_gpu else 0,
        "dataloader_pin_memory": on_gpu,
        "fsdp": True if sharded else None,
        "fsdp_config": sharding if sharded else None,
    }
    return TrainingArguments(**options)


def uses_bfloat16(settings: TrainSettings, on_gpu: bool) -> bool:
    """True if products are of bfloat16 numbers; parameters and their sums are float32 in any case."""
    if settings.precision == "auto":
        return on_gpu and torch.cuda.is_bf16_supported()
    return settings.precision == "bfloat16"


class RunTrainer(Trainer):
    """The Trainer with checkpoints that are whole or not there, and a stop where the loss is no number."""

    def __init__(self, run: RunFolder, bfloat16: bool, model: Any, **others: Any) -> None:
        super().__init__(model=model, **others)
        self.run, self.bfloat16, self.make_model = run, bfloat16, type(model)
        self.losses: list[Tensor] = []  # of the steps since the curve's last point

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Weights of projections: neither embeddings and norms, nor a memory's initial state, convolutions and gates."""
        linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        return [name for name, _ in model.named_parameters() if name in linear]

    def compute_loss_context_manager(self) -> ExitStack:
        """Autocast, around the forward pass alone. FSDP would cast the parameters instead, and gates would lose their digits."""
        stack = super().compute_loss_context_manager()
        stack.enter_context(torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.bfloat16))
        return stack

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *others: Any, **named: Any) -> Tensor:
        loss = super().training_step(model, inputs, *others, **named)
        self.losses.append(loss)
        if (self.state.global_step + 1) % self.args.logging_steps == 0:
            check_finite(self.run, model, inputs, self.losses, self.state.global_step + 1, self.args.gradient_accumulation_steps)
            if self.accelerator.sync_gradients:
                self.losses.clear()
        return loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Saves weights and code. The class of a sharded model is FSDP's own, whose code is not the package's: a model without weights
        stands for it."""
        sharded: Any = self.model
        try:
            if state_dict is not None:
                with torch.device("meta"):
                    self.model = self.make_model(sharded.config)
            super()._save(output_dir, state_dict)
        finally:
            self.model = sharded

    def _save_checkpoint(self, *others: Any, **named: Any) -> None:
        step = self.state.global_step
        part = self.run.path / SAVING / f"checkpoint-{step}"
        try:
            if self.is_world_process_zero() and part.exists():
                shutil.rmtree(part)  # of a run that was killed
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(*others, **named)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                publish_checkpoint(part, self.run.checkpoint(step))
                shutil.rmtree(part.parent, ignore_errors=True)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(part.parent, ignore_errors=True)
            raise not_saved(self.run, error) from error
        if self.is_world_process_zero():
            for old in [*self.run.damaged(), *self.run.checkpoints()[:-KEPT]]:
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
