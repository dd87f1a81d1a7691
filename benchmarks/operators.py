"""Time and peak memory of generated operators on one GPU, without peers: operators.py PACKAGE…  (B8 T4096 H16 D64, bfloat16, medians).

Packages of gpu_packages.sh: the hidden width is that of the folder's name, n64_… or n256_….
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import torch
from triton.testing import do_bench

B, T, H, D = 8, 4096, 16, 64


def measure(package: Path) -> str:
    sys.path.insert(0, str(package.parent))
    for module in [module for module in sys.modules if module.split(".")[0] == package.name]:
        del sys.modules[module]
    operator = getattr(importlib.import_module(package.name), f"chunk_{package.name}")
    sys.path.pop(0)
    hidden = 256 if "n256" in str(package) else 64
    torch.manual_seed(0)
    before = torch.cuda.memory_allocated()
    with torch.device("cuda"):
        q, k, v = (torch.nn.functional.normalize(torch.randn(B, T, H, D), dim=-1).bfloat16() for _ in range(3))
        rows = torch.rand(3, B, T, H)
        gates = {
            "log_alpha": -0.1 * rows[0], "eta": 0.003 * rows[1], "log_mu": -rows[2] - 0.1, "delta": rows[2] + 0.5,
            "ln_weight": torch.ones(H, D), "ln_bias": torch.zeros(H, D),
        }  # fmt: skip
        state = {"W1": torch.randn(B, H, D, hidden) / D**0.5, "W2": torch.randn(B, H, hidden, D) / hidden**0.5}
        d_o = torch.randn(B, T, H, D).bfloat16()
    gates = {name: gates[name] for name in inspect.signature(operator).parameters if name in gates}
    options = {} if package.name == "gated_delta_net" else {"initial_state": state}
    leaves = [x.requires_grad_() for x in (q, k, v, *gates.values(), *(state.values() if options else ()))]

    def forward() -> torch.Tensor:
        return operator(q, k, v, **gates, **options)[0]

    def both() -> None:
        forward().backward(d_o)

    both()
    for leaf in leaves:
        leaf.grad = None
    torch.cuda.reset_peak_memory_stats()
    both()
    peak = (torch.cuda.max_memory_allocated() - before) / 2**30
    times = [do_bench(run, warmup=50, rep=200, return_mode="median", grad_to_none=leaves) for run in (forward, both)]
    return f"{package!s:40s} forward {times[0]:7.3f} ms  both {times[1]:7.3f} ms  peak {peak:5.2f} GiB"


if __name__ == "__main__":
    print(torch.cuda.get_device_name(), "torch", torch.__version__, flush=True)
    for each in sys.argv[1:]:
        print(measure(Path(each)), flush=True)
        torch.cuda.empty_cache()
