#!/usr/bin/env bash
# torch 2.13.0, CPU. A layer norm ignores a constant that is added to a row, so its gradient sums to 0 over the row. That of
# functional.layer_norm misses 0 by as many digits as the row's mean has more than its spread: its backward pass multiplies the row as it
# is, and not less its mean. One would expect what autograd makes of the formula, (x − mean) / √variance, whose sums stay at 1e-15. Where
# a large gradient meets the sum behind it, a layer in float64 is off by 1e-8. Taking the mean off before the operator mends it.
# Seen: largest sum over a row at 10⁶ with spread 1, float64: operator 3e-08, formula 4e-15, operator after the mean is taken off 4e-15.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.nn import functional

torch.manual_seed(0)
x = (1e6 + torch.randn(1000, 4, dtype=torch.float64)).requires_grad_()
slope = torch.randn(1000, 4, dtype=torch.float64)


def centered(x):
    return x - x.mean(-1, keepdim=True)


def formula(x):
    return centered(x) / (centered(x).square().mean(-1, keepdim=True) + 1e-5).sqrt()


def largest_sum(function):
    (gradient,) = torch.autograd.grad(function(x), x, slope)
    return gradient.sum(-1).abs().max().item()


found = [largest_sum(f) for f in (lambda x: functional.layer_norm(x, (4,)), formula, lambda x: functional.layer_norm(centered(x), (4,)))]
print("torch", torch.__version__, "operator, formula, operator of a centered row:", *(f"{each:.0e}" for each in found))
assert found[0] > 1e4 * max(found[1:]), "the gradients of layer_norm sum to 0 now"
PY
