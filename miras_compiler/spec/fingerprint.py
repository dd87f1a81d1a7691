"""A spec in its normal form, every default written out, and the digest of that form."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from miras_compiler.spec.schema import Spec
from miras_compiler.spec.ties import ROWS

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])  # the last six for readers of YAML 1.1
LINES = frozenset("\x85\u2028\u2029\ufeff")


def normalized_yaml(spec: Spec) -> str:
    """YAML that loads as the same spec: keys in the order of the schema, gates and tied rows in canonical order, one line per entry."""
    tree = spec.model_dump(mode="json", by_alias=True)
    tree["gates"] = {name: tree["gates"][name] for name in sorted(tree["gates"], key=spec.gate_order)}
    tree["layer"]["tie"] = {name: tree["layer"]["tie"][name] for name in ROWS if name in tree["layer"]["tie"]}
    lines: list[str] = []
    for key, value in tree.items():
        if key == "gates" and value:
            lines += [f"{key}:", *(f"  {name}: {flow(gate)}" for name, gate in value.items())]
        elif key == "ledger" and value:
            lines += [f"{key}:", *(f"  - {flow(entry)}" for entry in value)]
        else:
            lines.append(f"{key}: {flow(value)}")
    return "\n".join(lines) + "\n"


def digest(spec: Spec) -> str:
    """Twelve hexadecimal digits of the normal form."""
    return hashlib.sha256(normalized_yaml(spec).encode()).hexdigest()[:12]


def flow(value: Any) -> str:
    """A value in YAML's flow style, which a reader of JSON's scalars understands too."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return "".join(f"\\u{ord(c):04x}" if c in LINES else c for c in json.dumps(value, ensure_ascii=False))
