#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: torch.compile and torch.export trace a length as a symbol. One would expect `len(x)` to be the symbol that `x.shape[0]`
# is, and `for i in range(0, T, 64)` to be traced as the while loop that does the same. Both freeze the length: `len(x)` is the number of
# the example, so that Dim.DYNAMIC is refused, and Dim.AUTO exports that number without a word; with `range` every length of a sequence has
# a graph of its own, where the while loop has one for each number of turns (and one for the first length, which is taken as it is).
# Seen: x.shape[0] keeps a symbol, len(x) gives UserError (Constraints violated) and, with AUTO, 3; over the lengths 16 25 19 70 17 `range`
# makes 5 graphs, `while` 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/lengths.py" <<'PY'
import torch
from torch.export import Dim, export


class Shape(torch.nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[0])[:, None]


class Len(torch.nn.Module):
    def forward(self, x):
        return x + torch.arange(len(x))[:, None]


def exported(module, dim):
    try:
        program = export(module, (torch.ones(3, 4),), dynamic_shapes={"x": {0: dim}})
    except torch._dynamo.exc.UserError as error:
        return str(error).split("!")[0]
    (placeholder,) = (node for node in program.graph.nodes if node.op == "placeholder")
    size = str(placeholder.meta["val"].shape[0])
    return size if size.isdigit() else "a symbol"


def by_range(x):
    return [x[:, i : i + 64].sum(1) for i in range(0, x.shape[1], 64)]


def by_while(x):
    i, sums = 0, []
    while i < x.shape[1]:
        sums.append(x[:, i : i + 64].sum(1))
        i += 64
    return sums


def graphs(function):
    made = []
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend=lambda graph, _: made.append(graph) or graph.forward)
    for length in (16, 25, 19, 70, 17):
        compiled(torch.ones(2, length))
    return len(made)


found = [exported(module, dim) for module in (Shape(), Len()) for dim in (Dim.DYNAMIC, Dim.AUTO)] + [graphs(by_range), graphs(by_while)]
print("torch", torch.__version__, *found, sep=" | ")
assert found == ["a symbol", "a symbol", "Constraints violated (L['x'].size()[0])", "3", 5, 3], found
PY
"$folder/venv/bin/python" "$folder/lengths.py"
