#!/usr/bin/env bash
# torch 2.13.0, CPU. A bfloat16 tensor that is cast to float32 in several places gets the sum of the places' gradients in bfloat16: each is
# rounded by the cast's backward pass, then they are added one after another in bfloat16. One cast that is shared sums in float32 and rounds
# once. One would expect the documentation of autograd or of mixed precision to say so: 512 uses of one parameter lose half of its gradient.
# Seen: 512 uses with gradient 1 each: separate casts 256, one shared cast 512.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch

uses = 512


def gradient(loss):
    x = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    loss(x).backward()
    return x.grad.item()


def separate(x):
    return torch.stack([x.float() for _ in range(uses)]).sum()


def shared(x):
    wide = x.float()
    return torch.stack([wide for _ in range(uses)]).sum()


found = gradient(separate), gradient(shared)
print("torch", torch.__version__, "separate casts", found[0], "one shared cast", found[1])
assert found == (256.0, 512.0), "gradients of casts are summed otherwise now"
PY
