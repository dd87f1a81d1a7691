"""Facts about the shipped specs that take long to find: `zoo.json`, which `make update` writes and a test holds against the compiler."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("zoo.json")


class Shipped(NamedTuple):
    """A shipped spec: its kinds, its parallel form, whether it has kernels, the bytes of its state per head, and its sensitivity."""

    paper: str
    memory: str
    attentional_bias: str
    retention: str
    optimizer: str
    form: str
    kernels: bool
    state: int
    rule: str  # digest of the rule that was measured
    early: float
    late: float


@cache
def read_zoo() -> dict[str, Shipped]:
    """The shipped specs by name."""
    return {name: Shipped(**facts) for name, facts in json.loads(FILE.read_text(encoding="utf-8")).items()}
