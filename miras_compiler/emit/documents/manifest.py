"""manifest.json: facts about a package, for tools."""

from __future__ import annotations

import json

from miras_compiler.emit.backend import Scheduled
from miras_compiler.models.manifest import Manifest
from miras_compiler.schedule.forms import forms_of
from miras_compiler.version import __version__


def emit_manifest(given: Scheduled) -> str:
    """Text of manifest.json."""
    frame, interface, form = given.frame, given.interface, given.form
    schedule = "chunk" if given.schedule else "chunk_walk" if given.starts else "walk"
    content: Manifest = {
        "name": frame.name,
        "digest": frame.digest,
        "compiler_version": __version__,
        "paper": frame.paper,
        "dims": {
            "H": frame.layer.value_heads,
            "K": frame.key_dim,
            "V": frame.value_dim,
            **({"N": frame.hidden_dim} if frame.hidden_dim else {}),
        },
        "inputs": [{"name": a.name, "axes": list(a.axes), "role": a.role, "domain": a.domain} for a in interface.inputs],
        "state": [{"name": entry.name, "axes": list(entry.axes)} for entry in interface.state],
        "parallel_form": {"kind": form.kind, "reason": form.reason, "exact": form.exact},
        "chunk": dict(given.rule.chunk.stated),
        "cost": [{"what": line.what, "value": line.value, "unit": line.unit} for line in given.cost],
        "ops": {operator: f"{operator}_{frame.name}" for operator in ("naive_recurrent", "chunk", "fused_recurrent")},
        "kernels": {"triton": True, "schedule": schedule, "reason": given.why_no_tiles, "form": forms_of(given.rule)[0]},
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
