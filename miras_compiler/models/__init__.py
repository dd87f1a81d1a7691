"""Compiled packages, opened from their folders: the module, its manifest, its Hugging Face classes."""

from __future__ import annotations

from miras_compiler.models.classes import model_classes
from miras_compiler.models.manifest import MANIFEST, Manifest, read_manifest
from miras_compiler.models.package import open_package, opened, part_of

__all__ = ["MANIFEST", "Manifest", "model_classes", "open_package", "opened", "part_of", "read_manifest"]
