"""A trained model, opened: a run's newest whole checkpoint, or a Hugging Face folder of a package's model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from miras_compiler.errors import InputError
from miras_compiler.models import MANIFEST
from miras_compiler.runs import ABOUT, CHECKPOINT, RunFolder, step_of

CONFIG, WEIGHTS = "config.json", "model.safetensors"
REMOTE = "transformers_modules."
FORECASTS = "AutoModelForTimeSeriesPrediction"


@dataclass(frozen=True)
class OpenedModel:
    """A model in evaluation mode; `about` is run.json, empty for a folder that is a model alone. `remarks` name the checkpoints that were
    passed over.
    """

    path: Path
    checkpoint: Path
    model: Any
    about: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def forecasts(self) -> bool:
        """True if it takes values; else it takes tokens."""
        return self.model.config.vocab_size is None

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device  # type: ignore[no-any-return]


def open_run(path: Path, device: str | None = None) -> OpenedModel:
    """The model in a run's folder, or in a folder that `save_pretrained` wrote. InputError says why there is none, and where one may be."""
    if (path / ABOUT).is_file():
        run = RunFolder(path)
        about = run.about()
        checkpoint = run.newest_checkpoint()
        newest = step_of(checkpoint)
        damaged = [each for each in run.damaged() if (mark := CHECKPOINT.fullmatch(each.name)) and int(mark[1]) > newest]
        remarks = tuple(f"{each}: is not whole, and is passed over for {checkpoint.name}" for each in damaged)
        return OpenedModel(path, checkpoint, load_model(checkpoint, device), about, remarks)
    if (path / CONFIG).is_file():
        return OpenedModel(path, path, load_model(path, device))
    if (path / MANIFEST).is_file():
        raise InputError(f"{path}: is a package without weights; train it: `miras train SPEC --data TEXT --out RUN`, and name RUN")
    if not path.exists():
        raise InputError(f"{path}: is not there; name the folder of a run, which `miras train … --out RUN` writes")
    raise InputError(
        f"{path}: is not a run: it has no {ABOUT}; name a folder that `miras train … --out RUN` wrote, or one of a saved model"
    )


def load_model(folder: Path, device: str | None = None) -> Any:
    """The model of a Hugging Face folder, with the code beside its weights, on a GPU where there is one. Nothing is fetched."""
    import transformers

    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()
    for name in [name for name in sys.modules if name.startswith(REMOTE)]:
        del sys.modules[name]  # transformers 5.6 would take the code of another folder with the same name, such as checkpoint-1000
    try:
        classes = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("auto_map", {})
        kind = FORECASTS if FORECASTS in classes else "AutoModelForCausalLM"
        if not (folder / WEIGHTS).is_file() and not (folder / f"{WEIGHTS}.index.json").is_file():
            raise InputError(f"{folder}: has no weights ({WEIGHTS}); name a whole checkpoint")
        loader = getattr(transformers, kind)
        model, found = loader.from_pretrained(folder, trust_remote_code=True, local_files_only=True, output_loading_info=True)
    except InputError:
        raise
    except Exception as error:  # a file may be torn in as many ways as there are readers
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{folder}: cannot be loaded as a model: {reason[0]}; name a whole checkpoint of a run") from None
    missing = sorted(found["missing_keys"])
    if missing:
        raise InputError(f"{folder}: its weights lack {missing[0]}, and {len(missing) - 1} more; name a whole checkpoint of a run")
    if not hasattr(model.config, "digest"):
        raise InputError(f"{folder}: is a model of {type(model).__name__}, not of a package of this compiler; name a run of `miras train`")
    try:
        return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}; leave it out, or say cpu") from None
