"""One kind of an element in place of another: which keys it keeps, and which gates the rule then reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import Spec
from miras_compiler.spec.parameters import SAMPLES, fields


def with_kind(family: str, written: Any, kind: str) -> dict[str, Any]:
    """The keys of an element that becomes another kind: those that mean the same in both stay, those that it needs are added."""
    new = fields(KINDS[family][kind])
    kept: dict[str, Any] = {"kind": kind}
    if isinstance(written, Mapping) and written.get("kind") in KINDS[family]:
        old = fields(KINDS[family][written["kind"]])
        kept |= {name: value for name, value in written.items() if name != "kind" and name in new and old.get(name) == new[name]}
    return {**kept, **{name: value for name, value in SAMPLES.get((family, kind), {}).items() if name not in kept}}


def gates_read(tree: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The gates that the rule of a tree reads, None where its types are wrong."""
    try:
        return Spec.unchecked(tree).used_gates()
    except ValidationError:
        return None


def tended(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with exactly the gates that its rule reads; as it is where its types are wrong."""
    read, declared = gates_read(tree), tree.get("gates")
    if read is None or not isinstance(declared, Mapping):
        return dict(tree)
    return {**tree, "gates": {name: declared.get(name, {}) for name in read}}
