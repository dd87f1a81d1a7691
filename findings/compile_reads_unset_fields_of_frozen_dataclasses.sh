#!/usr/bin/env bash
# torch 2.13.0, CPU. A frozen dataclass with a field that is never set (field(init=False)), and that no code reads, runs eagerly; a function
# that calls it ends in InternalTorchDynamoError under torch.compile: tracing takes the object apart field by field. The same class without
# frozen=True compiles. One would expect either both or neither: nothing of the call depends on the field.
# Seen: frozen: InternalTorchDynamoError, "'Frozen' object has no attribute 'cache'"; not frozen: [2.0, 2.0].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/unset.py" <<'PY'
import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Frozen:
    factor: float
    cache: object = dataclasses.field(init=False)

    def __call__(self, x):
        return x * self.factor


@dataclasses.dataclass
class Free:
    factor: float
    cache: object = dataclasses.field(init=False)

    def __call__(self, x):
        return x * self.factor


def compiled(scale):
    x = torch.ones(2)
    assert scale(x).tolist() == [2.0, 2.0]
    try:
        return torch.compile(lambda x: scale(x), backend="eager", fullgraph=True)(x).tolist()
    except Exception as problem:
        return f"{type(problem).__name__}: {str(problem).splitlines()[0]}"


found = compiled(Frozen(2.0)), compiled(Free(2.0))
print("torch", torch.__version__, "frozen:", found[0], "not frozen:", found[1])
assert found[0].startswith("InternalTorchDynamoError") and "cache" in found[0], "a frozen dataclass with an unset field compiles now"
assert found[1] == [2.0, 2.0], found[1]
PY
"$folder/venv/bin/python" "$folder/unset.py"
