"""A program: checks a package's kernels in bfloat16 in Triton's interpreter, which by itself cuts digits off and multiplies bits.

    TRITON_INTERPRET=1 python tests/kit/bf16_interpreter.py PACKAGE WIDTH SEED

prints the error and the limit of every output and gradient, for correlated keys without decay. A GPU has these errors to a few percent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from miras_compiler.bench.precision import LIMITS, lowered, own_error_of, rms, run
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape
from miras_compiler.models import open_package, part_of

BFLOAT16 = torch.bfloat16
plain_cast = InterpreterBuilder.cast_impl


def widened(x: TensorHandle) -> Any:
    """Numbers that NumPy can compute with; bfloat16 lies in 16-bit integers."""
    return (x.data.astype(np.uint32) << 16).view(np.float32) if x.dtype.scalar == tl.bfloat16 else x.data


def cast(self: InterpreterBuilder, x: TensorHandle, target: Any, *_: Any) -> TensorHandle:
    if target.scalar == tl.float32 and x.dtype.scalar == tl.bfloat16:
        return TensorHandle(widened(x), tl.float32)
    if target.scalar == tl.bfloat16 and x.dtype.scalar == tl.float32:
        rounded = torch.from_numpy(np.ascontiguousarray(x.data)).to(BFLOAT16).view(torch.int16).numpy()
        return TensorHandle(rounded.view(np.uint16).reshape(x.data.shape), tl.bfloat16)
    return plain_cast(self, x, target)


def dot(_: InterpreterBuilder, a: TensorHandle, b: TensorHandle, c: TensorHandle, precision: Any, *__: Any) -> TensorHandle:
    """tf32 cuts off the last 13 bits."""
    left, right = (np.ascontiguousarray(widened(x), dtype=np.float32) for x in (a, b))
    if str(precision).endswith("TF32"):
        left, right = ((x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for x in (left, right))
    return TensorHandle(np.matmul(left, right) + c.data, c.dtype.scalar)


def main(package: str, width: str, seed: str) -> None:
    InterpreterBuilder.cast_impl, InterpreterBuilder.create_fp_to_fp, InterpreterBuilder.create_dot = cast, cast, dot
    subject = MeasuredPackage(Path(package), "cpu")
    vars(part_of(open_package(Path(package)), "runtime_dispatch"))["MISREAD"] = ()
    shape = Shape(2, 3 * subject.tile + 5, 2, int(width), int(width), 0)
    inputs = subject.inputs(shape, Regime(1.0, 0.0, 0.3), BFLOAT16, int(seed))
    state = subject.state(2, shape, int(seed) + 100)
    expected, own = run(subject.reference, inputs, state), own_error_of(subject, inputs, state, BFLOAT16)
    found = run(subject.operator, lowered(inputs, BFLOAT16), state, backend="triton")
    least, factor = LIMITS[BFLOAT16]
    print(json.dumps({name: (rms(found[name], x), max(least, factor * rms(own[name], x))) for name, x in expected.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
