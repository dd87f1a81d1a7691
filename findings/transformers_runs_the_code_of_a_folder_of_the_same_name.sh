#!/usr/bin/env bash
# transformers 5.6.2, torch 2.13.0, CPU, one process. Two models with code of their own lie in folders of one name, a/checkpoint-1 and
# b/checkpoint-1, as the Trainer leaves them. Their configurations, weights and entry files are the same; the file that the entry file imports
# differs: it multiplies the weight, 1, by 1 or by 2. AutoModel loads both with trust_remote_code. One would expect each to run the code of
# its own folder.
# Seen: a and b both give 1.0, without a word; b alone, in a process of its own, gives 2.0. Code is kept by the last part of the path.
# Remedy: folders of different names, or a process for each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 transformers==5.6.2
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

from .factor import FACTOR


class OwnConfig(PretrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def forward(self):
        return FACTOR * self.weight
'''
for name, factor in (("a", 1), ("b", 2)):
    place = Path(name, "checkpoint-1")
    place.mkdir(parents=True)
    (place / "entry.py").write_text(ENTRY)
    (place / "factor.py").write_text(f"FACTOR = {factor}\n")
    auto = {"AutoConfig": "entry.OwnConfig", "AutoModel": "entry.OwnModel"}
    (place / "config.json").write_text(json.dumps({"model_type": "own", "architectures": ["OwnModel"], "auto_map": auto}))
    save_file({"weight": torch.ones(1)}, place / "model.safetensors", metadata={"format": "pt"})
PY
cat > load.py <<'PY'
import sys

import transformers
from transformers import AutoModel

found = [AutoModel.from_pretrained(f"{name}/checkpoint-1", trust_remote_code=True)().item() for name in sys.argv[1:]]
print("transformers", transformers.__version__, dict(zip(sys.argv[1:], found)), file=sys.stderr)
print(*found)
PY
"$folder/venv/bin/python" make.py
together=$("$folder/venv/bin/python" load.py a b)
rm -rf "$folder/home"  # where the code of the first process is kept
alone=$("$folder/venv/bin/python" load.py b)
[ "$together" = "1.0 1.0" ] || { echo "each runs its own code now: $together" >&2; exit 1; }
[ "$alone" = "2.0" ] || { echo "b does not run its own code, even alone: $alone" >&2; exit 1; }
