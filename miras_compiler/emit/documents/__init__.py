"""The documents of a package, for people and for tools: derivation, manifest, the normalized spec."""

from __future__ import annotations

from miras_compiler.emit.backend import Derived, Scheduled
from miras_compiler.emit.documents.derivation import emit_derivation
from miras_compiler.emit.documents.manifest import emit_manifest


def emit_derivation_file(given: Derived) -> dict[str, str]:
    """derivation.md."""
    return {"derivation.md": emit_derivation(given.rule, given.form, given.program)}


def emit_facts(given: Scheduled) -> dict[str, str]:
    """manifest.json and spec.yaml."""
    return {"manifest.json": emit_manifest(given), "spec.yaml": given.frame.normal_form}
