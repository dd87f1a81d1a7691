"""A package of a linear memory in Triton's interpreter, at values wider than a program holds at once: its errors against float64, as JSON.

`python tests/kit/wide_values.py FOLDER`. Launches are then tried like on a GPU, on the tensors of a call: one that is right, and one of a
kernel that leaves out a block.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from miras_compiler.bench.precision import verify_shape
from miras_compiler.bench.speed import Work
from miras_compiler.bench.subject import MeasuredPackage, Shape
from miras_compiler.bench.tuning import calls_of, try_candidates
from miras_compiler.gpus.launch_table import Launch

SHAPE = Shape(1, 66, 1, 8, 80, 0)  # a block of 64 and a part of one, two tiles
TRITON = {"backend": "triton"}
RIGHT, SHORT = Launch(4, 1, 32, 255), Launch(4, 3, 64, 168)  # neither is shipped


class Clock:
    """Every call takes a second."""

    def timed(self, function: Callable[[], object]) -> Callable[[], float]:
        function()
        return lambda: 1000.0

    def median_ms(self, function: Callable[[], object]) -> float:
        return self.timed(function)()

    def peak_gib(self, function: Callable[[], object]) -> float:
        return 0.0


def main(folder: str) -> None:
    subject = MeasuredPackage(Path(folder), "cpu")
    deviation = verify_shape(subject, SHAPE, torch.float32, **TRITON)
    calls = calls_of(subject, Work(subject, SHAPE, torch.float32, subject.operator, **TRITON), launches=True)
    found = {call.kernel.name: [list(each) for each in call.candidates()] for call in calls}
    start = subject.kernels.Launcher.start

    def short(this: object, sizes: object, tensors: object, row: object) -> None:
        """Launches the kernel, but for one launch does nothing."""
        if tuple(row)[1:] != SHORT:  # type: ignore[arg-type]
            start(this, sizes, tensors, row)

    subject.kernels.Launcher.start = short
    ready = {"main": [RIGHT, SHORT], "post": [RIGHT, SHORT]}
    rows = list(try_candidates(subject, SHAPE, torch.float32, Clock(), ready, **TRITON))
    print(json.dumps({"passed": deviation.passed, "error": deviation.error, "candidates": found, "rows": rows}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
