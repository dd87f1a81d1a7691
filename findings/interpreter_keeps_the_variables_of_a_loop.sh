#!/usr/bin/env bash
# Triton 3.7.1, its interpreter and its compiler, no GPU. A variable that a loop assigns first is there behind the loop in the interpreter, as in
# Python; the compiler, for which a loop may have no turn, says that it is not defined. A kernel that passes its tests in the interpreter so
# may not compile. Where the number of turns is a constant, too.
# Seen: the interpreter gives the last element, 4.0; for sm_90, NameError('x is not defined'), for turns that are an argument and for 5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 triton==3.7.1
cat > "$folder/last.py" <<'PY'
import os

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def by_argument(x_ptr, o_ptr, N):
    for i in tl.range(N):
        x = tl.load(x_ptr + i)
    tl.store(o_ptr, x)


@triton.jit
def by_constant(x_ptr, o_ptr, N):
    for i in tl.range(5):
        x = tl.load(x_ptr + i)
    tl.store(o_ptr, x)


for kernel in (by_argument, by_constant):
    if os.environ.get("TRITON_INTERPRET") == "1":
        x, o = torch.arange(5.0), torch.zeros(1)
        kernel[(1,)](x, o, 5)
        print("triton", triton.__version__, kernel.fn.__name__, "interpreter:", o.item())
        assert o.item() == 4.0
        continue
    source = ASTSource(kernel, {"x_ptr": "*fp32", "o_ptr": "*fp32", "N": "i32"})
    told = ""
    try:
        triton.compile(source, target=GPUTarget("cuda", 90, 32))
    except Exception as problem:
        told = str(problem).splitlines()[-1]
    print("triton", triton.__version__, kernel.fn.__name__, "compiler:", told or "compiles")
    assert "x is not defined" in told
PY
for interpret in 1 0; do TRITON_INTERPRET=$interpret "$folder/venv/bin/python" "$folder/last.py"; done
