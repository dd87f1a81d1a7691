"""From YAML or Python to a checked, frozen `Spec`."""

from __future__ import annotations

from miras_compiler.spec.checks import check_spec
from miras_compiler.spec.chunk import Chunk
from miras_compiler.spec.fingerprint import digest, normalized_yaml
from miras_compiler.spec.gates import Gate
from miras_compiler.spec.json_schema import json_schema
from miras_compiler.spec.layer import Layer
from miras_compiler.spec.ledger import LedgerEntry
from miras_compiler.spec.load import build_spec, load_spec, parse_spec
from miras_compiler.spec.model import Attention, Mlp, Model, Values
from miras_compiler.spec.overrides import parse_override
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.ties import Tie, TieGate, TieTerm

__all__ = [
    "Attention", "Chunk", "Gate", "Layer", "LedgerEntry", "Mlp", "Model", "Spec", "Tie", "TieGate", "TieTerm", "Values", "build_spec",
    "check_spec", "digest", "json_schema", "load_spec", "normalized_yaml", "parse_override", "parse_spec",
]  # fmt: skip
