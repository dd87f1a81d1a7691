#!/usr/bin/env bash
# torch 2.13.0, CPU. An operator made by torch.library.custom_op whose gradient is given by register_autograd, the documented way, is
# differentiated by torch.autograd but not by torch.func: torch.func.grad raises a RuntimeError that asks for a setup_context staticmethod,
# although setup_context was given to register_autograd. Per-sample gradients (vmap of grad) of a model with such an operator fail alike.
# One would expect both to work, or the error to name register_autograd. An autograd.Function with setup_context around the operator works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch
from torch import Tensor


@torch.library.custom_op("finding::double", mutates_args=())
def double(x: Tensor) -> Tensor:
    return 2 * x


double.register_fake(lambda x: torch.empty_like(x))
double.register_autograd(lambda ctx, gradient: 2 * gradient, setup_context=lambda ctx, inputs, output: None)

x = torch.ones(3, requires_grad=True)
(by_autograd,) = torch.autograd.grad(double(x).sum(), x)
assert torch.equal(by_autograd, torch.full((3,), 2.0))
try:
    torch.func.grad(lambda x: double(x).sum())(torch.ones(3))
except RuntimeError as problem:
    print("torch", torch.__version__, "torch.autograd.grad: 2; torch.func.grad:", str(problem).splitlines()[0][:160])
    assert "setup_context" in str(problem), "the error is another one now"
else:
    raise SystemExit("torch.func.grad takes such operators now")
PY
