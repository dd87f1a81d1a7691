"""The sizes of a run and of its optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from miras_compiler.errors import InputError, check_least, nearest, short

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainSettings:
    """AdamW with betas (0.9, 0.95), a linear warm-up, then a cosine that ends at a tenth of `lr`; gradients are cut at norm 1.

    `batch` counts sequences of a step over all devices, `micro_batch` those that a device takes at a time, None: its share of the batch.
    `length` None: that of the task, 512 for a text. `warmup` None: a tenth of the steps, 1,000 at most. `save_every` None: ten
    checkpoints a run. `log_every` None: 1 on a CPU, 10 on a GPU. `precision` auto: bfloat16 products on a GPU that has them, else float32.
    `hold_out` is the share of a text, its end, that is not trained on. Raises InputError for values without a meaning.
    """

    steps: int = 1000
    batch: int = 32
    length: int | None = None
    lr: float = 1e-3
    seed: int = 0
    warmup: int | None = None
    weight_decay: float = 0.1
    micro_batch: int | None = None
    save_every: int | None = None
    log_every: int | None = None
    precision: str = "auto"
    compile: bool = False
    hold_out: float = 0.1

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "micro_batch", "save_every", "log_every"):
            check_least(option(name), getattr(self, name), 1)
        if self.length is not None and self.length < 2:
            raise InputError(f"--length must be at least 2: a token is predicted from those before it; got {self.length}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"--lr must be above 0, got {self.lr}; 1e-3 suits small models")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"--weight-decay must be 0 or above, got {self.weight_decay}")
        if self.warmup is not None and not 0 <= self.warmup < self.steps:
            raise InputError(f"--warmup must be at least 0 and below the {self.steps} steps, got {self.warmup}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed must be at least 0 and below 2³², got {self.seed}")
        if not 0 <= self.hold_out < 1:
            raise InputError(f"--hold-out must be at least 0 and below 1, got {self.hold_out}; 0.1 keeps the last tenth for `miras eval`")
        if self.precision not in PRECISIONS:
            raise InputError(f"--precision {short(self.precision)}: there is no such precision; {nearest(self.precision, PRECISIONS)}")
        if self.save_every and self.log_every and self.save_every % self.log_every:
            raise InputError(
                f"--save-every {self.save_every} is not a multiple of --log-every {self.log_every}; "
                "a checkpoint lies where the curve has a point, so that a resumed run has the same curve"
            )

    @property
    def warmup_steps(self) -> int:
        return min(1000, self.steps // 10) if self.warmup is None else self.warmup

    def micro(self, world: int) -> int:
        """Sequences that each of `world` devices takes at a time; InputError where the batch cannot be divided so."""
        if self.batch % world:
            raise InputError(f"--batch {self.batch} cannot be divided among {world} processes; choose a multiple of {world}")
        share = self.batch // world
        micro = self.micro_batch or share
        if share % micro:
            raise InputError(f"--micro-batch {micro} does not divide the {share} sequences of a device; choose a divisor of {share}")
        return micro

    def logging(self, on_gpu: bool) -> int:
        """Steps between two points of the learning curve."""
        if self.log_every is not None:
            return self.log_every
        wanted = 10 if on_gpu else 1
        return wanted if self.save_every is None else math.gcd(wanted, self.save_every)

    def saving(self, on_gpu: bool) -> int:
        """Steps between two checkpoints, a multiple of those between two points of the curve."""
        if self.save_every is not None:
            return self.save_every
        every = self.logging(on_gpu)
        return every * max(1, self.steps // (10 * every))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def settings_of(about: Mapping[str, Any]) -> TrainSettings:
    """The settings of a run as its run.json has them; InputError where it has not."""
    try:
        return TrainSettings(**{field.name: about[field.name] for field in fields(TrainSettings)})
    except (KeyError, TypeError) as problem:
        raise InputError(f"run.json: has no usable settings ({problem}); the run cannot be resumed: train it again") from None


def option(name: str) -> str:
    """The option of the command line that sets a field."""
    return f"--{name.replace('_', '-')}"
