#!/usr/bin/env bash
# torch 2.13.0, CPU, Python 3.11. Eager code that compiles nothing imports torch's compiler and sympy, about 900 modules and a second, at
# the first call of torch.func.grad, of an operator of torch.library.custom_op, and of any operation inside a TorchDispatchMode of one's own.
# One would expect the compiler to be imported by what compiles. A process that forks for each of many small jobs pays it in each; importing
# torch._dynamo before the fork helps.
# Seen: after `import torch` 0 modules of torch._dynamo; after each of the three calls 93, and sympy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
for call in grad operator mode; do
  "$folder/venv/bin/python" - "$call" <<'PY'
import sys
import time

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@torch.library.custom_op("finding::same", mutates_args=())
def same(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


class Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


def inside_a_mode(x):
    with Mode():
        return x + 1


def loaded():
    return sum(name.startswith("torch._dynamo") for name in sys.modules), "sympy" in sys.modules


calls = {"grad": torch.func.grad(lambda x: x.sum()), "operator": same, "mode": inside_a_mode}
assert loaded() == (0, False), f"import torch alone brings them now: {loaded()}"
before, began = len(sys.modules), time.perf_counter()
calls[sys.argv[1]](torch.ones(2))
seconds = time.perf_counter() - began
print("torch", torch.__version__, sys.argv[1], "modules", len(sys.modules) - before, "of torch._dynamo", *loaded(), f"{seconds:.1f} s")
assert loaded()[0] > 50, "the compiler is not imported any more"
assert loaded()[1], "sympy is not imported any more"
PY
done
