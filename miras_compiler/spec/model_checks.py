"""Checks on the model of a spec that need to know its layer."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.errors import Fault
from miras_compiler.spec.model import HIDDEN_SIZE
from miras_compiler.spec.schema import Spec


def heads_of_model(spec: Spec) -> Iterator[Fault]:
    """Heads share the hidden size evenly; one that nobody chose is rounded to them."""
    hidden, heads = spec.model.hidden_size, spec.model_heads
    if hidden % heads and hidden != HIDDEN_SIZE:
        multiples = f"{hidden // heads * heads} or {(hidden // heads + 1) * heads}" if hidden > heads else f"{heads}"
        yield Fault(("model", "hidden_size"), f"a hidden_size of {hidden} in {heads} heads", "heads share it evenly", f"say {multiples}")


def query_of_context(spec: Spec) -> Iterator[Fault]:
    """MAC asks the memory with queries of their own."""
    if spec.model.wiring == "mac" and spec.chunk.reset is not None:
        why = "it reads a segment of tokens at a time, and no paper says what they find where the memory begins anew among them"
        yield Fault(("model", "wiring"), "the wiring mac with chunk.reset", why, "remove chunk.reset, or take another wiring")
    if spec.model.wiring == "mac" and "q" in spec.layer.tie:
        yield Fault(
            ("model", "wiring"), "the wiring mac with a tied query", "it reads the memory with queries alone", "untie q, or wiring: mag"
        )
