#!/usr/bin/env bash
# torch 2.13.0, CPU. torch.compile(fullgraph=True) traces loops over itertools.combinations, permutations, product and pairwise of constants.
# Of the same family, combinations_with_replacement alone ends in Unsupported: code that lists the monomials of a degree, which repeat
# factors, falls out of the graph, and code that lists the pairs does not.
# Seen: combinations, permutations, product, pairwise: equal to the eager result; combinations_with_replacement: Unsupported.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/monomials.py" <<'PY'
import itertools

import torch

LISTS = {
    "combinations": lambda: itertools.combinations(range(3), 2),
    "permutations": lambda: itertools.permutations(range(3), 2),
    "product": lambda: itertools.product(range(3), range(3)),
    "pairwise": lambda: itertools.pairwise(range(3)),
    "combinations_with_replacement": lambda: itertools.combinations_with_replacement(range(3), 2),
}


def outcome(pairs):
    def monomials(x):
        return torch.stack([x[i] * x[j] for i, j in pairs()])

    x = torch.arange(1.0, 4.0)
    try:
        return "equal" if torch.compile(monomials, backend="eager", fullgraph=True)(x).equal(monomials(x)) else "different"
    except torch._dynamo.exc.Unsupported:
        return "Unsupported"


found = {name: outcome(pairs) for name, pairs in LISTS.items()}
print("torch", torch.__version__, found)
expected = {**dict.fromkeys(LISTS, "equal"), "combinations_with_replacement": "Unsupported"}
assert found == expected, found
PY
"$folder/venv/bin/python" "$folder/monomials.py"
