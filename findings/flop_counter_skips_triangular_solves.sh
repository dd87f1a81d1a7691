#!/usr/bin/env bash
# torch 2.13.0, CPU. torch.utils.flop_counter.FlopCounterMode counts 0 for a triangular solve, and for its backward pass the matrix product
# that the backward pass makes beside a second solve. One would expect n² m for the solve of an n × n system with m right sides: the
# chunk form of every delta rule is one such solve, and its cost is missing from the sum without a word. (The compiler's cost counts solves in
# a line of their own for that reason.)
# Seen: forward 0, forward and backward 65536 (2 n² m of one product), product of the same size 65536.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.utils.flop_counter import FlopCounterMode

n, m = 32, 32
torch.manual_seed(0)
lower = torch.eye(n) + 0.1 * torch.randn(n, n).tril(-1)
right = torch.randn(n, m)


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def solve(gradients):
    a, b = lower.clone().requires_grad_(gradients), right.clone().requires_grad_(gradients)
    x = torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True)
    if gradients:
        x.sum().backward()


found = counted(lambda: solve(False)), counted(lambda: solve(True)), counted(lambda: lower @ right)
print("torch", torch.__version__, "forward", found[0], "forward and backward", found[1], "product of the same size", found[2])
assert found == (0, 2 * n * n * m, 2 * n * n * m), "torch counts triangular solves otherwise now"
PY
