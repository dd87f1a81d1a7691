#!/usr/bin/env bash
# Triton 3.7.1, compiled for Hopper (sm_90; no GPU needed). Two products of 64 x 64 tiles, of which the second takes the first as an operand.
# With 4 warps each product is 4 wgmma of m64n64k16. With 8 warps one would expect the same work over two warpgroups, half the columns each,
# as an isolated product has it (warpsPerCTA = [4, 2]). But Triton lays out the first product as [8, 1], 16 rows a warp: 128 rows, where the
# tile has 64. Both warpgroups compute all of it, and 8 warps take as long for it as 4.
# Seen: alone, 8 warps: layouts [4, 2], 4 wgmma of m64n32k16; chained, 8 warps: layouts [4, 2] and [8, 1], 4 + 8 wgmma of m64n32k16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet triton==3.7.1
cat > "$folder/chained.py" <<'PY'
import re

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def alone(a, b, c, out):
    i = tl.arange(0, 64)
    at = i[:, None] * 64 + i[None, :]
    tl.store(out + at, tl.dot(tl.load(a + at), tl.load(b + at)))


@triton.jit
def chained(a, b, c, out):
    i = tl.arange(0, 64)
    at = i[:, None] * 64 + i[None, :]
    first = tl.dot(tl.load(a + at), tl.load(b + at))
    tl.store(out + at, tl.dot(first.to(tl.bfloat16), tl.load(c + at)))


def products(kernel, warps):
    signature = {"a": "*bf16", "b": "*bf16", "c": "*bf16", "out": "*fp32"}
    target = GPUTarget("cuda", 90, 32)
    compiled = triton.compile(ASTSource(kernel, signature=signature), target=target, options={"num_warps": warps})
    layouts = sorted(set(re.findall(r"warpsPerCTA = (\[\d+, \d+\]), instrShape", compiled.asm["ttgir"])))
    return layouts, len(re.findall(r"wgmma\.mma_async\.\S*m64n32k16", compiled.asm["ptx"]))


found = products(alone, 8), products(chained, 8)
print("triton", triton.__version__, "alone:", *found[0], "chained:", *found[1])
assert found[0] == (["[4, 2]"], 4), found[0]
assert found[1] == (["[4, 2]", "[8, 1]"], 12), "a chained product is shared out among eight warps now"
PY
"$folder/venv/bin/python" "$folder/chained.py"
