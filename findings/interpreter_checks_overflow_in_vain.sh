#!/usr/bin/env bash
# Triton 3.7.1, its interpreter, CPU. Every sum, difference and product of int32 tiles is computed a second time in int64 and compared with
# the ends of int32, and the result goes to device_assert, which returns at once: InterpreterOptions has sanitize_overflow = True and
# debug = False. So nothing is asserted, and integers take many times as long.
# Seen: 2147483647 + 1 gives -2147483648 without a word; a kernel of additions takes 13 times as long with the check as without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 triton==3.7.1
cat > "$folder/add.py" <<'PY'
import time

import torch
import triton
import triton.language as tl
from triton.runtime import interpreter


@triton.jit
def add(x_ptr, y_ptr, o_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x, y = tl.load(x_ptr + i), tl.load(y_ptr + i)
    for _ in range(200):
        o = x + y
    tl.store(o_ptr + i, o)


def seconds():
    begin = time.perf_counter()
    add[(1,)](x, y, o, 16)
    return time.perf_counter() - begin


x = torch.full((16,), 2**31 - 1, dtype=torch.int32)
y, o = torch.ones_like(x), torch.empty_like(x)
checked = min(seconds() for _ in range(5))
type(interpreter.interpreter_semantic).binary_op_sanitize_overflow_impl = lambda *_: None
ratio = checked / min(seconds() for _ in range(5))
print("triton", triton.__version__, "2147483647 + 1 =", o[0].item(), f"with the check {ratio:.1f} times as long")
assert o[0].item() == -(2**31)
assert ratio > 3
PY
TRITON_INTERPRET=1 "$folder/venv/bin/python" "$folder/add.py"
