"""A small spec as text, and the compiler's message on it."""

from __future__ import annotations

import pytest

from miras_compiler.errors import SpecError
from miras_compiler.spec import Spec, parse_spec

SPEC = """\
name: x
memory: {kind: matrix}
attentional_bias: {kind: l2}
retention: {kind: l2}
gates:
  alpha: {}
  eta: {}
"""


def edited(*edits: tuple[str, str], more: str = "") -> str:
    """SPEC with texts replaced, each of them exactly once there, and lines added (from line 8 on)."""
    text = SPEC
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text + more


def parsed(text: str, **overrides: object) -> Spec:
    """The spec of a file called x.yaml."""
    return parse_spec(text, "x.yaml", overrides)


def told(text: str, overrides: dict[str, object] | None = None) -> list[str]:
    """The lines of the error that the spec raises."""
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "x.yaml", overrides)
    return str(caught.value).split("\n")
