"""Layers and operators under torch.compile beside eager ones, on one CPU thread; and the least that PyTorch adds to a call.

    python benchmarks/compiled.py gated_delta_net titans_lmm --tokens 64 512

Times are medians of CPU time over calls in turns. `node` is torch's own share: a module whose forward pass is one operator of
torch.library that copies as many tensors as the layer's has arguments, and whose backward pass is another, compiled as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from miras_compiler import compile_spec, load_spec
from miras_compiler.compiler import Compilation

HIDDEN, HEADS = 128, 2


class Node(nn.Module):
    """So many parameters [64, 128], which one operator copies."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(64, HIDDEN) for _ in range(number))

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = copied([x, *self.weights])
        return found[0]


@torch.library.custom_op("miras_benchmark::copied", mutates_args=())
def copied(xs: list[Tensor]) -> list[Tensor]:
    return [x.clone() for x in xs]


copied.register_fake(lambda xs: [torch.empty_like(x) for x in xs])
copied.register_autograd(lambda ctx, slopes: copied(slopes))


def milliseconds(*runs: Callable[[], object], calls: int) -> list[float]:
    """The median CPU time of each function."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(calls + 5):
        for run, found in zip(runs, times, strict=True):
            began = time.process_time()
            run()
            if number >= 5:  # the first compile
                found.append(1e3 * (time.process_time() - began))
    return [statistics.median(found) for found in times]


def forward(run: Callable[[], Tensor]) -> None:
    with torch.no_grad():
        run()


def both(run: Callable[[], Tensor], leaves: list[Tensor]) -> None:
    torch.autograd.grad(run().square().sum(), leaves)


def row(label: str, function: Callable[..., Tensor], given: tuple[Any, ...], leaves: list[Tensor], calls: int) -> None:
    """One line: milliseconds of eager and compiled calls, and their ratio, forward and with the backward pass."""
    torch.compiler.reset()
    runs = [partial(each, *given) for each in (function, torch.compile(function, fullgraph=True))]
    figures = [*milliseconds(*(partial(forward, run) for run in runs), calls=calls)]
    figures += milliseconds(*(partial(both, run, leaves) for run in runs), calls=calls)
    first, second = figures[1] / figures[0], figures[3] / figures[2]
    print(f"{label:<36}" + "".join(f"{x:9.2f}" for x in (*figures[:2], first, *figures[2:], second)), flush=True)


def layer_of(compilation: Compilation) -> Any:
    package = compilation.load()
    kind = next(value for name, value in vars(package).items() if name.endswith("Layer"))
    return kind(HIDDEN, heads=HEADS, head_dim=HIDDEN // HEADS)


def operator_of(layer: Any, name: str, x: Tensor) -> tuple[Callable[..., Tensor], list[Tensor], int]:
    """The call of the layer's operator on its own arguments, the leaves among them, and their number."""
    module, calls = vars(sys.modules[type(layer).__module__]), list[Any]()
    operator = module[f"chunk_{name}"]

    def watched(*given: Any, **named: Any) -> Any:
        calls.append((given, named))
        return operator(*given, **named)

    module[f"chunk_{name}"] = watched
    layer(x)
    module[f"chunk_{name}"] = operator
    (given, named), leaves = calls[0], list[Tensor]()

    def leaf(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: leaf(entry) for key, entry in value.items()}
        if not isinstance(value, Tensor):
            return value
        leaves.append(value.detach().requires_grad_())
        return leaves[-1]

    given, named = tuple(map(leaf, given)), {key: leaf(value) for key, value in named.items()}
    return lambda: operator(*given, **named)[0], leaves, len(leaves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["linear_attention", "gated_delta_net", "yaad", "titans_lmm"])
    parser.add_argument("--tokens", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--calls", type=int, default=25)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, hidden width {HIDDEN}, {HEADS} heads, one sequence, float32\n")
    print(f"{'milliseconds':<36}" + "".join(f"{title:>9}" for title in ("eager", "compiled", "ratio", "eager", "compiled", "ratio")))
    for name in given.names:
        torch.manual_seed(0)
        layer = layer_of(compile_spec(load_spec(name)))
        for tokens in given.tokens:
            x = torch.randn(1, tokens, HIDDEN)
            row(f"{name}, {tokens} tokens", lambda x, layer=layer: layer(x)[0], (x,), list(layer.parameters()), given.calls)
            run, leaves, number = operator_of(layer, name, x)
            row("  its operator alone", run, (), leaves, given.calls)
        node = Node(number - 1)
        row(f"  node of {number} tensors", node, (torch.randn(64, HIDDEN),), list(node.parameters()), given.calls)


if __name__ == "__main__":
    main()
