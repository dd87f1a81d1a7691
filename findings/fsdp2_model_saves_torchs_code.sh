#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, CPU, one process. A model whose class is registered for remote code (register_for_auto_class) is sharded
# by fully_shard, as the Trainer does under FSDP2, and saved with all its weights. fully_shard gives the model a class of its own, defined in
# torch.distributed.fsdp; save_pretrained takes that class's file for the model's code. One would expect the model's own file in auto_map.
# Seen: auto_map names _fsdp_init.FSDPOwnModel, seven files of torch lie in the folder, and AutoModel cannot load it. Every checkpoint of the
# Trainer under FSDP2 is so. Remedy: save the gathered weights through an unsharded model on the meta device.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 transformers==5.24.0
mkdir "$folder/package"
touch "$folder/package/__init__.py"
cat > "$folder/package/own_model.py" <<'PY'
import torch
from transformers import PreTrainedConfig, PreTrainedModel


class OwnConfig(PreTrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.projection = torch.nn.Linear(4, 4)
        self.post_init()


OwnConfig.register_for_auto_class()
OwnModel.register_for_auto_class("AutoModel")
PY
cd "$folder"
MASTER_ADDR=127.0.0.1 MASTER_PORT=29655 "$folder/venv/bin/python" - <<'PY'
import json
import os

import torch
import transformers
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from package.own_model import OwnConfig, OwnModel

torch.distributed.init_process_group("gloo", rank=0, world_size=1)
saved = {}
for name in ("whole", "sharded"):
    model = OwnModel(OwnConfig())
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    if name == "sharded":
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    model.save_pretrained(name, state_dict=weights)
    with open(f"{name}/config.json") as file:
        saved[name] = json.load(file)["auto_map"]["AutoModel"]
print("transformers", transformers.__version__, "torch", torch.__version__, saved, sorted(os.listdir("sharded")))
torch.distributed.destroy_process_group()
assert saved == {"whole": "own_model.OwnModel", "sharded": "_fsdp_init.FSDPOwnModel"}, "a sharded model is saved with its own code now"
PY
