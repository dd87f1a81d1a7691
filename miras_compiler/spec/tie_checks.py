"""Checks on the rows of a layer: tied ones exist and have the same channels, and one write of several may have zeros."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.elements.optimizer import GradientDescent
from miras_compiler.errors import Fault, Path
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.ties import RETAINED, ZERO, Tie, TieTerm

CHANNELS = {"q": "key", "k": "key", "v": "value", "erase_key": "key", "erase_write_key": "key"}


def skipped_values(spec: Spec) -> Iterator[Fault]:
    """The skip adds the one value of a token."""
    if spec.layer.skip and isinstance(spec.optimizer, GradientDescent) and spec.optimizer.steps > 1:
        why = "a token has a value for every write, and no paper says which is added"
        yield Fault(("layer", "skip"), "a skip with several writes", why, "leave skip out, or set optimizer.steps: 1")


def tied_row(spec: Spec) -> Iterator[Fault]:
    """Every row under `layer.tie`."""
    descent = spec.optimizer if isinstance(spec.optimizer, GradientDescent) else GradientDescent()
    for name, tie in spec.layer.tie.items():
        path: Path = ("layer", "tie", name)
        if ZERO in (tie.of, *(term.of for term in tie.plus)) or tie.write is not None:
            yield from _zeros(name, tie, descent.steps)
        elif descent.steps > 1:
            why = "a token has several writes, each with a row of its own"
            yield Fault(path, f"the row '{name}' is tied", why, "remove the tie, or give one write zeros: `v: {of: zero, write: 1}`")
        else:
            for number, term in enumerate(tie.terms):
                yield from _term(spec, name, term, (*path, "plus", number - 1) if number else path, descent.erase_key)


def _zeros(name: str, tie: Tie, steps: int) -> Iterator[Fault]:
    """The values of one write of several may be zeros, and nothing else is said of them."""
    path, tied = ("layer", "tie", name), f"the row '{name}' is tied to '{tie.of}'"
    if tie.of != ZERO:
        zero = any(term.of == ZERO for term in tie.plus)
        why = "a term of zeros adds nothing" if zero else "only zeros are those of one write"
        key, remedy = ("plus", "remove the term") if zero else ("write", "leave write out, or say `of: zero`")
        yield Fault((*path, key), tied, why, remedy)
    elif name != "v":
        yield Fault((*path, "of"), tied, "a write at a key of zeros changes nothing", "say it of v, or remove the tie")
    elif steps == 1:
        why = "a token has one write, and the memory would hold nothing"
        yield Fault((*path, "of"), tied, why, "set optimizer.steps: 2, or remove the tie")
    elif tie.write is None:
        yield Fault((*path, "of"), tied, "a token has several writes", "say which: `{of: zero, write: 1}`")
    elif tie.write > steps:
        yield Fault((*path, "write"), f"there is no write {tie.write}", f"a token has {steps} (optimizer.steps)", f"say 1 to {steps}")
    else:
        for key in ("plus", "lag", "minus", "gate"):
            if getattr(tie, key):
                yield Fault((*path, key), tied, "zeros have neither a gate nor a lag, a sign or further terms", f"leave {key} out")


def _term(spec: Spec, name: str, term: TieTerm, path: Path, erases: bool) -> Iterator[Fault]:
    """A term of a row: a row of the operator with the same channels, that is not tied itself."""
    rows = set(CHANNELS) if erases else {"q", "k", "v"}
    tied = f"the row '{name}' is tied to '{term.of}'"
    absent = [row for row in (name, term.of) if row in CHANNELS and row not in rows]
    if absent:
        yield Fault(path, tied, f"the operator takes no {absent[0]}", "set optimizer.erase_key: true, or remove the tie")
    elif term.of == RETAINED:
        alpha = spec.gates.get("alpha")
        if CHANNELS[name] == "value" or alpha is None or alpha.per != "key_channel":
            why = "that is a number per key channel only where alpha is one"
            yield Fault((*path, "of"), tied, why, "tie a key, and say `per: key_channel` at gates.alpha")
    elif term.of == name:
        if term == Tie(of=term.of):
            remedy = f"give a gate: `{name}: {{of: {name}, gate: {{}}}}`, a lag: `lag: 1`, or remove the tie"
            yield Fault((*path, "of"), tied, "a row tied to itself stays the same", remedy)
    elif CHANNELS[term.of] != CHANNELS[name]:
        yield Fault((*path, "of"), tied, "one has key channels and the other value channels", "tie keys to keys")
    elif term.of in spec.layer.tie:
        yield Fault((*path, "of"), tied, "that row is tied itself", "tie both to the row, or to 1 - alpha, that they are made of")
