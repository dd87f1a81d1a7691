"""Checks on tied rows: both rows exist, and have the same channels."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.elements.optimizer import GradientDescent
from miras_compiler.errors import Fault
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.ties import RETAINED, Tie

CHANNELS = {"q": "key", "k": "key", "v": "value", "erase_key": "key", "erase_write_key": "key"}


def tied_row(spec: Spec) -> Iterator[Fault]:
    """Every row under `layer.tie`."""
    descent = spec.optimizer if isinstance(spec.optimizer, GradientDescent) else GradientDescent()
    rows = set(CHANNELS) if descent.erase_key else {"q", "k", "v"}
    for name, tie in spec.layer.tie.items():
        path = ("layer", "tie", name)
        absent = [row for row in (name, tie.of) if row in CHANNELS and row not in rows]
        if absent:
            why = f"the operator takes no {absent[0]}"
            yield Fault(path, f"the row '{name}' is tied to '{tie.of}'", why, "set optimizer.erase_key: true, or remove the tie")
        elif descent.steps > 1:
            yield Fault(path, f"the row '{name}' is tied", "a token has several writes, each with a row of its own", "remove the tie")
        else:
            yield from _source_of(spec, name, tie)


def _source_of(spec: Spec, name: str, tie: Tie) -> Iterator[Fault]:
    path = ("layer", "tie", name, "of")
    tied = f"the row '{name}' is tied to '{tie.of}'"
    if tie.of == RETAINED:
        alpha = spec.gates.get("alpha")
        if CHANNELS[name] == "value" or alpha is None or alpha.per != "key_channel":
            why = "that is a number per key channel only where alpha is one"
            yield Fault(path, tied, why, "tie a key, and say `per: key_channel` at gates.alpha")
    elif tie.of == name:
        if tie.gate is None:
            yield Fault(
                path, tied, "a row tied to itself stays the same", f"give a gate: `{name}: {{of: {name}, gate: {{}}}}`, or remove the tie"
            )
    elif CHANNELS[tie.of] != CHANNELS[name]:
        yield Fault(path, tied, "one has key channels and the other value channels", "tie keys to keys")
    elif tie.of in spec.layer.tie:
        yield Fault(path, tied, "that row is tied itself", "tie both to the row, or to 1 - alpha, that they are made of")
