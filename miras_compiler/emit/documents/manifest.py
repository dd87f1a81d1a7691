"""manifest.json: facts about a package, for tools."""

from __future__ import annotations

import json
from collections.abc import Sequence

from miras_compiler.analysis import CostLine, ParallelForm
from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.gpus.launch_table import forms_of
from miras_compiler.models.manifest import Manifest
from miras_compiler.spec import digest
from miras_compiler.version import __version__


def emit_manifest(rule: Rule, interface: Interface, form: ParallelForm, cost: Sequence[CostLine], no_kernels: str) -> str:
    """Text of manifest.json. `no_kernels` says why the rule has no kernels over tiles of tokens, or ""."""
    spec = rule.spec
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
        "cost": [{"what": line.what, "value": line.value, "unit": line.unit} for line in cost],
        "ops": {operator: f"{operator}_{spec.name}" for operator in ("naive_recurrent", "chunk", "fused_recurrent")},
        "kernels": {"triton": True, "schedule": "walk" if no_kernels else "chunk", "reason": no_kernels, "form": forms_of(spec)[0]},
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
