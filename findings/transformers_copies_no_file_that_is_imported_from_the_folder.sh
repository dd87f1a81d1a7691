#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, CPU. A folder holds a model with code of its own: entry.py, which the configuration names, imports `rows` from
# the file rows.py beside it, and rows.py imports the file steps.py beside it. Python takes `from . import steps` and
# `from .steps import STEPS` alike; one would expect AutoModel with trust_remote_code to do so, too.
# Seen: with `from .steps import STEPS` the model loads and gives 2.0. With `from . import steps` ImportError says that the name cannot be
# imported: steps.py is not among the files that were copied. Files are found by the text of imports that name them behind the dot.
# Remedy: name the file in every import, `from .steps import …`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 transformers==5.24.0
cd "$folder"
export HF_HOME="$folder/home" HF_HUB_OFFLINE=1
cat > make.py <<'PY'
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

ENTRY = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel

from .rows import rows


class OwnConfig(PretrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def forward(self):
        return rows(self.weight)
'''
KINDS = {
    "named": "from .steps import STEPS\n\n\ndef rows(x):\n    return STEPS * x\n",
    "folder": "from . import steps\n\n\ndef rows(x):\n    return steps.STEPS * x\n",
}
for name, code in KINDS.items():
    place = Path(name)
    place.mkdir()
    (place / "entry.py").write_text(ENTRY)
    (place / "rows.py").write_text(code)
    (place / "steps.py").write_text("STEPS = 2\n")
    auto = {"AutoConfig": "entry.OwnConfig", "AutoModel": "entry.OwnModel"}
    (place / "config.json").write_text(json.dumps({"model_type": "own", "architectures": ["OwnModel"], "auto_map": auto}))
    save_file({"weight": torch.ones(1)}, place / "model.safetensors", metadata={"format": "pt"})
PY
cat > load.py <<'PY'
import sys

from transformers import AutoModel

try:
    print(AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)().item())
except ImportError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    print("ImportError" if "steps" in str(error) else "another error")
PY
"$folder/venv/bin/python" make.py
named=$("$folder/venv/bin/python" load.py named)
whole=$("$folder/venv/bin/python" load.py folder)
[ "$named" = "2.0" ] || { echo "a file that an import names is not copied: $named" >&2; exit 1; }
[ "$whole" = "ImportError" ] || { echo "a file that is imported from the folder is copied now: $whole" >&2; exit 1; }
