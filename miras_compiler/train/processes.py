"""The processes of one run, as `torchrun` and `accelerate launch` start them."""

from __future__ import annotations

import os
from datetime import timedelta

LONGEST = timedelta(hours=2)  # that processes wait for the first one, which reads the data


def world_size() -> int:
    """The number of processes; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """True if this is the process that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Waits until every process has come here."""
    if world_size() > 1:
        import torch
        from accelerate import PartialState

        on_gpu = torch.cuda.is_available()
        PartialState(cpu=not on_gpu, timeout=LONGEST, **({} if on_gpu else {"backend": "gloo"})).wait_for_everyone()
