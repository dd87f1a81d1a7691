#!/usr/bin/env bash
# torch 2.11.0, CPU. A function rounds its input to autocast's type where autocast is on. It asks in three ways, each of which gives a constant:
# torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.amp.is_autocast_available("cpu"), which the second needs on devices
# that may have no autocast. torch.compile knows the first two; one would expect it to know the third.
# Seen: with fullgraph=True the first two compile and the third is refused, "Dynamo does not know how to trace the builtin"; without
# fullgraph it ends the graph at every call, with a warning that is shown once: in a language model at every norm. torch 2.13 compiles all three.
# Remedy: ask when the module is imported, and keep the answers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6
cat > "$folder/ask.py" <<'PY'
import sys

import torch


def enabled(x):
    return x.bfloat16() if torch.is_autocast_enabled("cpu") else x + 1


def dtype(x):
    return x.to(torch.get_autocast_dtype("cpu"))


def available(x):
    return x.bfloat16() if torch.amp.is_autocast_available("cpu") else x + 1


def graphs(function):
    made = []

    def backend(module, _):
        made.append(module)
        return module.forward

    def twice(x):
        return function(function(x).float())

    torch._dynamo.reset()
    torch.compile(twice, backend=backend)(torch.ones(2))
    return len(made)


def whole(function):
    torch._dynamo.reset()
    try:
        torch.compile(function, backend="eager", fullgraph=True)(torch.ones(2))
    except torch._dynamo.exc.Unsupported as error:
        return "builtin" if "is_autocast_available" in str(error) else f"refused: {str(error)[:100]}"
    return "one graph"


print("torch", torch.__version__, file=sys.stderr)
print("; ".join(f"{function.__name__} {whole(function)}, {graphs(function)}" for function in (enabled, dtype, available)))
PY
seen=$("$folder/venv/bin/python" -W ignore "$folder/ask.py")
[ "$seen" = "enabled one graph, 1; dtype one graph, 1; available builtin, 2" ] || { echo "this has changed: $seen" >&2; exit 1; }
