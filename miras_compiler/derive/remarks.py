"""What the letters of a printed rule stand for where no equation of the page says it."""

from __future__ import annotations

from miras_compiler.derive.chunk_end import waits_for_chunk_end, writes_per_chunk
from miras_compiler.derive.leaves import dual_name, has_erase_key, steps_of, window_of
from miras_compiler.derive.prediction import subscripted
from miras_compiler.elements.optimizer import Muon
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter


def token_remarks(spec: Spec) -> list[str]:
    """Sentences on the rule of one token."""
    found = []
    if (steps := steps_of(spec)) > 1:
        read = "behind the last of them" if spec.chunk.read == "after_write" else "before the first of them"
        found.append(f"a token writes {steps} rows, one after the other: α is 1 but at the first, and the query reads {read}")
    if (window := window_of(spec)) > 1:
        found.append(f"the index j runs over the last {window} tokens, the token itself among them")
    if has_erase_key(spec):
        found.append("the operator's erase_key is κ; its erase_write_key, or k where none is given, is b")
    return found


def chunk_remarks(spec: Spec) -> list[str]:
    """Sentences on the closed form of a chunk."""
    names = [subscripted(dual_name(spec, weight.name)) for weight in spec.memory.weights()]
    found = []
    if names != ["A"]:
        found.append(f"A is {', '.join(names[:-1])} and {names[-1]} in turn" if names[1:] else f"A is {names[0]}")
    collected = "Z" if waits_for_chunk_end(spec) else "S" if spec.optimizer.momentum else "A"
    step = "η" if spec.optimizer.step_size() == letter("eta") else "η̃"
    sized = "" if isinstance(spec.optimizer, Muon) and not writes_per_chunk(spec) else f", divided by its {step},"
    found.append(f"what the token j takes off {collected}{sized} is g_j")
    if (steps := steps_of(spec)) > 1:
        found.append(f"the indices t, j and l count writes, {steps} of a token: α_l is 1 but at the first of them")
    return found
