"""manifest.json: facts about a package, for tools."""

from __future__ import annotations

import json

from miras_compiler.emit.backend import Scheduled
from miras_compiler.gpus.launch_table import forms_of
from miras_compiler.models.manifest import Manifest
from miras_compiler.spec import digest
from miras_compiler.version import __version__


def emit_manifest(given: Scheduled) -> str:
    """Text of manifest.json."""
    spec, interface, form = given.spec, given.interface, given.form
    schedule = "chunk" if given.schedule else "chunk_walk" if given.starts else "walk"
    content: Manifest = {
        "name": spec.name,
        "digest": digest(spec),
        "compiler_version": __version__,
        "paper": spec.paper,
        "dims": {
            "H": spec.layer.value_heads,
            "K": spec.key_dim,
            "V": spec.value_dim,
            **({"N": spec.hidden_dim} if spec.hidden_dim else {}),
        },
        "inputs": [{"name": a.name, "axes": list(a.axes), "role": a.role, "domain": a.domain} for a in interface.inputs],
        "state": [{"name": entry.name, "axes": list(entry.axes)} for entry in interface.state],
        "parallel_form": {"kind": form.kind, "reason": form.reason, "exact": form.exact},
        "chunk": spec.chunk.model_dump(mode="json"),
        "cost": [{"what": line.what, "value": line.value, "unit": line.unit} for line in given.cost],
        "ops": {operator: f"{operator}_{spec.name}" for operator in ("naive_recurrent", "chunk", "fused_recurrent")},
        "kernels": {"triton": True, "schedule": schedule, "reason": given.why_no_tiles, "form": forms_of(spec)[0]},
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
