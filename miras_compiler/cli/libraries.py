"""The libraries of an extra, before a command uses them."""

from __future__ import annotations

import importlib.util
import os

TRAIN = ("transformers", "accelerate", "tokenizers", "tensorboard")
EXTRAS = {"train": TRAIN, "sweep": (*TRAIN, "optuna"), "lm-eval": ("lm_eval",)}


def prepare_libraries(extra: str) -> None:
    """Raises InputError where a library of an extra is missing, and keeps those of Hugging Face off the network."""
    from miras_compiler.errors import InputError

    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)}: not installed, and needed here; pip install 'miras-compiler[{extra}]'")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
